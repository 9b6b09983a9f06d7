//! Metrics of ranked lists: what part of what a user bought is in the list, and how far up.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

/// Means over users of the metrics of their lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingMetrics {
    /// Share of what the user bought that is among the first k.
    pub recall: f64,
    /// Mean average precision: precision at each hit, summed and divided by the most hits that there could be.
    pub map: f64,
    /// Discounted gain of the hits, as a share of the best that there could be.
    pub ndcg: f64,
    /// Number of users.
    pub users: usize,
}

impl RankingMetrics {
    /// Means over (list, bought) of every user who bought anything. An item that a list repeats is a hit once.
    pub fn of<'a, T: Eq + Hash + 'a>(
        users: impl Iterator<Item = (&'a [T], &'a HashSet<T>)>,
        k: usize,
    ) -> Self {
        let mut total = Self::default();
        for (list, bought) in users.filter(|(_, bought)| !bought.is_empty()) {
            let mut seen = HashSet::new();
            let hits: Vec<bool> = list
                .iter()
                .take(k)
                .map(|item| bought.contains(item) && seen.insert(item))
                .collect();
            total.recall += hits.iter().filter(|hit| **hit).count() as f64 / bought.len() as f64;
            total.map += average_precision(&hits, bought.len().min(k));
            total.ndcg += discounted_gain(&hits, bought.len().min(k));
            total.users += 1;
        }
        let count = total.users.max(1) as f64;
        Self {
            recall: total.recall / count,
            map: total.map / count,
            ndcg: total.ndcg / count,
            users: total.users,
        }
    }
}

fn average_precision(hits: &[bool], most: usize) -> f64 {
    let (mut found, mut sum) = (0.0, 0.0);
    for (position, _) in hits.iter().enumerate().filter(|(_, hit)| **hit) {
        found += 1.0;
        sum += found / (position + 1) as f64;
    }
    sum / most.max(1) as f64
}

fn discounted_gain(hits: &[bool], most: usize) -> f64 {
    let discount = |position: usize| 1.0 / ((position + 2) as f64).log2();
    let gain: f64 = hits
        .iter()
        .enumerate()
        .filter(|(_, hit)| **hit)
        .map(|(position, _)| discount(position))
        .sum();
    gain / (0..most.max(1)).map(discount).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &[u32], bought: &[u32], recall: f64, map: f64, ndcg: f64) {
        let bought: HashSet<u32> = bought.iter().copied().collect();
        let metrics = RankingMetrics::of([(list, &bought)].into_iter(), 3);
        for (found, wanted) in [(metrics.recall, recall), (metrics.map, map), (metrics.ndcg, ndcg)] {
            assert!((found - wanted).abs() < 1e-9, "{metrics:?}");
        }
    }

    #[test]
    fn a_hit_counts_more_the_further_up_it_is() {
        check(&[1, 2, 3], &[1, 2, 3], 1.0, 1.0, 1.0);
        check(&[1, 2, 3], &[9], 0.0, 0.0, 0.0);
        check(&[9, 1, 8], &[1], 1.0, 0.5, 1.0 / 3f64.log2());
        check(
            &[1, 9, 2],
            &[1, 2, 3, 4],
            0.5,
            (1.0 + 2.0 / 3.0) / 3.0,
            1.5 / (1.0 + 1.0 / 3f64.log2() + 0.5),
        );
        check(&[9, 9, 9, 1], &[1], 0.0, 0.0, 0.0);
    }
}
