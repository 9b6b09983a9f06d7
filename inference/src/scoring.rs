//! Scoring: a model gives every candidate a score, with one file a model family.
//!
//! What depends on an item alone is computed once, when items are loaded or added ([`Scorer::prepare`]); what depends on
//! the user alone is computed once a request. What is left per candidate is the part that needs both.

pub mod forest;

use crate::features::{EncodedRow, EncodedTable};

/// Gives every candidate a score.
pub trait Scorer: Send + Sync {
    /// How many `f32` values are kept for each item.
    fn block_width(&self) -> usize;

    /// Fills `out` (`[items.rows, block_width]`, row-major) with what this scorer needs to know of each item.
    fn prepare(&self, items: &EncodedTable, out: &mut [f32]);

    /// Puts one score per candidate into `scores` (cleared first), in the order given: a probability, higher is better,
    /// never NaN. Scores compare only within one call.
    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError>;
}

/// The candidates of one request.
#[derive(Clone, Copy, Debug)]
pub struct CandidateBatch<'a> {
    /// What [`Scorer::prepare`] made of each candidate.
    pub blocks: &'a [&'a [f32]],
    /// Encoded features of each pair of the user and a candidate: `[blocks.len(), pair_width]`, row-major.
    pub pairs: &'a [f32],
    /// Number of pair features.
    pub pair_width: usize,
}

/// Why candidates could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The user's row does not have the model's shape.
    #[error(
        "the model reads {wanted_categorical} categorical and {wanted_numeric} numeric user features, but the row has {found_categorical} and {found_numeric}; load bundles of one run"
    )]
    UserShape {
        /// Categorical columns that the model reads.
        wanted_categorical: usize,
        /// Numeric columns that the model reads.
        wanted_numeric: usize,
        /// Categorical columns that the row has.
        found_categorical: usize,
        /// Numeric columns that the row has.
        found_numeric: usize,
    },
    /// The model gave a score that is not a number.
    #[error(
        "the model gave the score {score} to candidate {position}; its weights are damaged, publish it anew"
    )]
    NotANumber {
        /// Which candidate, in the order given.
        position: usize,
        /// What came out.
        score: f32,
    },
}
