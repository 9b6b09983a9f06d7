//! What the parts of a pipeline say to each other, each with the one type that writes it and reads it.
//!
//! - [`routes`]: the operator to the routers, with the [`buckets`] that users fall into; [`router_report`]: a router to the analyzer;
//! - [`resolution`]: the resolver to the operator, with the [`role`] of each bundle; [`serve_order`]: the operator to a variant's pods;
//! - [`evidence`]: the analyzer to the operator, for each of its [`arms`]: [`sums`] over users,
//!   [`operations`], and the [`counts`] of answers;
//!   [`memory`]: the same way, how the experiment ended before;
//! - [`ledger`]: the operator to itself and the analyzer, with the [`decision`];
//! - [`time`]: moments and lengths in all of them; [`variables`]: names of the environment variables that set programs up.
//!
//! Fields that a reader doesn't know are ignored, so that releases can follow each other one pod at a time; golden files of released
//! forms are read by this crate's tests. Absent on purpose: who sends and receives, and how.

pub mod arms;
pub mod buckets;
pub mod counts;
pub mod decision;
pub mod evidence;
pub mod ledger;
pub mod memory;
pub mod operations;
pub mod resolution;
pub mod role;
pub mod router_report;
pub mod routes;
pub mod serve_order;
pub mod sums;
pub mod time;
pub mod variables;
