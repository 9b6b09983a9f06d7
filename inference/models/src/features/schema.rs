//! `schema.json`: what a features bundle says about itself, in addition to its tables and its workflow.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The version of `schema.json` that this code reads and writes.
const FORMAT: u32 = 1;
const FILE: &str = "schema.json";

/// Why `schema.json` could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The file can't be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file does not say what it should.
    #[error("{path} is not a features schema")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// What a features bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The version of this file.
    pub format: u32,
    /// The cut-off date: the tables know nothing of that day or later (`YYYY-MM-DD`).
    pub as_of: String,
    /// The numeric item column that orders popular items, the highest first.
    pub popularity: String,
}

impl Schema {
    /// A schema of the present format.
    pub fn new(as_of: &str, popularity: &str) -> Self {
        Self {
            format: FORMAT,
            as_of: as_of.to_owned(),
            popularity: popularity.to_owned(),
        }
    }

    /// Writes `schema.json` into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), SchemaError> {
        let path = folder.join(FILE);
        let json = serde_json::to_vec_pretty(self).expect("strings are always JSON");
        fs::write(&path, json).map_err(|source| SchemaError::File { path, source })
    }

    /// Reads `schema.json` from a folder.
    pub fn load(folder: &Path) -> Result<Self, SchemaError> {
        let path = folder.join(FILE);
        let json = fs::read(&path).map_err(|source| SchemaError::File {
            path: path.clone(),
            source,
        })?;
        serde_json::from_slice(&json).map_err(|source| SchemaError::Json { path, source })
    }
}
