//! From a shop's files to features and bundles: what comes out ([`data`]), the same to the byte however it is computed ([`same_bytes`]),
//! and on a cluster of processes ([`ballista`]).

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

#[cfg(feature = "ballista")]
mod ballista;
#[cfg(feature = "ballista")]
mod cluster;
mod data;
mod made_up;
#[cfg(feature = "ballista")]
#[path = "../../../artifacts/tests/s3_server/mod.rs"]
mod s3_server;
mod same_bytes;
#[cfg(feature = "ballista")]
#[path = "../../../artifacts/tests/server/mod.rs"]
mod server;
