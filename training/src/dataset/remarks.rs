//! What people should know of a shop's files: what is left out of them, and what was taken for something else.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DatasetError;
use super::matches::Match;

/// The file that they are kept in.
const FILE: &str = "remarks.json";

/// What people should know of a shop's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// How many ids of transactions the other tables have.
    pub matches: Vec<Match>,
    /// Files with rows that are left out.
    pub left_out: Vec<LeftOut>,
    /// Columns of ids that were written as floats and are taken for whole numbers.
    pub whole_floats: Vec<FileColumn>,
}

/// Rows of a file that have no id or no time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The file.
    pub file: String,
    /// How many rows.
    pub rows: u64,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileColumn {
    /// The file.
    pub file: String,
    /// The column.
    pub column: String,
}

impl Remarks {
    pub(super) fn save(&self, folder: &Path) -> Result<(), DatasetError> {
        let json = serde_json::to_vec(self).expect("remarks are always JSON");
        fs::write(folder.join(FILE), json).map_err(DatasetError::Folder)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, DatasetError> {
        let json = fs::read(folder.join(FILE)).map_err(DatasetError::Folder)?;
        serde_json::from_slice(&json).map_err(|error| DatasetError::Folder(error.into()))
    }
}
