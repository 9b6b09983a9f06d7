//! Events: what changed, once, for people who describe a pipeline.

use gondola_crds::RecommenderPipeline;
use gondola_experiments::report::CONDITIONS;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

/// Tells people of changes.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    /// Events that name `instance`, the operator's pod, as who reports.
    pub fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter {
            controller: "gondola-operator".to_owned(),
            instance: Some(instance),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Tells. An event that is lost is no reason to stop.
    pub async fn tell(&self, pipeline: &RecommenderPipeline, event: &Event) {
        if let Err(error) = self.0.publish(event, &pipeline.object_ref(&())).await {
            tracing::warn!(%error, reason = event.reason, "an event could not be written");
        }
    }
}

/// What is worth an event: each condition of which the truth or the reason changed.
pub fn between(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    // What is being done, and what others say already.
    let quiet = |condition: &&Condition| condition.type_ != "Reconciling" && condition.type_ != "Stalled";
    let changed = |condition: &&Condition| {
        let was = before.iter().find(|was| was.type_ == condition.type_);
        was.is_none_or(|was| (&was.status, &was.reason) != (&condition.status, &condition.reason))
    };
    let worth = |condition: &&Condition| {
        let first = before.iter().all(|was| was.type_ != condition.type_);
        // That nothing is wrong, or nothing known, is no news.
        !(first && (is_usual(condition) || condition.status == "Unknown"))
    };
    let all = after.iter().filter(quiet).filter(changed).filter(worth);
    all.map(event).collect()
}

/// Conditions that are bad when they hold.
const BAD_WHEN_TRUE: [&str; 3] = ["Degraded", "SampleRatioMismatch", "SpecDrift"];
/// Conditions that are neither good nor bad.
const NEUTRAL: [&str; 3] = ["RampProgressing", "Significant", "PromotionReady"];

/// Whether a condition says nothing that somebody would act on.
fn is_usual(condition: &Condition) -> bool {
    let kind = condition.type_.as_str();
    let of_experiment = kind != "ExperimentReady" && CONDITIONS.contains(&kind);
    (kind == "Degraded" || of_experiment) && !is_bad(condition) && condition.status != "Unknown"
}

fn is_bad(condition: &Condition) -> bool {
    let kind = condition.type_.as_str();
    if NEUTRAL.contains(&kind) {
        return false;
    }
    let bad_when = if BAD_WHEN_TRUE.contains(&kind) {
        "True"
    } else {
        "False"
    };
    // An experiment that was ended, or of which nothing can be believed, is there and yet no success.
    condition.status == bad_when || ["RolledBack", "Invalid"].contains(&condition.reason.as_str())
}

fn event(condition: &Condition) -> Event {
    let type_ = if is_bad(condition) {
        EventType::Warning
    } else {
        EventType::Normal
    };
    Event {
        type_,
        reason: condition.reason.clone(),
        note: Some(format!("{}: {}", condition.type_, condition.message)),
        action: condition.type_.clone(),
        secondary: None,
    }
}
