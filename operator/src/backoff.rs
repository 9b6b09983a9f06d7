//! How long a failed pipeline waits: one second, then twice as long each time, five minutes at most.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(300);

/// Failures in a row, by the pipeline's namespace and name. A failing pipeline does not delay others.
#[derive(Debug, Default)]
pub struct Backoff(Mutex<HashMap<String, u32>>);

impl Backoff {
    /// Counts a failure, and returns the time to wait.
    pub fn next(&self, pipeline: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(pipeline.to_owned()).or_default();
        let wait = FIRST.saturating_mul(2u32.saturating_pow(*count)).min(MAX_WAIT);
        *count += 1;
        wait
    }

    /// Forgets the failures of a pipeline that succeeded, or that was deleted.
    pub fn forget(&self, pipeline: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(pipeline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_five_minutes_and_starts_anew_after_a_success() {
        let backoff = Backoff::default();
        let waits: Vec<u64> = (0..12).map(|_| backoff.next("a").as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(
            backoff.next("b").as_secs(),
            1,
            "another pipeline does not wait for it"
        );
        backoff.forget("a");
        assert_eq!(backoff.next("a").as_secs(), 1);
    }
}
