//! A/B experiments: from sums over users to a decision, as pure functions.
//!
//! In reading order:
//!
//! - [`assignment`]: which variant a user gets, by [buckets](gondola_wire::buckets);
//! - [`settings`]: the experiment as it was asked for, in numbers, for each of its [arms](gondola_wire::arms);
//! - [`operations`]: what the routers saw of errors and latency;
//! - [`assess`](mod@assess): what the [evidence](gondola_wire::evidence) says, by [`statistics`];
//! - [`decide`](mod@decide): the first decision that is due;
//! - [`step`](mod@step): from one [ledger](gondola_wire::ledger) to the next, and what routers are told; [`epoch`]: where a ledger begins;
//! - [`report`]: what people see of it: status, conditions, and the verdict in one sentence; [`page`](mod@page): all of it as HTML.
//!
//! Promises: no clock is read, nothing random is drawn, and a step that is made twice comes to the same end. A decision follows
//! from the ledger and the evidence alone, so that it survives every restart.
//!
//! Absent on purpose: events, stores, users' ids, Kubernetes clients. Who runs steps: the operator, and `gondola-inference up` on
//! one machine.

#![forbid(unsafe_code)]

pub mod assess;
pub mod assignment;
pub mod decide;
pub mod epoch;
pub mod off_policy;
pub mod operations;
pub mod page;
pub mod percent;
pub mod report;
pub mod settings;
pub mod statistics;
pub mod step;

#[cfg(test)]
mod fixtures;
