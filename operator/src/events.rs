//! Events: what changed, once, for people who describe a pipeline.

use gondola_crds::RecommenderPipeline;
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
        // That nothing is wrong is no news.
        !(first && condition.type_ == "Degraded" && condition.status == "False")
    };
    let all = after.iter().filter(quiet).filter(changed).filter(worth);
    all.map(event).collect()
}

fn event(condition: &Condition) -> Event {
    let bad_when = if condition.type_ == "Degraded" {
        "True"
    } else {
        "False"
    };
    let type_ = if condition.status == bad_when {
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
