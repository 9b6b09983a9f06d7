//! Why pods wait that don't say so in their status: a volume that can't be mounted stands in events alone.
//!
//! Events are not watched, since a cluster has too many: those of the few pods that wait are asked for.

use gondola_crds::RecommenderPipeline;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::observe::Observed;
use crate::observe::pods::{PodProblem, is_stuck_without_a_word};

/// Pods whose events are asked for in one pass, at most.
const MOST_PODS: usize = 3;
/// Events of a pod that are looked at.
const MOST_EVENTS: u32 = 20;

/// Adds to what was observed why pods wait; says whether any does.
pub async fn explain(client: &Client, pipeline: &RecommenderPipeline, observed: &mut Observed) -> bool {
    let now = Timestamp::now();
    let waiting = observed.pods.values().filter(|pod| is_starting(pod));
    let any = waiting.clone().next().is_some();
    let stuck: Vec<String> = waiting
        .filter(|pod| is_stuck_without_a_word(pod, now))
        .map(|pod| pod.name_any())
        .take(MOST_PODS)
        .collect();
    let events: Api<Event> = Api::namespaced(client.clone(), &pipeline.namespace().unwrap_or_default());
    for pod in stuck {
        let of_pod = ListParams::default()
            .fields(&format!(
                "involvedObject.name={pod},involvedObject.kind=Pod,type=Warning"
            ))
            .limit(MOST_EVENTS);
        match events.list(&of_pod).await {
            Ok(found) => observed
                .pod_events
                .extend(latest(found.items).map(|problem| (pod, problem))),
            Err(error) => tracing::debug!(%error, pod, "its events can't be read"),
        }
    }
    any
}

/// Whether a pod has a node and is not running yet.
fn is_starting(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    phase == Some("Pending") && pod.metadata.deletion_timestamp.is_none()
}

fn latest(events: Vec<Event>) -> Option<PodProblem> {
    let time = |event: &Event| event.last_timestamp.as_ref().map(|time| time.0);
    let event = events.into_iter().max_by_key(time)?;
    Some(PodProblem {
        reason: event.reason?,
        message: event.message.unwrap_or_default(),
    })
}
