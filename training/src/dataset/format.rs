//! What a table is written as.

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The format that a file's name implies.
    pub fn of(file: &str) -> Option<Self> {
        match file.trim_end_matches('/').rsplit_once('.')? {
            (_, "csv") => Some(Self::Csv),
            (_, "parquet") => Some(Self::Parquet),
            _ => None,
        }
    }

    /// What names of such files end in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}
