//! Everything that is known of one scorer.

use serde::{Deserialize, Serialize};

use super::metrics::{PairIntervals, PairMetrics};

/// How good one scorer is, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScorerQuality {
    /// The name of its bundle.
    pub name: String,
    /// On the labelled pairs of the test window.
    pub metrics: PairMetrics,
    /// Where these metrics lie when other users had come.
    pub intervals: PairIntervals,
    /// How long it was trained: passes over the pairs, or trees.
    pub rounds: usize,
    /// Seconds to train.
    pub seconds: f64,
    /// Bytes of its bundle.
    pub bytes: u64,
    /// Median microseconds to score 200 candidates in one thread.
    pub microseconds: f64,
    /// Trees only: each input's share of the gain of all splits, the greatest first.
    pub gains: Vec<(String, f64)>,
    /// How much AUC is lost when an input's values change places among the pairs, the most first; empty where nobody asked.
    pub permuted: Vec<(String, f64)>,
}
