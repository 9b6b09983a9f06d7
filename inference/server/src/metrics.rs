//! What is counted and timed, and its text for Prometheus. Of an online store: [`online`]; what an experiment's arms did: [`experiment`].

mod experiment;
mod online;

use std::time::Duration;

use gondola_protocol::{Code, Served, ServiceError};
use gondola_request::Change;
use gondola_wire::router_report::RouterReport;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

pub use online::{OnlineMetrics, OnlineRead};

use crate::traces::{self, Exemplar};

/// Times, each bucket with a trace of one that was kept.
type Times = HistogramWithExemplars<Exemplar>;

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Method {
    /// What a user should see.
    Recommend,
    /// What is like an item.
    Similar,
    /// What becomes of items in an answer.
    Explain,
    /// A new user, or one that is replaced.
    PutUser,
    /// A user of whom columns change.
    PatchUser,
    /// A user who is forgotten.
    DeleteUser,
    /// A new item, or one that is replaced.
    PutItem,
    /// An item of which columns change.
    PatchItem,
    /// An item that leaves the catalog.
    DeleteItem,
    /// Rules that are replaced, or taken back.
    PutRules,
    /// The rules that stand.
    GetRules,
    /// Several changes, and what users did.
    ApplyChanges,
    /// What units of an experiment did.
    RecordOutcomes,
    /// Describes what is loaded.
    Describe,
}

impl Method {
    /// The kind of a request that makes one change.
    pub fn of(change: &Change) -> Self {
        match change {
            Change::PutUser { .. } => Self::PutUser,
            Change::PatchUser { .. } => Self::PatchUser,
            Change::DeleteUser { .. } => Self::DeleteUser,
            Change::PutItem { .. } => Self::PutItem,
            Change::PatchItem { .. } => Self::PatchItem,
            Change::DeleteItem { .. } => Self::DeleteItem,
            Change::Interaction(_) => Self::ApplyChanges,
            Change::PutRules(_) | Change::DeleteRules => Self::PutRules,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeLabels {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    variant: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DenialLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    variant: String,
    stage: &'static str,
}

/// What the compute threads behind a server count.
#[derive(Clone, Debug, Default)]
pub struct ComputeMetrics {
    /// Requests that wait.
    pub waiting: Gauge,
    /// Requests that were refused because too many waited.
    pub refused: Counter,
    /// Requests whose deadline passed while they waited, and that were not begun.
    pub expired: Counter,
    /// Requests that were answered together with others, or would have been if others had been there.
    pub gathered: Counter,
    /// How often requests were answered together.
    pub batches: Counter,
}

/// What the room for questions counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomMetrics {
    /// How many questions may be answered at once now.
    pub(crate) places: Gauge,
    /// Questions that were refused because every place was taken.
    pub(crate) refused: Counter,
}

/// Everything that a server counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<TimeLabels, Times>,
    answers: Family<AnswerLabels, Counter>,
    degraded: Family<AnswerLabels, Counter>,
    denied: Family<DenialLabels, Counter>,
    stages: Family<StageLabels, Times>,
    compute: ComputeMetrics,
    online: OnlineMetrics,
    ready: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gondola");
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(times),
            answers: Family::default(),
            degraded: Family::default(),
            denied: Family::default(),
            stages: Family::new_with_constructor(times),
            compute: ComputeMetrics::default(),
            online: OnlineMetrics::default(),
            ready: Gauge::default(),
        };
        registry.register(
            "requests",
            "Requests by method and outcome",
            metrics.requests.clone(),
        );
        registry.register(
            "request_seconds",
            "Seconds from the complete request to its answer, of all but questions that had no place",
            metrics.seconds.clone(),
        );
        registry.register(
            "answers",
            "Recommendations by the variant that answered and why the user got it",
            metrics.answers.clone(),
        );
        registry.register(
            "degraded",
            "Degraded answers, by the reason",
            metrics.degraded.clone(),
        );
        registry.register(
            "denied",
            "Requests that were not let in, by the reason",
            metrics.denied.clone(),
        );
        registry.register(
            "stage_seconds",
            "Seconds that each stage took on its compute thread",
            metrics.stages.clone(),
        );
        let ComputeMetrics {
            waiting,
            refused,
            expired,
            gathered,
            batches,
        } = metrics.compute.clone();
        registry.register(
            "compute_waiting",
            "Requests waiting for a compute thread",
            waiting,
        );
        registry.register(
            "compute_refused",
            "Requests refused because the queue was full",
            refused,
        );
        registry.register(
            "compute_expired",
            "Requests whose deadline passed in the queue",
            expired,
        );
        registry.register(
            "compute_gathered",
            "Requests answered together by a variant with a device",
            gathered,
        );
        registry.register(
            "compute_batches",
            "Times that requests were answered together",
            batches,
        );
        metrics.online.register(&mut registry);
        registry.register("ready", "1 while requests are accepted", metrics.ready.clone());
        metrics.registry = registry;
        metrics
    }
}

