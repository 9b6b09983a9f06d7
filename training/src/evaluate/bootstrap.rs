//! Confidence intervals: how much a metric moves when other users had come.
//!
//! Users are drawn as often as there are, with repetition; a user who is drawn twice counts twice. The pairs
//! and lists of one user are alike, so drawing pairs would make intervals too narrow. The same seed gives the
//! same intervals.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How often users are drawn.
const DRAWS: usize = 200;

/// The 95 % bootstrap interval of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// 2.5 of 100 draws give less.
    pub low: f64,
    /// 2.5 of 100 draws give more.
    pub high: f64,
}

/// The intervals of some metrics, which are computed from how often each user counts.
pub fn intervals<const N: usize>(
    users: usize,
    seed: u64,
    metrics: impl Fn(&[f64]) -> [f64; N],
) -> [Interval; N] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draws = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let mut counts = vec![0.0; users];
        for _ in 0..users {
            counts[rng.random_range(0..users)] += 1.0;
        }
        draws.push(metrics(&counts));
    }
    std::array::from_fn(|metric| interval(draws.iter().map(|draw| draw[metric]).collect()))
}

/// The mean of users' values, of which each counts so often.
pub(crate) fn weighted_mean(values: &[f64], counts: &[f64]) -> f64 {
    let sum: f64 = values
        .iter()
        .zip(counts)
        .map(|(value, count)| value * count)
        .sum();
    sum / counts.iter().sum::<f64>().max(1.0)
}

fn interval(mut values: Vec<f64>) -> Interval {
    values.sort_by(f64::total_cmp);
    let outside = DRAWS / 40;
    Interval {
        low: values[outside],
        high: values[DRAWS - 1 - outside],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_a_mean_is_as_wide_as_theory_says() {
        let values: Vec<f64> = (0..400).map(|user| f64::from(user % 2)).collect();
        let mean = |counts: &[f64]| {
            let sum: f64 = counts
                .iter()
                .zip(&values)
                .map(|(count, value)| count * value)
                .sum();
            [sum / counts.iter().sum::<f64>()]
        };
        let [found] = intervals(values.len(), 3, mean);
        // The mean of 400 coins has a deviation of 0.025; 1.96 of them are on each side.
        assert!(
            (found.low - 0.451).abs() < 0.012 && (found.high - 0.549).abs() < 0.012,
            "{found:?}"
        );
        assert_eq!([found], intervals(values.len(), 3, mean));
    }
}
