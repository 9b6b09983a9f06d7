//! Where Redis is, and who asks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::StoreError;

/// The file of a Secret that holds the connection string.
pub const CONNECTION_FILE: &str = "connection_string";

/// Where Redis is. What a file says is read whenever a connection is made, so that a password may change.
#[derive(Clone)]
pub struct Connection(Arc<Source>);

enum Source {
    Text(String),
    File(PathBuf),
}

impl Connection {
    /// A connection string.
    pub fn text(text: &str) -> Self {
        Self(Arc::new(Source::Text(text.to_owned())))
    }

    /// A folder that holds the connection string in a file named [`CONNECTION_FILE`].
    pub fn folder(folder: &Path) -> Self {
        Self(Arc::new(Source::File(folder.join(CONNECTION_FILE))))
    }

    /// What it says now.
    pub(super) fn now(&self) -> Result<String, StoreError> {
        match self.0.as_ref() {
            Source::Text(text) => Ok(text.clone()),
            Source::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(error) => Err(StoreError::Connection {
                    problem: format!(
                        "{} can't be read: {error}; give the Secret a key {CONNECTION_FILE}",
                        path.display()
                    ),
                }),
            },
        }
    }
}

impl fmt::Debug for Connection {
    /// Without what it says, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_ref() {
            Source::Text(_) => f.write_str("Connection"),
            Source::File(path) => write!(f, "Connection({})", path.display()),
        }
    }
}
