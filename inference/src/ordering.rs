//! Ordering: the best `k` of the scored candidates, best first.

/// A candidate and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The item's row.
    pub item: u32,
    /// Its score; never NaN.
    pub score: f32,
}

/// Keeps the `k` highest scores, the highest first; equal scores stay in the order in which they were given.
pub fn top(mut scored: Vec<Scored>, k: usize) -> Vec<Scored> {
    // A stable sort of a few hundred candidates costs microseconds, and its order does not change from run to run.
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    scored.truncate(k);
    scored
}

/// Turns the probability of a model whose negatives were drawn in proportion to `weight` into one that ranks purchases:
/// the odds times the weight. See [`crate::scoring::Loaded::sampled_by`].
pub fn with_weight(probability: f32, weight: f32) -> f32 {
    let odds = probability / (1.0 - probability).max(f32::EPSILON) * weight;
    odds / (1.0 + odds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_multiplies_the_odds() {
        assert!((with_weight(0.5, 1.0) - 0.5).abs() < 1e-6);
        assert!((with_weight(0.5, 3.0) - 0.75).abs() < 1e-6);
        assert!(with_weight(1.0, 2.0) <= 1.0);
        assert_eq!(with_weight(0.0, 2.0), 0.0);
    }

    #[test]
    fn the_highest_scores_come_first_and_ties_keep_their_order() {
        let scored = [0.1, 0.9, 0.5, 0.9]
            .iter()
            .zip(0..)
            .map(|(&score, item)| Scored { item, score });
        let items: Vec<u32> = top(scored.collect(), 3)
            .iter()
            .map(|scored| scored.item)
            .collect();
        assert_eq!(items, [1, 3, 2]);
    }
}
