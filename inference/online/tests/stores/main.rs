//! Online stores: one suite of promises, held against each, and what is one store's own.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod embedded;
mod feast;
mod redis;
mod secure;
mod server;
mod suite;
mod topologies;
