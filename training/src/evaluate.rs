//! Evaluation: pair by pair, and end to end as users see it.
//!
//! `pairs` scores labeled pairs with the very scorers that serve ([`metrics`]: AUC, precision, recall).
//! [`end_to_end`] queries the loaded pipeline for every buyer of the test window and compares the answers with what they
//! bought ([`ranking`]: Recall, MAP and nDCG at 12), beside [`baselines`] that need no model. [`retrieval`] measures how
//! much of it is among the candidates at all, compared with item neighbors and the trained sources. [`bootstrap`] says how far
//! other users would move these figures, [`paired`] by how much one set of lists is better than another, `permutation` what each input is worth.

pub mod baselines;
pub mod bootstrap;
pub mod end_to_end;
pub mod latency;
pub mod metrics;
pub mod paired;
pub(crate) mod pairs;
pub(crate) mod permutation;
pub mod ranking;
pub mod retrieval;
pub mod scorer;

pub use end_to_end::{Quality, VariantQuality};
pub use latency::Latency;
pub use metrics::{PairIntervals, PairMetrics};
pub use scorer::{InputValue, ScorerQuality};
