//! Metrics of ranked lists: what part of what a user bought is in the list, and how far up.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::bootstrap::{Interval, intervals};

/// Means over users of the metrics of their lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingMetrics {
    /// Share of what the user bought that is among the first k.
    pub recall: f64,
    /// Mean average precision: precision at each hit, summed and divided by the most hits that there could
    /// be.
    pub map: f64,
    /// Discounted gain of the hits, as a share of the best that there could be.
    pub ndcg: f64,
    /// Number of users.
    pub users: usize,
}

impl RankingMetrics {
    /// Means over (list, bought) of every user who bought anything. An item that a list repeats is a hit
    /// once.
    pub fn of<'a, T: Eq + Hash + 'a>(
        users: impl Iterator<Item = (&'a [T], &'a HashSet<T>)>,
        k: usize,
    ) -> Self {
        Self::mean(&UserMetrics::of_each(users, k))
    }

    /// Means over users.
    pub fn mean(users: &[UserMetrics]) -> Self {
        let [recall, map, ndcg] = weighted(users, &vec![1.0; users.len()]);
        Self {
            recall,
            map,
            ndcg,
            users: users.len(),
        }
    }
}

/// Bootstrap intervals of the means, over users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankingIntervals {
    /// Of the recall.
    pub recall: Interval,
    /// Of the mean average precision.
    pub map: Interval,
    /// Of the discounted gain.
    pub ndcg: Interval,
}

impl RankingIntervals {
    /// Of some users' lists.
    pub fn of(users: &[UserMetrics], seed: u64) -> Self {
        let [recall, map, ndcg] = intervals(users.len(), seed, |counts| weighted(users, counts));
        Self { recall, map, ndcg }
    }
}

/// One of the metrics of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ListMetric {
    /// Discounted gain of the hits, as a share of the best that there could be.
    Ndcg,
    /// Mean average precision.
    Map,
    /// Share of what was bought that is in the list.
    Recall,
}

impl ListMetric {
    /// What reports call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Ndcg => "nDCG",
            Self::Map => "MAP",
            Self::Recall => "recall",
        }
    }
}

/// Recall, average precision and discounted gain of one user's list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserMetrics([f64; 3]);

impl UserMetrics {
    /// Of every user who bought anything.
    pub fn of_each<'a, T: Eq + Hash + 'a>(
        users: impl Iterator<Item = (&'a [T], &'a HashSet<T>)>,
        k: usize,
    ) -> Vec<Self> {
        let buyers = users.filter(|(_, bought)| !bought.is_empty());
        buyers.map(|(list, bought)| Self::of(list, bought, k)).collect()
    }

    /// One of them.
    pub fn get(&self, metric: ListMetric) -> f64 {
        let [recall, map, ndcg] = self.0;
        match metric {
            ListMetric::Ndcg => ndcg,
            ListMetric::Map => map,
            ListMetric::Recall => recall,
        }
    }

    fn of<T: Eq + Hash>(list: &[T], bought: &HashSet<T>, k: usize) -> Self {
        let mut seen = HashSet::new();
        let hits: Vec<bool> = list
            .iter()
            .take(k)
            .map(|item| bought.contains(item) && seen.insert(item))
            .collect();
        let found = hits.iter().filter(|hit| **hit).count() as f64;
        let most = bought.len().min(k);
        Self([
            found / bought.len() as f64,
            average_precision(&hits, most),
            discounted_gain(&hits, most),
        ])
    }
}

/// Means over users, of which each counts so often.
fn weighted(users: &[UserMetrics], counts: &[f64]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (UserMetrics(metrics), count) in users.iter().zip(counts) {
        for (sum, metric) in sums.iter_mut().zip(metrics) {
            *sum += count * metric;
        }
    }
    let total = counts.iter().sum::<f64>().max(1.0);
    sums.map(|sum| sum / total)
}

/// Precision at each hit of a list, summed and divided by the most hits that there could be.
pub(crate) fn average_precision(hits: &[bool], most: usize) -> f64 {
    let (mut found, mut sum) = (0.0, 0.0);
    for (position, _) in hits.iter().enumerate().filter(|(_, hit)| **hit) {
        found += 1.0;
        sum += found / (position + 1) as f64;
    }
    sum / most.max(1) as f64
}

/// The discounted gain of a list's hits, as a share of the best that there could be.
pub(crate) fn discounted_gain(hits: &[bool], most: usize) -> f64 {
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
