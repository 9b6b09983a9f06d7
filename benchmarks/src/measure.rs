//! Times of many requests, and what is said of them.

use std::time::Duration;

use gondola_models::pipeline::{Stage, StageTiming};
use serde_json::json;

/// What one thing took, many times.
#[derive(Debug, Default)]
pub(crate) struct Times {
    nanoseconds: Vec<u64>,
}

/// What is said of [`Times`], in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) minimum: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Times {
    pub(crate) fn add(&mut self, took: Duration) {
        self.nanoseconds.push(took.as_nanos() as u64);
    }

    pub(crate) fn extend(&mut self, other: Times) {
        self.nanoseconds.extend(other.nanoseconds);
    }

    pub(crate) fn len(&self) -> usize {
        self.nanoseconds.len()
    }

    /// All zero where nothing was timed.
    pub(crate) fn summary(&self) -> Summary {
        let mut sorted = self.nanoseconds.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let position = (share * sorted.len() as f64) as usize;
            let value = sorted.get(position.min(sorted.len().saturating_sub(1)));
            value.copied().unwrap_or(0) as f64 / 1e3
        };
        Summary {
            minimum: at(0.0),
            p50: at(0.5),
            p99: at(0.99),
        }
    }
}

impl Summary {
    /// As `compare.py` reads it.
    pub(crate) fn to_json(self) -> serde_json::Value {
        json!({"min_us": self.minimum, "p50_us": self.p50, "p99_us": self.p99})
    }
}

/// The times of whole requests and of their stages, in the order in which they ran.
#[derive(Debug, Default)]
pub(crate) struct RequestTimes {
    pub(crate) total: Times,
    stages: Vec<(Stage, Times)>,
}

impl RequestTimes {
    pub(crate) fn add(&mut self, total: Duration, stages: &[StageTiming]) {
        self.total.add(total);
        for timing in stages {
            match self.stages.iter_mut().find(|(stage, _)| *stage == timing.stage) {
                Some((_, times)) => times.add(timing.took),
                None => {
                    let mut times = Times::default();
                    times.add(timing.took);
                    self.stages.push((timing.stage, times));
                }
            }
        }
    }

    /// Name and summary of each stage, then of the whole.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Summary)> {
        let stages = self
            .stages
            .iter()
            .map(|(stage, times)| (stage.as_str(), times.summary()));
        stages.chain([("whole request", self.total.summary())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let mut times = Times::default();
        for microseconds in (1..=100).rev() {
            times.add(Duration::from_micros(microseconds));
        }
        let summary = times.summary();
        assert_eq!((summary.minimum, summary.p50, summary.p99), (1.0, 51.0, 100.0));
        assert_eq!(Times::default().summary(), Summary::default());
    }
}