impl Metrics {
    /// What the compute threads count.
    pub fn compute(&self) -> &ComputeMetrics {
        &self.compute
    }

    /// What is counted of the online store.
    pub fn online(&self) -> &OnlineMetrics {
        &self.online
    }

    /// What the room for questions counts, where there is one.
    pub(crate) fn of_room(&mut self) -> RoomMetrics {
        let room = RoomMetrics::default();
        self.registry.register(
            "room_places",
            "Questions that may be answered at once now, which follows how they are answered",
            room.places.clone(),
        );
        self.registry.register(
            "room_refused",
            "Questions refused because every place was taken",
            room.refused.clone(),
        );
        room
    }

    /// Notes whether requests are accepted.
    pub fn set_ready(&self, ready: bool) {
        self.ready.set(ready.into());
    }

    /// Notes how a request ended.
    pub fn ended<T>(&self, method: Method, took: Duration, outcome: &Result<T, ServiceError>) {
        let code = outcome
            .as_ref()
            .map_or_else(|error| error.code().as_str(), |_| "OK");
        let method = method.into();
        self.requests.get_or_create(&RequestLabels { method, code }).inc();
        self.seconds.get_or_create(&TimeLabels { method }).observe(
            took.as_secs_f64(),
            traces::exemplar(),
            None,
        );
    }

    /// Notes a question that had no place. It took no time, which would hide how long the others take.
    pub(crate) fn refused(&self, method: Method) {
        let (method, code) = (method.into(), Code::ResourceExhausted.as_str());
        self.requests.get_or_create(&RequestLabels { method, code }).inc();
    }

    /// Notes that a request was not let in.
    pub(crate) fn denied(&self, reason: &'static str) {
        self.denied.get_or_create(&DenialLabels { reason }).inc();
    }

    /// Notes what an answer was made of.
    pub fn answered(&self, served: &Served) {
        let variant = || served.variant.to_string();
        let reason = served.reason.map_or("", |reason| reason.as_str());
        self.answers
            .get_or_create(&AnswerLabels {
                variant: variant(),
                reason,
            })
            .inc();
        for degradation in &served.answer.degraded {
            let reason = degradation.as_str();
            self.degraded
                .get_or_create(&AnswerLabels {
                    variant: variant(),
                    reason,
                })
                .inc();
        }
        let exemplar = traces::exemplar();
        for timing in &served.answer.timing {
            let labels = StageLabels {
                variant: variant(),
                stage: timing.stage.as_str(),
            };
            self.stages
                .get_or_create(&labels)
                .observe(timing.took.as_secs_f64(), exemplar.clone(), None);
        }
    }

    /// Everything as OpenMetrics text, with what the arms of an experiment did.
    pub fn text(&self, report: Option<&RouterReport>) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)
            .and_then(|()| match report {
                Some(report) => encode_registry(&mut text, &experiment::registry(report)),
                None => Ok(()),
            })
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes everything that is written to it");
        text
    }
}

fn times() -> Times {
    Times::new(bounds())
}

/// From 10 microseconds, a stage that does little, to 1.3 seconds, far past any deadline.
fn bounds() -> impl Iterator<Item = f64> {
    exponential_buckets(10e-6, 2.0, 18)
}
