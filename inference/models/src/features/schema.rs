//! `schema.json`: what a features bundle says about itself, in addition to its tables and its workflow.

use std::fs;
use std::path::{Path, PathBuf};

use gondola_request::Moment;
use serde::{Deserialize, Serialize};

use super::activity::InteractionWeights;

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
    /// The cut-off date is none.
    #[error("the features schema says as_of {as_of:?}, which is no date; write it as YYYY-MM-DD")]
    AsOf {
        /// What it says.
        as_of: String,
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The version of this file.
    pub format: u32,
    /// The cut-off date: the tables know nothing of that day or later (`YYYY-MM-DD`).
    pub as_of: String,
    /// The numeric item column that orders popular items, the highest first.
    pub popularity: String,
    /// How much interactions count that come after the cut-off date. Where it is left out, they count as by default in a user's
    /// purchases, and leave the columns of the user's row as they are: these may mean anything in bundles of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interactions: Option<InteractionWeights>,
}

impl Schema {
    /// A schema of the present format.
    pub fn new(as_of: &str, popularity: &str) -> Self {
        Self {
            format: FORMAT,
            as_of: as_of.to_owned(),
            popularity: popularity.to_owned(),
            interactions: None,
        }
    }

    /// The same, for tables whose columns of users have the meaning of [`super::activity`] and go on with what users do.
    pub fn with_interactions(self, weights: InteractionWeights) -> Self {
        Self {
            interactions: Some(weights),
            ..self
        }
    }

    /// The beginning of the cut-off date.
    pub fn moment(&self) -> Result<Moment, SchemaError> {
        let wrong = || SchemaError::AsOf {
            as_of: self.as_of.clone(),
        };
        let date: jiff::civil::Date = self.as_of.parse().map_err(|_| wrong())?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
        Ok(Moment(midnight.timestamp().as_millisecond()))
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
