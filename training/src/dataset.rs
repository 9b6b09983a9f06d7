//! A data set: what a shop's files mean.
//!
//! [`config`] is the file that says so, checked as it is read, [`training`] its part about models and [`evaluation`] the
//! one about their judgement, [`names`] what features are called. [`files`] finds the files, [`table`] reads
//! them, [`cells`] says what their values mean, and and `shop` reads them once. [`ids`] and [`numbering`] put whole
//! numbers in the place of ids, in which everything after reckons; [`matches`](mod@matches) says whether the ids of the files are
//! the same, [`remarks`] what people should know. What is left as tables of a folder, [`source`] opens for queries, which run as
//! [`queries`] says on the [`engine`] that it names, and which `even` writes as files. Where other machines run them, tables get there
//! through a `shared` folder.

mod bounds;
pub mod cells;
pub mod config;
pub mod engine;
pub mod error;
pub mod evaluation;
mod even;
pub mod files;
pub mod format;
pub mod ids;
pub mod matches;
pub mod names;
pub mod numbering;
pub mod queries;
mod reading;
pub mod remarks;
mod session;
pub(crate) mod shared;
mod shop;
pub mod side;
pub mod source;
pub mod sql;
mod staging;
pub mod table;
mod tables;
pub mod training;

pub use config::{ConfigError, DatasetConfig};
pub use error::DatasetError;
pub use shop::ShopFiles;
pub use source::Dataset;

#[cfg(test)]
mod tests;
