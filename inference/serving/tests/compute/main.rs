//! Requests that many ask at once wait for a compute thread: each for itself, or for one another.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and its modules are its own"
)]

mod following;
mod gathering;
mod queueing;

use gondola_request::VariantSummary;

/// What a stand-in for a variant says of itself.
fn summary(candidates: usize, limit: usize) -> VariantSummary {
    VariantSummary {
        as_of: "2026-01-01".to_owned(),
        users: 0,
        items: 3,
        texts: 0,
        workflow: "sha256:00".to_owned(),
        inputs: Vec::new(),
        candidates,
        limit,
    }
}
