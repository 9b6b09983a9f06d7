//! The resolver: the one pod of a pipeline that looks up what channels point to, and where it reports.

use gondola_crds::RecommenderPipeline;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::names::{Component, Names};
use super::{Installation, pod, rights};

const RESOLVER: Component<'_> = Component::Resolver;
const START_SECONDS: i32 = 60;

/// Where the resolver reports. Empty: what is in it is the resolver's alone.
pub fn config_map(pipeline: &RecommenderPipeline) -> ConfigMap {
    let names = Names::of(pipeline);
    ConfigMap {
        metadata: names.metadata(names.resolution()),
        ..ConfigMap::default()
    }
}

/// The resolver's Deployment: one pod, never two at once.
pub fn deployment(pipeline: &RecommenderPipeline, installation: &Installation) -> Deployment {
    let names = Names::of(pipeline);
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), None);
    let mut resolve = pod::container("resolve", installation.images.router(), &["resolve"], &overrides);
    resolve.resources = Some(pod::modest_resources());
    pod::set(&mut resolve, "GONDOLA_PIPELINE", names.pipeline());
    pod::set(&mut resolve, "GONDOLA_REPORT_CONFIG_MAP", names.resolution());
    let artifacts = serde_json::to_string(&pipeline.spec.artifacts.place())
        .expect("a spec that was read from JSON can be written as JSON");
    // An older pod must not answer for a newer spec by the store that it knows.
    pod::set(&mut resolve, "GONDOLA_ARTIFACTS", artifacts);
    pod::reports(&mut resolve, START_SECONDS);
    let mut pod = pod::spec(
        names.artifacts_account(),
        names.label_selector(RESOLVER),
        &overrides,
        installation,
    );
    pod.automount_service_account_token = Some(true);
    pod.containers = vec![resolve];
    pod::reads_store(&mut pod, &pipeline.spec.artifacts);
    let mut deployment = pod::only_one(&names, RESOLVER, pod);
    pod::label(&mut deployment, &overrides);
    deployment
}

/// The service account of pods that read the store; none where the spec names one.
pub fn account(pipeline: &RecommenderPipeline) -> Option<ServiceAccount> {
    let names = Names::of(pipeline);
    let own = pipeline.spec.artifacts.service_account_name.is_none();
    own.then(|| ServiceAccount {
        metadata: names.metadata(names.artifacts_account()),
        ..ServiceAccount::default()
    })
}

/// What the resolver may do: read its own pipeline, and write its own report.
pub fn rights(pipeline: &RecommenderPipeline) -> (Role, RoleBinding) {
    let names = Names::of(pipeline);
    let rules = rights::of_reporter(names.pipeline(), names.resolution());
    rights::grant(
        names.component_metadata(RESOLVER),
        rules,
        names.artifacts_account(),
    )
}
