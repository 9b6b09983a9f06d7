//! Networks of any framework, as ONNX files, run by ONNX Runtime.
//!
//! A [`Network`] is a file that was looked at and loaded: [`graph`] refuses what no recommender needs and what could do harm
//! (weights in other files, operators of one's own, too many nodes), [`runtime`] finds ONNX Runtime's library, [`network`] loads
//! the file and runs it for a batch of rows, and [`watch`] ends a run that takes too long. What it may cost to load and to run a
//! file that nobody knows, a child process finds out first; that is the caller's to arrange.
//!
//! ONNX Runtime is not linked: its library, of version 1.24 or later, is loaded when the first network is. [`VARIABLE`] names the
//! file, or the system finds it by its name. Nothing here knows rows, items or users.

mod graph;
mod messages;
mod network;
mod runtime;
mod watch;

pub use graph::GraphError;
pub use network::{Dimension, Element, Limits, LoadError, Network, Port, RunError, Tensor, Values};
pub use runtime::{RuntimeError, VARIABLE};
