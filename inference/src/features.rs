//! Features: raw rows of users and items, and the fitted workflow that turns them into numbers.
//!
//! Raw values ([`RawRow`]) go in and encoded ones ([`EncodedRow`]) come out, per request: a new user needs no batch job.
//! What the workflow learned is data ([`Workflow`], saved as JSON and Parquet), and the very same code runs in training.

pub mod row;

pub use row::{Cardinalities, EncodedRow, EncodedTable, ItemId, Layout, RawRow, UserId, Value};
