//! How often models were asked, and how long they took: what Triton's clients read as an ensemble with steps.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gondola_request::StageTiming;
use serde_json::{Value, json};

use crate::model::Model;
use crate::proto::{InferStatistics, ModelStatistics, StatisticDuration};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Statistics {
    counts: Mutex<BTreeMap<&'static str, Count>>,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    succeeded: Sum,
    failed: Sum,
    /// What is not a stage's: the way through the server, and waiting.
    around: Sum,
    stages: Sum,
    /// Milliseconds since 1970.
    last: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    ns: u64,
}

impl Sum {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.ns += took.as_nanos() as u64;
    }

    fn message(self) -> StatisticDuration {
        StatisticDuration {
            count: self.count,
            ns: self.ns,
        }
    }

    fn json(self) -> Value {
        json!({"count": self.count, "ns": self.ns})
    }
}

impl Statistics {
    /// Notes an answer, and how long its stages took.
    pub fn answered(&self, model: Model, took: Duration, stages: &[StageTiming]) {
        let last = now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let within: Duration = stages.iter().map(|stage| stage.took).sum();
        let count = counts.entry(model.name()).or_default();
        count.succeeded.add(took);
        count.around.add(took.saturating_sub(within));
        count.stages.add(within);
        count.last = last;
        for stage in stages {
            let count = counts.entry(stage.stage.as_str()).or_default();
            count.succeeded.add(stage.took);
            count.around.add(Duration::ZERO);
            count.stages.add(stage.took);
            count.last = last;
        }
    }

    /// Notes a question that was not answered.
    pub fn failed(&self, model: Model, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.entry(model.name()).or_default().failed.add(took);
    }

    /// Of a model.
    pub fn of(&self, model: Model) -> ModelStatistics {
        let count = self.count(model);
        let none = Some(StatisticDuration::default());
        ModelStatistics {
            name: model.name().to_owned(),
            version: crate::VERSION.to_owned(),
            last_inference: count.last,
            inference_count: count.succeeded.count,
            execution_count: count.succeeded.count,
            inference_stats: Some(InferStatistics {
                success: Some(count.succeeded.message()),
                fail: Some(count.failed.message()),
                queue: Some(count.around.message()),
                compute_input: Some(
                    Sum {
                        ns: 0,
                        ..count.stages
                    }
                    .message(),
                ),
                compute_infer: Some(count.stages.message()),
                compute_output: Some(
                    Sum {
                        ns: 0,
                        ..count.stages
                    }
                    .message(),
                ),
                cache_hit: none,
                cache_miss: none,
            }),
        }
    }

    /// The same as JSON.
    pub fn json(&self, model: Model) -> Value {
        let count = self.count(model);
        let none = Sum::default().json();
        let nothing = Sum {
            ns: 0,
            ..count.stages
        }
        .json();
        json!({
            "name": model.name(),
            "version": crate::VERSION,
            "last_inference": count.last,
            "inference_count": count.succeeded.count,
            "execution_count": count.succeeded.count,
            "inference_stats": {
                "success": count.succeeded.json(),
                "fail": count.failed.json(),
                "queue": count.around.json(),
                "compute_input": nothing,
                "compute_infer": count.stages.json(),
                "compute_output": nothing,
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
            "memory_usage": [],
            "response_stats": {},
        })
    }

    fn count(&self, model: Model) -> Count {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(model.name()).copied().unwrap_or_default()
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use gondola_request::Stage;

    use super::*;

    #[test]
    fn stages_are_apart_from_what_is_around_them() {
        let statistics = Statistics::default();
        let stage = |stage, micros| StageTiming {
            stage,
            took: Duration::from_micros(micros),
        };
        let stages = [stage(Stage::Retrieval, 100), stage(Stage::Scoring, 300)];
        statistics.answered(Model::Recommend, Duration::from_micros(1_000), &stages);
        statistics.answered(Model::Recommend, Duration::from_micros(500), &stages);
        statistics.failed(Model::Recommend, Duration::from_micros(7));
        let seen = statistics.json(Model::Recommend);
        let of = |name: &str| seen["inference_stats"][name].clone();
        assert_eq!(of("success"), json!({"count": 2, "ns": 1_500_000}));
        assert_eq!(of("queue"), json!({"count": 2, "ns": 700_000}));
        assert_eq!(of("compute_infer"), json!({"count": 2, "ns": 800_000}));
        assert_eq!(of("fail"), json!({"count": 1, "ns": 7_000}));
        let scoring = statistics.of(Model::Stage(Stage::Scoring));
        assert_eq!(scoring.inference_count, 2);
        let stats = scoring.inference_stats.unwrap();
        assert_eq!(stats.compute_infer.unwrap().ns, 600_000);
    }
}
