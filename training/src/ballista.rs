//! Queries on many machines, by Apache DataFusion Ballista.
//!
//! [`client`] is the side of `gondola-train`: a session whose queries a scheduler plans and executors run. [`scheduler`] and
//! [`executor`] are the other two sides, which the program `gondola-ballista` runs. [`stores`] opens the tables on all three, and
//! [`release`] sees to it that all three are of one release: what a plan means may change from one to the next.
//!
//! `slots` counts what tasks take of executors. `trial` makes sure that an executor sees the tables before anything depends on it, and `cause` says in a line why a query failed.
//!
//! Nothing here knows what the queries are.

pub(crate) mod cause;
pub(crate) mod client;
mod error;
pub mod executor;
pub mod release;
pub mod scheduler;
mod slots;
mod stores;
mod trial;

pub use error::ClusterError;
