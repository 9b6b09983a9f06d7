//! One file of a table, batch by batch, as its bytes have it: what its values mean is for [`super::cells`] to
//! say.
//!
//! An error names the file, the row and the column, and no damaged file may bring
//! a program down (`fuzz/`). Nothing is taken from a Parquet file's statistics: those of floating-point
//! columns leave NaN out.

mod csv;
mod disguise;
mod parquet;

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;

pub use disguise::Disguise;

use super::format::Format;

/// Rows that are read at a time.
const BATCH_ROWS: usize = 8192;

/// Why a file can't be read as a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file can't be read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Nothing.
    #[error("it is empty; write the columns' names into its first line")]
    Empty,
    /// Something else than its name says.
    #[error("{0}")]
    Disguise(Disguise),
    /// A CSV file whose cells are not separated by commas.
    #[error("its first line is {header:?}; separate cells by commas")]
    Separator {
        /// The first line.
        header: String,
    },
    /// A column that is there more than once.
    #[error("{times} columns are called {column:?}; give each a name of its own")]
    TwoColumns {
        /// The column.
        column: String,
        /// How many there are.
        times: usize,
    },
    /// A row with too many cells, or too few.
    #[error(
        "{place} has {found} cells, but the first line names {wanted} columns; put cells that have commas inside into double quotes"
    )]
    Ragged {
        /// Which row.
        place: Place,
        /// How many cells it has.
        found: u64,
        /// How many it should have.
        wanted: u64,
    },
    /// Bytes that are no text.
    #[error("{place} has bytes in column {column:?} that are not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// Which row.
        place: Place,
        /// Which column.
        column: String,
    },
    /// Bytes in the first line that are no text.
    #[error("its first line has bytes that are not UTF-8; save the file as UTF-8")]
    HeaderNotUtf8,
    /// A quote that nobody closed takes the rest of the file for one cell.
    #[error(
        "{place} has a double quote that is never closed; close it, or write a quote inside of a cell twice"
    )]
    OpenQuote {
        /// Which row.
        place: Place,
    },
    /// The Parquet file is damaged.
    #[error("it is not a Parquet file that can be read; if it was cut short, copy it again")]
    Parquet(#[source] ::parquet::errors::ParquetError),
    /// A part of the Parquet file is damaged.
    #[error("{place} and those after it can't be read; if the file was cut short or damaged, copy it again")]
    Rows {
        /// The first row that can't be read.
        place: Place,
        /// The cause.
        #[source]
        source: ArrowError,
    },
}

/// The position of a row, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which row, counted from 1; the line of names is none.
    pub row: u64,
    /// Which line of a text file, counted from 1.
    pub line: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// Some rows of the columns that were asked for.
#[derive(Debug)]
pub struct Rows {
    /// One array a column, in the order in which they were asked for; a column that the file lacks has none.
    pub columns: Vec<Option<ArrayRef>>,
    /// How many rows.
    pub count: usize,
    /// How many rows stand before them.
    before: u64,
    /// The line of each row, of a text file.
    lines: Option<Vec<u64>>,
}

impl Rows {
    /// Where one of these rows stands.
    pub fn place(&self, row: usize) -> Place {
        Place {
            row: self.before + row as u64 + 1,
            line: self.lines.as_ref().map(|lines| lines[row]),
        }
    }
}

/// The rows of a file, some at a time.
pub type Batches = Box<dyn Iterator<Item = Result<Rows, TableError>>>;

/// The names of a file's columns.
pub fn columns(path: &Path, format: Format) -> Result<Vec<String>, TableError> {
    let file = open(path, format)?;
    match format {
        Format::Csv => csv::columns(file),
        Format::Parquet => parquet::columns(file),
    }
}

/// Reads some columns of a file.
pub fn rows(path: &Path, format: Format, wanted: &[&str]) -> Result<Batches, TableError> {
    let file = open(path, format)?;
    Ok(match format {
        Format::Csv => Box::new(csv::Rows::new(file, wanted)?),
        Format::Parquet => Box::new(parquet::Rows::new(file, wanted)?),
    })
}

fn open(path: &Path, format: Format) -> Result<File, TableError> {
    let mut file = File::open(path).map_err(TableError::Read)?;
    let mut first = Vec::new();
    let begin = Read::by_ref(&mut file)
        .take(disguise::MAX_BYTES)
        .read_to_end(&mut first);
    begin.map_err(TableError::Read)?;
    if first.is_empty() {
        return Err(TableError::Empty);
    }
    if let Some(disguise) = Disguise::of(&first, format) {
        return Err(TableError::Disguise(disguise));
    }
    file.rewind().map_err(TableError::Read)?;
    Ok(file)
}

/// Where a column stands among others; `None` where it is not among them.
fn position(found: &[String], column: &str) -> Result<Option<usize>, TableError> {
    let mut places = found.iter().enumerate().filter(|(_, name)| *name == column);
    let first = places.next().map(|(place, _)| place);
    match places.count() {
        0 => Ok(first),
        more => Err(TableError::TwoColumns {
            column: column.to_owned(),
            times: more + 1,
        }),
    }
}
