//! The online store: what is put and done at run time, over what the bundles say.
//!
//! A write is acknowledged when the store has it. The store then tells its *news*, the names of users and items that changed, and
//! whoever serves reads their state again: what is true stands in one place, and two writers of one user leave the same state
//! everywhere.
//!
//! - [`store`]: what a store is, [`OnlineStore`]; two are here: [`embedded`], a file for one machine, and [`redis`], for a cluster;
//! - [`record`]: how both write down what they keep;
//! - [`users`]: users as requests ask for them: with a deadline, a cache that is told of changes, and without waiting for a store that is
//!   away.
//!
//! Absent on purpose: models, HTTP, Kubernetes. Who makes items of what is read here: `gondola-serving`.

mod cache;
pub mod embedded;
pub mod record;
pub mod redis;
pub mod store;
pub mod users;

pub use store::{News, OnlineStore, Position, Seen, StoreError, WriteOutcome, Written};
pub use users::{NotKnown, OnlineUsers, UserRead, UserSettings};
