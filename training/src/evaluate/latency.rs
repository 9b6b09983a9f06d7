//! How long requests take.

use serde::{Deserialize, Serialize};

/// The usual and the slow among many requests, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the requests were quicker.
    pub median: f64,
    /// 99 of 100 were quicker.
    pub p99: f64,
}

impl Latency {
    /// Of requests that took these microseconds; 0 where there were none.
    pub fn of(mut microseconds: Vec<f64>) -> Self {
        microseconds.sort_by(f64::total_cmp);
        let last = microseconds.len() as f64 - 1.0;
        let at = |share: f64| microseconds.get((last * share) as usize).copied().unwrap_or(0.0);
        Self {
            median: at(0.5),
            p99: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_are_seen_beside_the_usual() {
        let latency = Latency::of((0..=100).rev().map(f64::from).collect());
        assert_eq!((latency.median, latency.p99), (50.0, 99.0));
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
