//! The resolver: the one pod of a pipeline that looks up what channels point to, and where it reports.

use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::{Installation, pod, rights};
use crate::names::Component;
use crate::pipeline::Pipeline;

const RESOLVER: Component<'_> = Component::Resolver;
const START_SECONDS: i32 = 60;

/// The ConfigMap that the resolver reports in. Applied empty, since its content belongs to the resolver.
pub fn config_map(pipeline: &Pipeline) -> ConfigMap {
    let names = &pipeline.names;
    ConfigMap {
        metadata: names.metadata(names.resolution()),
        ..ConfigMap::default()
    }
}

/// The resolver's Deployment: one pod, never two at once.
pub fn deployment(pipeline: &Pipeline, installation: &Installation) -> Deployment {
    let names = &pipeline.names;
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), None);
    let mut resolve = pod::container("resolve", installation.images.router(), &["resolve"], &overrides);
    resolve.resources = Some(pod::modest_resources());
    pod::set(&mut resolve, variables::PIPELINE, names.pipeline());
    pod::set(&mut resolve, variables::REPORT_CONFIG_MAP, names.resolution());
    let artifacts = serde_json::to_string(&pipeline.spec.artifacts.place())
        .expect("a spec that was read from JSON can be written as JSON");
    // An older pod must not report for a newer spec from the store that it knows.
    pod::set(&mut resolve, variables::ARTIFACTS, artifacts);
    pod::make_reporter(&mut resolve, START_SECONDS);
    let mut pod = pod::spec(
        pipeline.artifacts_account(),
        names.label_selector(RESOLVER),
        &overrides,
        installation,
    );
    pod.automount_service_account_token = Some(true);
    pod.containers = vec![resolve];
    pod::reads_store(&mut pod, &pipeline.spec.artifacts);
    let mut deployment = pod::single_pod_deployment(names, RESOLVER, pod);
    pod::label(&mut deployment.spec.template, &overrides);
    deployment
}

/// The service account of pods that read the store; none where the spec names one.
pub fn account(pipeline: &Pipeline) -> Option<ServiceAccount> {
    let names = &pipeline.names;
    let own = pipeline.spec.artifacts.service_account_name.is_none();
    own.then(|| ServiceAccount {
        metadata: names.metadata(pipeline.artifacts_account()),
        ..ServiceAccount::default()
    })
}

/// What the resolver may do: read its own pipeline, and write its own report.
pub fn rights(pipeline: &Pipeline) -> (Role, RoleBinding) {
    let names = &pipeline.names;
    let rules = rights::of_reporter(names.pipeline().to_owned(), names.resolution());
    rights::grant(
        names.component_metadata(RESOLVER),
        rules,
        pipeline.artifacts_account(),
    )
}
