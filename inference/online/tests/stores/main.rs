//! Online stores: one suite of promises, held against each, and what is one store's own.

mod embedded;
mod redis;
mod server;
mod suite;
mod topologies;
