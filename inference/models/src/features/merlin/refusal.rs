//! Why a workflow of NVTabular can't become ours, and what to do instead.

use std::path::PathBuf;

use serde::Deserialize;

use crate::features::table::TableError;

/// Why a workflow could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum MerlinError {
    /// `nvtabular.json` can't be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The folder is NVTabular's own.
    #[error(
        "{} has a workflow.pkl, which is never read here: to read a pickle is to run what is in it; run examples/merlin/export_workflow.py on it where NVTabular is installed, and import the folder that it writes", .folder.display()
    )]
    NotExported {
        /// The folder.
        folder: PathBuf,
    },
    /// `nvtabular.json` does not say what it should.
    #[error("{} is not an exported workflow of NVTabular", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// `nvtabular.json` is of a version that this program does not know.
    #[error("{} has format {found}, but this program reads {read}; export it with the script of this release", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        found: u32,
        /// The format that is read.
        read: u32,
    },
    /// A file of categories or statistics can't be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file of categories has a null, which has an index of its own.
    #[error("{} has a null in row {row} of {column:?}, and a category is never null; export the workflow again", .path.display())]
    NullCategory {
        /// The file.
        path: PathBuf,
        /// Its column.
        column: String,
        /// The row, counted from 0.
        row: usize,
    },
    /// Categories that are neither texts nor numbers.
    #[error("{} has categories of the type {kind} in {column:?}, and a raw row has texts and numbers; fit the workflow on one of them", .path.display())]
    CategoryType {
        /// The file.
        path: PathBuf,
        /// Its column.
        column: String,
        /// The type.
        kind: String,
    },
    /// A file of statistics lacks one.
    #[error("{} has no column {column:?}; export the workflow again", .path.display())]
    NoStatistic {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// An operator is refused.
    #[error("{column}: {operator} {reason}")]
    Refused {
        /// The output that is made by it.
        column: String,
        /// The operator.
        operator: String,
        /// Why, and what to do instead.
        reason: Reason,
    },
    /// It is not known whose a raw column is.
    #[error(
        "{column} is made of {raw:?}, of which neither --user nor --item nor a tag of the workflow says whose it is; name it in one of the two, or leave the output out with --leave-out {column}"
    )]
    NobodyS {
        /// The output.
        column: String,
        /// The raw column.
        raw: String,
    },
    /// An output is of users and items at once.
    #[error(
        "{column} is made of {user:?} of users and {item:?} of items, and a row is of one of them; leave it out with --leave-out {column}, and fit the model without it"
    )]
    Mixed {
        /// The output.
        column: String,
        /// A raw column of users.
        user: String,
        /// A raw column of items.
        item: String,
    },
    /// A column is said to be of both.
    #[error("{column:?} is in --user and in --item; leave it in one of them")]
    Both {
        /// The raw column.
        column: String,
    },
    /// A flag names what there isn't.
    #[error("{flag} names {name:?}, and there is {there:?}")]
    NoColumn {
        /// The flag.
        flag: &'static str,
        /// What it names.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
}

/// Why an operator is refused. The text goes on after the operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It hashes the row's number with the value.
    #[error(
        "hashes a value with the position of its row (on a CPU) or by the GPU's own function, so that no server gives the same; fit Categorify without num_buckets in its place"
    )]
    HashesRows,
    /// It reads other rows of the table.
    #[error(
        "reads other rows of the table, and a request has one; have the value as a column of the user's or the item's row, computed before"
    )]
    ReadsOtherRows,
    /// It is code.
    #[error(
        "runs code of its own, which no file describes; have its result as a raw column, or use an operator of NVTabular that does the same"
    )]
    RunsCode,
    /// It leaves rows out.
    #[error("leaves rows out, and a request has one row, which is answered; take it out of the workflow")]
    DropsRows,
    /// It is not known here.
    #[error("has no counterpart here; have its result as a raw column")]
    NoCounterpart,
    /// It gets its input from an operator with which it can't be combined.
    #[error(
        "is applied to what another operator gives, and only to raw columns can it be imported; fit it on the raw columns"
    )]
    OnEncoded,
    /// It combines numbers that were already looked up.
    #[error("is applied to an index of Categorify, which is not a quantity; leave it out of the workflow")]
    OnIndex,
    /// It fills in a text.
    #[error(
        "fills in a text, and only numbers are filled; leave it out, as Categorify gives what is missing an index of its own"
    )]
    FillsText,
    /// A raw text is no input of a model.
    #[error(
        "is applied to a text, which models can't read; add Categorify, or leave the output out with --leave-out"
    )]
    RawText,
    /// A list has no fixed number of elements.
    #[error(
        "is applied to a list of any length, and models read a fixed number of inputs; add ListSlice with a length, such as ListSlice(10, pad=True)"
    )]
    AnyLength,
    /// A list of numbers.
    #[error("is applied to a list of numbers, and only lists of categories can be imported; add Categorify")]
    ListOfNumbers,
    /// Padding before the look-up.
    #[error(
        "pads a list before Categorify; put ListSlice after it, so that the padding has an index of its own"
    )]
    PadsBefore,
    /// A padding that is no index.
    #[error("pads with what is no index; let pad_value be a whole number from 0")]
    PadIsNoIndex,
}
