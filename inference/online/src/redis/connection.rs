//! Where Redis is, and who asks: a connection string as Feast writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gondola_feast::{Connection as Checked, StoreSettings};

use crate::store::StoreError;

/// The file of a Secret that holds the connection string.
pub const CONNECTION_FILE: &str = "connection_string";

/// Where Redis is. What a file says is read whenever a connection is made, so that a password may change.
#[derive(Clone, Debug)]
pub struct Connection {
    settings: Arc<StoreSettings>,
    /// The folder that holds the connection string, if the settings don't.
    folder: Option<PathBuf>,
}

impl Connection {
    /// A connection by settings alone.
    pub fn of(settings: StoreSettings) -> Result<Self, StoreError> {
        let connection = Self {
            settings: Arc::new(settings),
            folder: None,
        };
        connection.now()?;
        Ok(connection)
    }

    /// A connection whose string is in a file named [`CONNECTION_FILE`] of a folder.
    pub fn in_folder(folder: &Path, settings: StoreSettings) -> Result<Self, StoreError> {
        let connection = Self {
            settings: Arc::new(settings),
            folder: Some(folder.to_owned()),
        };
        connection.now()?;
        Ok(connection)
    }

    /// What it says now.
    pub(super) fn now(&self) -> Result<Checked, StoreError> {
        let wrong = |problem: String| StoreError::Connection { problem };
        let mut settings = StoreSettings::clone(&self.settings);
        if let Some(folder) = &self.folder {
            let path = folder.join(CONNECTION_FILE);
            let text = std::fs::read_to_string(&path).map_err(|error| {
                wrong(format!(
                    "{} can't be read: {error}; give the Secret a key {CONNECTION_FILE}",
                    path.display()
                ))
            })?;
            text.trim().clone_into(&mut settings.connection_string);
        }
        Checked::check(&settings).map_err(|error| wrong(error.to_string()))
    }
}
