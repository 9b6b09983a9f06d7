//! Requests that many ask at once wait for a compute thread: each for itself, or for one another.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod following;
mod gathering;
mod queueing;
mod stand_in;
