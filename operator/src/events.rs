//! Kubernetes Events: what changed, once, for `kubectl describe`.

use gondola_causes::with_causes;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use crate::finding::{Finding, Severity};

/// Publishes Kubernetes Events.
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

    /// Publishes an event about an object. A failure is logged, and is no reason to stop.
    pub async fn tell(&self, about: &ObjectReference, event: &Event) {
        if let Err(error) = self.0.publish(event, about).await {
            tracing::warn!(
                error = with_causes(&error),
                reason = event.reason,
                "an event could not be written"
            );
        }
    }
}

/// The findings that are worth an event: those whose truth or reason differs from the condition's before.
pub fn between(before: &[Condition], findings: &[(&'static str, Finding)]) -> Vec<Event> {
    let is_news = |(kind, finding): &&(&str, Finding)| {
        let mut before = before.iter();
        let same = |was: &Condition| (was.status.as_str(), was.reason.as_str()) == finding.as_condition();
        match before.find(|was| was.type_ == *kind) {
            Some(was) => finding.severity > Severity::Repeated && !same(was),
            None => finding.severity > Severity::Usual,
        }
    };
    findings.iter().filter(is_news).map(event).collect()
}

fn event((kind, finding): &(&str, Finding)) -> Event {
    Event {
        type_: match finding.severity {
            Severity::Repeated | Severity::Usual | Severity::Notice => EventType::Normal,
            Severity::Warning | Severity::Stuck => EventType::Warning,
        },
        reason: finding.reason.to_owned(),
        note: Some(format!("{kind}: {}", finding.message)),
        action: (*kind).to_owned(),
        secondary: None,
    }
}
