//! Scores of labeled pairs, by the scorers that serve.

use std::path::Path;
use std::time::Instant;

use gondola_models::features::{EncodedRow, EncodedTable, Layout};
use gondola_models::ordering;
use gondola_models::scoring::stacked::layout_with;
use gondola_models::scoring::{self, CandidateBatch, LoadError, Loaded, ScoreError, Scorer};

use super::Latency;
use crate::fit::encoded::Encoded;
use crate::rows::{Pair, Row};

/// Why pairs could not be scored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScorePairsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// Candidates that a request is timed with.
const TIMED_CANDIDATES: usize = 200;

/// Requests that are timed, after as many that are not.
const TIMED_REQUESTS: usize = 200;

/// A loaded scorer, and what it keeps of each item.
pub(crate) struct Judge<'a, R> {
    scorer: Box<dyn Scorer>,
    /// Names of the inputs, those of stacked sources included.
    pub(crate) layout: Layout,
    /// Number of pair features.
    pub(crate) pair_width: usize,
    /// Users and items, by the rows that pairs name.
    pub(crate) encoded: &'a Encoded<R>,
    blocks: Vec<f32>,
}

impl<'a, R: Row> Judge<'a, R> {
    /// Loads the scorer of a bundle's folder.
    pub(crate) fn load(
        folder: &Path,
        layout: &Layout,
        encoded: &'a Encoded<R>,
    ) -> Result<Self, ScorePairsError> {
        let Loaded { scorer, sources, .. } = scoring::load(folder, layout)?;
        let layout = layout_with(layout, &sources);
        Ok(Self {
            blocks: blocks(scorer.as_ref(), encoded.items.table()),
            scorer,
            pair_width: layout.pair.len(),
            layout,
            encoded,
        })
    }

    /// Scores each pair. `features` are the encoded pair features, row-major.
    pub(crate) fn score(&self, pairs: &[Pair<R>], features: &[f32]) -> Result<Vec<f32>, ScorePairsError> {
        let rows = pairs.iter().enumerate().map(|(position, pair)| {
            let features = &features[position * self.pair_width..][..self.pair_width];
            (self.encoded.users.row(pair.user), self.block(pair.item), features)
        });
        self.score_each(rows)
    }

    /// Scores each row of a user with the same row of an item.
    pub(crate) fn score_rows(
        &self,
        users: &EncodedTable,
        items: &EncodedTable,
        features: &[f32],
    ) -> Result<Vec<f32>, ScorePairsError> {
        let (blocks, width) = (blocks(self.scorer.as_ref(), items), self.scorer.block_width());
        let rows = (0..users.rows()).map(|row| {
            let features = &features[row * self.pair_width..][..self.pair_width];
            (users.row(row), &blocks[row * width..][..width], features)
        });
        self.score_each(rows)
    }

    fn score_each<'b>(
        &self,
        rows: impl Iterator<Item = (EncodedRow, &'b [f32], &'b [f32])>,
    ) -> Result<Vec<f32>, ScorePairsError> {
        let (mut scores, mut one) = (Vec::new(), Vec::new());
        for (user, block, pairs) in rows {
            let batch = CandidateBatch {
                blocks: &[block],
                pairs,
                pair_width: self.pair_width,
            };
            self.scorer.score(&user, &batch, &mut one)?;
            scores.append(&mut one);
        }
        Ok(scores)
    }

    /// The median microseconds that a request of 200 candidates takes, in one thread.
    pub(crate) fn microseconds(&self) -> Result<f64, ScorePairsError> {
        let (users, items) = (self.encoded.users.table(), self.encoded.items.table());
        let pairs = vec![0.0; TIMED_CANDIDATES * self.pair_width];
        let (mut times, mut scores) = (Vec::new(), Vec::new());
        for request in 0..2 * TIMED_REQUESTS {
            let user = users.row(request * 7919 % users.rows().max(1));
            let candidates =
                (0..TIMED_CANDIDATES).map(|at| (request * 104_729 + at * 1_299_709) % items.rows().max(1));
            let blocks: Vec<&[f32]> = candidates.map(|item| self.block(R::at(item))).collect();
            let batch = CandidateBatch {
                blocks: &blocks,
                pairs: &pairs,
                pair_width: self.pair_width,
            };
            let started = Instant::now();
            self.scorer.score(&user, &batch, &mut scores)?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        Ok(Latency::of(times.split_off(TIMED_REQUESTS)).median)
    }

    fn block(&self, item: R) -> &[f32] {
        let width = self.scorer.block_width();
        &self.blocks[item.position() * width..][..width]
    }
}

/// What a scorer keeps of items.
fn blocks(scorer: &dyn Scorer, items: &EncodedTable) -> Vec<f32> {
    let mut blocks = vec![0.0; items.rows() * scorer.block_width()];
    scorer.prepare(items, &mut blocks);
    blocks
}

/// Turns scores, whose odds say how likely a pair is to be bought in units of `1 / usual`, into how likely it
/// is to be one of the bought pairs among labeled ones: the more likely a pair was to be drawn as a
/// negative, the less.
pub(crate) fn among_sampled(scores: &[f32], chances: &[f32], usual: f32) -> Vec<f32> {
    let pairs = scores.iter().zip(chances);
    pairs
        .map(|(score, chance)| ordering::with_weight(*score, usual / chance))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_likely_negative_is_less_likely_to_be_a_bought_pair() {
        let found = among_sampled(&[0.1, 0.1], &[0.5, 0.05], 0.5);
        assert!((found[0] - 0.1).abs() < 1e-6);
        assert!((found[1] - 1.0 / 1.9).abs() < 1e-6, "odds of 1 to 9, times 10");
    }
}
