//! Everything that is known of one scorer.

use serde::{Deserialize, Serialize};

use super::metrics::{PairIntervals, PairMetrics};

/// How good one scorer is, and what it costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScorerQuality {
    /// The name of its bundle.
    pub name: String,
    /// On the labeled pairs of the test window.
    pub metrics: PairMetrics,
    /// Bootstrap intervals of these metrics, over users.
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
    pub gains: Vec<InputValue>,
    /// How much AUC is lost when an input's values change places among the pairs, the most first; empty where
    /// nobody asked.
    pub permuted: Vec<InputValue>,
}

/// What an input is worth to a scorer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputValue {
    /// The input.
    pub input: String,
    /// Its worth, in the unit of the list that it is in.
    pub value: f64,
}

impl InputValue {
    /// Inputs with their values, the greatest first.
    pub fn greatest_first(inputs: Vec<String>, values: Vec<f64>) -> Vec<Self> {
        let named = inputs.into_iter().zip(values);
        let mut named: Vec<Self> = named.map(|(input, value)| Self { input, value }).collect();
        named.sort_by(|a, b| b.value.total_cmp(&a.value));
        named
    }
}
