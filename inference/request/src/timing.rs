//! How long each stage of a request took.

use std::time::{Duration, Instant};

use strum::{EnumIter, IntoStaticStr};

/// The stages, in the order in which a request meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Stage {
    /// Look-up of the user's raw row and the workflow.
    Features,
    /// Query tower, index search and the other candidate sources.
    Retrieval,
    /// Rules that take candidates away.
    Filter,
    /// Pair features and the model.
    Scoring,
    /// The best `k`, in order.
    Ordering,
    /// An item's or a text's vector.
    Embedding,
    /// The nearest neighbors of a vector.
    Search,
}

impl Stage {
    /// The name used in answers and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How long one stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTiming {
    /// Which stage.
    pub stage: Stage,
    /// Wall time on the compute thread.
    pub took: Duration,
}

/// Times the stages of one request, so that they need not know that they are timed.
#[derive(Debug)]
pub struct StageClock {
    timings: Vec<StageTiming>,
}

impl StageClock {
    /// A clock that has timed nothing yet.
    pub fn start() -> Self {
        Self {
            timings: Vec::with_capacity(5),
        }
    }

    /// Runs one stage and notes how long it took.
    pub fn time<T>(&mut self, stage: Stage, run: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = run();
        self.timings.push(StageTiming {
            stage,
            took: started.elapsed(),
        });
        result
    }

    /// Notes a stage that ran for several requests at once: each of them waited for all of it.
    pub fn note(&mut self, stage: Stage, took: Duration) {
        self.timings.push(StageTiming { stage, took });
    }

    /// What was timed, in order.
    pub fn finish(self) -> Vec<StageTiming> {
        self.timings
    }
}
