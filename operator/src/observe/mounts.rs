//! Why pods wait that don't say so in their status: a volume that can't be mounted stands in events alone.
//!
//! Events are not watched, since a cluster has too many: those of the few pods that wait are asked for.

use std::collections::BTreeMap;

use gondola_causes::with_causes;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::observed::pods::{PodProblem, is_stuck_without_a_word};

/// Pods whose events are asked for in one pass, at most.
const MAX_PODS: usize = 3;
/// Events of a pod that are looked at.
const MAX_EVENTS: u32 = 20;

/// What events say of the pods of a namespace that wait for long and whose status doesn't say for what, by the pod's name.
pub(crate) async fn explain(
    client: &Client,
    namespace: &str,
    pods: impl Iterator<Item = &Pod>,
    now: Timestamp,
) -> BTreeMap<String, PodProblem> {
    let stuck: Vec<String> = pods
        .filter(|pod| is_stuck_without_a_word(pod, now))
        .map(|pod| pod.name_any())
        .take(MAX_PODS)
        .collect();
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    let mut problems = BTreeMap::new();
    for pod in stuck {
        let of_pod = ListParams::default()
            .fields(&format!(
                "involvedObject.name={pod},involvedObject.kind=Pod,type=Warning"
            ))
            .limit(MAX_EVENTS);
        match events.list(&of_pod).await {
            Ok(found) => problems.extend(latest(found.items).map(|problem| (pod, problem))),
            Err(error) => tracing::debug!(error = with_causes(&error), pod, "its events can't be read"),
        }
    }
    problems
}

fn latest(events: Vec<Event>) -> Option<PodProblem> {
    let time = |event: &Event| event.last_timestamp.as_ref().map(|time| time.0);
    let event = events.into_iter().max_by_key(time)?;
    Some(PodProblem {
        reason: event.reason?,
        message: event.message.unwrap_or_default(),
    })
}
