//! How long the steps of a run take.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The time that a step took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// The step.
    pub step: String,
    /// Its seconds.
    pub seconds: f64,
}

/// The steps so far, in the order in which they ended.
#[derive(Clone, Debug, Default)]
pub struct Timings(Vec<StepTime>);

impl Timings {
    /// Does a step and notes the time, whatever comes of it.
    pub fn time<T>(&mut self, step: impl Into<String>, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.end(step.into(), started);
        result
    }

    /// The same for a step that waits.
    pub async fn time_async<T>(&mut self, step: impl Into<String>, work: impl AsyncFnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work().await;
        self.end(step.into(), started);
        result
    }

    /// All steps.
    pub fn into_steps(self) -> Vec<StepTime> {
        self.0
    }

    fn end(&mut self, step: String, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        self.0.push(StepTime { step, seconds });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_step_that_fails_has_taken_its_time_too() {
        let mut timings = Timings::default();
        let failed: Result<(), &str> = timings.time("first", || Err("no"));
        assert_eq!(failed, Err("no"));
        assert_eq!(timings.time_async("second", async || 2).await, 2);
        let steps = timings.into_steps();
        assert!(steps.iter().all(|step| step.seconds >= 0.0));
        let steps = steps.into_iter().map(|step| step.step);
        assert_eq!(steps.collect::<Vec<_>>(), ["first", "second"]);
    }
}
