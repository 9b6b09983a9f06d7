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

#[cfg(test)]
mod tests {
    use super::*;

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
