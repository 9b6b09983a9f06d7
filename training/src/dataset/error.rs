//! Why a data set can't be opened: the file, the place in it, the value and the way out.

use std::error::Error;
use std::path::PathBuf;
use std::{env, io};

use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;
use gondola_artifacts::StoreError;
use parquet::errors::ParquetError;

use super::cells::{Problem, Role};
use super::engine::EngineError;
use super::files::{FileError, Part};
use super::table::{Place, TableError};

/// Why a data set can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file can't be had.
    #[error(transparent)]
    Find(#[from] FileError),
    /// A file is damaged, or no table.
    #[error("cannot read {file}")]
    File {
        /// The file, as messages name it.
        file: String,
        /// The cause.
        #[source]
        source: TableError,
    },
    /// The configuration names a column that the file does not have.
    #[error("{file} has no column {column:?}; it has {found:?}")]
    NoColumn {
        /// The file, as messages name it.
        file: String,
        /// The column.
        column: String,
        /// The columns that it has.
        found: Vec<String>,
    },
    /// A column whose type can't be meant.
    #[error(
        "{file}, column {column:?}: {role} can't be of the type {found}; write them as another type, or as text"
    )]
    Type {
        /// The file, as messages name it.
        file: String,
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
        /// What it is for.
        role: Role,
    },
    /// A cell that can't be meant.
    #[error("{file}, {place}, column {column:?}: {value:?} {problem}")]
    Cell {
        /// The file, as messages name it.
        file: String,
        /// Which row.
        place: Place,
        /// The column.
        column: String,
        /// What the cell says.
        value: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A table without rows.
    #[error("{file} has no row{missing}; it needs at least one")]
    NoRows {
        /// The file, as messages name it.
        file: String,
        /// What its rows lack.
        missing: &'static str,
    },
    /// An id that is in more than one row: which of them holds would be chance.
    #[error("{file} has {rows} rows whose {key} is {id:?}; keep one of them")]
    Twice {
        /// The file, as messages name it.
        file: String,
        /// The id's column.
        key: String,
        /// The id.
        id: String,
        /// In how many rows it stands.
        rows: u32,
    },
    /// Ids that are written in two ways.
    #[error(
        "none of the {sold} {what} in {transactions} is in {file}: {missing:?} is in column {column:?} of the one, and {example:?} \
         in column {key:?} of the other; write ids alike in both, with the same zeros, capitals and types"
    )]
    NoMatch {
        /// How many different ids transactions have.
        sold: u64,
        /// Whose ids.
        what: &'static str,
        /// The file of transactions.
        transactions: String,
        /// Its column.
        column: String,
        /// One of its ids.
        missing: String,
        /// The other file.
        file: String,
        /// Its column.
        key: String,
        /// One of its ids.
        example: String,
    },
    /// There is no room for temporary files.
    #[error("cannot make a folder for temporary files; set TMPDIR to one that has room")]
    Folder(#[source] io::Error),
    /// What was read can't be put where queries read it.
    #[error("cannot write a temporary file; set TMPDIR to a folder that has room")]
    Staging(#[source] ParquetError),
    /// Queries can't be run where they should be.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder through which tables get to executors can't be opened.
    #[error("cannot open the folder of --shared-folder")]
    SharedStore(#[source] StoreError),
    /// Tables can't be put where executors read them.
    #[error(
        "cannot put a table into {folder}, where executors read it; --shared-folder must be a place that this program may write to"
    )]
    Shared {
        /// The folder, without secrets.
        folder: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// A query failed.
    #[error("cannot compute {what}")]
    Query {
        /// What was to be computed.
        what: &'static str,
        /// The cause.
        #[source]
        source: QueryError,
    },
}

/// Why a query failed. The engine's errors print their causes themselves, some of them repeatedly; this
/// is the innermost.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no room for what it spills.
    #[error(
        "the disk below {folder} is full, where queries put what does not fit in their memory ({cause}); make room there, set TMPDIR to a folder with more, or give --query-memory-mib more"
    )]
    DiskFull {
        /// The folder of temporary files.
        folder: PathBuf,
        /// What the system says.
        cause: String,
    },
    /// It cannot do with the memory that it may take.
    #[error("queries may take too little memory ({0}); give --query-memory-mib more")]
    Memory(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl QueryError {
    fn of(error: &DataFusionError) -> Self {
        let root = error.find_root();
        match root {
            DataFusionError::ResourcesExhausted(cause) => Self::Memory(cause.clone()),
            _ => match disk_full(root) {
                Some(cause) => Self::DiskFull {
                    folder: env::temp_dir(),
                    cause: cause.to_string(),
                },
                None => Self::Other(plain(&root.strip_backtrace())),
            },
        }
    }
}

/// The system's error, if a disk is full: queries write nothing but what they spill.
fn disk_full(error: &DataFusionError) -> Option<&io::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let found = error.downcast_ref::<io::Error>();
        if let Some(full) = found.filter(|found| found.kind() == io::ErrorKind::StorageFull) {
            return Some(full);
        }
        cause = error.source();
    }
    None
}

#[cfg(feature = "ballista")]
use crate::ballista::cause::plain;

/// The engine of this process has no layers around a cause.
#[cfg(not(feature = "ballista"))]
fn plain(cause: &str) -> String {
    cause.to_owned()
}

impl DatasetError {
    /// Wraps a failed query.
    pub(crate) fn query(what: &'static str) -> impl Fn(DataFusionError) -> Self {
        move |error| Self::Query {
            what,
            source: QueryError::of(&error),
        }
    }

    /// Wraps what is wrong with a file.
    pub(super) fn file(part: &Part) -> impl Fn(TableError) -> Self {
        let file = part.name.clone();
        move |source| Self::File {
            file: file.clone(),
            source,
        }
    }
}
