//! Queries on a cluster of processes: the rows of each query of ours beside those of the local engine, executors that die, and what
//! is said when a cluster runs nothing.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

#[path = "../cluster/mod.rs"]
mod cluster;
mod lost_executor;
#[path = "../made_up/mod.rs"]
mod made_up;
mod no_cluster;
#[path = "../../../artifacts/tests/s3_server/mod.rs"]
mod s3_server;
mod same_rows;
#[path = "../../../artifacts/tests/server/mod.rs"]
mod server;
mod stores;
