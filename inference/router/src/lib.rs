//! The router of a pipeline, and what else a pipeline has that knows no model.
//!
//! - [`router`]: assigns every user to a variant and keeps them there; [`remote`] calls a variant's pods, [`watch`] follows what the
//!   operator and the API server say, [`variants_tls`] is how connections are made safe;
//! - [`experiment`]: who takes part in an A/B test, and what is recorded of it; [`recording`]: where that goes, as a program's
//!   options;
//! - [`own_variant`]: the same for whoever is no router;
//! - [`resolver`]: what a pipeline's references lead to; [`feast`]: what its feature views are.
//!
//! The program `gondola-router` has a command for each: `route`, `resolve`, and `analyze`, which turns what was recorded into
//! evidence.
//!
//! Absent on purpose: models. No FAISS and no candle is linked here, so that its image is small and starts at once.

pub mod access;
pub mod experiment;
pub mod feast;
mod hedge;
pub mod last_resort;
pub mod own_variant;
mod peer;
pub mod recording;
pub mod remote;
pub mod resolver;
pub mod router;
pub mod variants_tls;
pub mod watch;

pub use router::{Backend, Router, RouterError};
