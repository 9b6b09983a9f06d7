//! Looking at what is there, once a pass: the clock, the caches, and events of pods that wait for something.

pub(crate) mod mounts;

use k8s_openapi::jiff::Timestamp;
use kube::Client;

use crate::caches::{Caches, index};
use crate::observed::Observed;
use crate::pipeline::Pipeline;

/// All that a pass knows of a pipeline in addition to its spec and status.
pub async fn pipeline(client: &Client, caches: &Caches, pipeline: &Pipeline) -> Observed {
    let mut observed = cached(caches, pipeline, Timestamp::now());
    observed.pod_events = mounts::explain(
        client,
        pipeline.names.namespace(),
        observed.pods.values().map(|pod| pod.as_ref()),
        observed.now,
    )
    .await;
    observed
}

/// What the caches alone know of a pipeline.
pub fn cached(caches: &Caches, pipeline: &Pipeline, now: Timestamp) -> Observed {
    let namespace = pipeline.names.namespace();
    let key = index::key(namespace, pipeline.names.pipeline());
    let account = pipeline.spec.artifacts.service_account_name.as_deref();
    Observed {
        now,
        children: caches.children(&key),
        replica_sets: caches.replica_sets(&key),
        pods: caches.pods(&key),
        pod_events: Default::default(),
        extensions: caches.extensions(&key),
        api_server: caches.api_server(),
        // Otherwise anyone who may write pipelines could use any account of the namespace.
        account_allowed: account.is_none_or(|account| caches.allows_account(namespace, account)),
    }
}
