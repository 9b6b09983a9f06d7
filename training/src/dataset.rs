//! A data set: what a shop's files mean.
//!
//! [`config`] is the file that says so, checked, [`training`] its part about models and [`evaluation`] the one about their
//! judgement; [`source`] opens the files with DataFusion as the views `transactions`, `users` and `items`, whatever they are
//! called in the shop.

pub mod config;
pub mod evaluation;
pub mod source;
pub mod training;

pub use config::{ConfigError, DatasetConfig};
pub use source::{Dataset, DatasetError};
