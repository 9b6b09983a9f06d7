//! Exposures and outcomes: recorded by the routers, kept as Parquet in an object store, and analyzed into sums.
//!
//! In reading order, the way of an event:
//!
//! - [`unit`](mod@unit): whose event it is, as a keyed hash: ids never leave the process;
//! - [`event`](mod@event): an exposure or an outcome; [`intake`]: outcomes as clients send them, checked;
//! - [`recorder`]: a bounded queue, a journal on disk, and objects in the store, written once;
//! - [`table`]: their form as Parquet; [`place`]: where they lie;
//! - [`answers`]: what followed each answer that was drawn by chance, for previews;
//! - [`analysis`]: what all events of an experiment come to: [`gondola_wire::evidence::Evidence`].
//!
//! Promises: recording never waits and never blocks an answer; what was taken survives a restart of the process; the same
//! events come to the same sums, in whatever order and however often they arrive.
//!
//! Absent on purpose: models, sockets, and Kubernetes.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod answers;
pub mod event;
pub mod intake;
pub mod place;
pub mod recorder;
pub mod table;
pub mod unit;
