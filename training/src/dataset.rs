//! A data set: what a shop's files mean.
//!
//! [`config`] is the file that says so, checked as it is read, [`training`] its part about models and [`evaluation`] the
//! one about their judgement, [`names`] what features are called. [`files`] finds the files, [`table`] reads
//! them, [`cells`] says what their values mean, and [`source`] opens them with DataFusion as the views
//! `transactions`, `users` and `items`, whatever they are called in the shop. [`ids`] and [`numbering`] put whole numbers in
//! the place of ids, in which everything after reckons, [`queries`] says with how much memory; [`matches`](mod@matches) says
//! whether the ids of the files are the same.

mod bounds;
pub mod cells;
pub mod config;
pub mod error;
pub mod evaluation;
pub mod files;
pub mod format;
pub mod ids;
pub mod matches;
pub mod names;
pub mod numbering;
pub mod queries;
mod reading;
pub mod source;
mod staging;
pub mod table;
pub mod training;

pub use config::{ConfigError, DatasetConfig};
pub use error::DatasetError;
pub use source::{Dataset, ShopFiles};

#[cfg(test)]
mod tests;
