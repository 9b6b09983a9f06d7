//! Scores of labelled pairs, by the scorers that serve.

use std::path::Path;

use gondola_inference::features::Layout;
use gondola_inference::ordering;
use gondola_inference::scoring::{self, CandidateBatch, LoadError, ScoreError};

use crate::fit::examples::Encoded;
use crate::labels::Pair;

/// Why pairs could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScorePairsError {
    /// The scorer can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The scorer fails.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// Loads the scorer of a bundle's folder and scores each pair. `features` are the encoded pair features, row-major.
pub fn score(
    folder: &Path,
    layout: &Layout,
    encoded: &Encoded,
    pairs: &[Pair],
    features: &[f32],
) -> Result<Vec<f32>, ScorePairsError> {
    let scorer = scoring::load(folder, layout)?.scorer;
    let width = scorer.block_width();
    let mut blocks = vec![0.0; encoded.items.rows() * width];
    scorer.prepare(&encoded.items, &mut blocks);
    let pair_width = layout.pair.len();
    let mut scores = Vec::with_capacity(pairs.len());
    let mut one = Vec::new();
    for (position, pair) in pairs.iter().enumerate() {
        let block = &blocks[pair.item as usize * width..][..width];
        let features = &features[position * pair_width..][..pair_width];
        let batch = CandidateBatch {
            blocks: &[block],
            pairs: features,
            pair_width,
        };
        scorer.score(&encoded.users.row(pair.user as usize), &batch, &mut one)?;
        scores.append(&mut one);
    }
    Ok(scores)
}

/// Turns scores, whose odds say how likely a pair is to be bought in units of `1 / usual`, into how likely it is to be one of
/// the bought pairs among labelled ones: the more likely a pair was to be drawn as a negative, the less.
pub fn among_sampled(scores: &[f32], chances: &[f32], usual: f32) -> Vec<f32> {
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
