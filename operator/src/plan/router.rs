//! The routers: their configuration, their pods, and the Service that clients use.

use std::collections::BTreeMap;

use gondola_wire::routes::{ROUTES_KEY, Routes};
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount, ServiceSpec};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};

use super::{Installation, Scale, access, experiment, pod, rights, variant};
use crate::names::Component;
use crate::pipeline::Pipeline;

/// Seconds until a router has its configuration and the addresses of all pods.
const START_SECONDS: i32 = 60;
/// Seconds after which clients are asked to reconnect, so that new routers get their share of long-lived connections.
const CONNECTION_AGE_SECONDS: u32 = 600;
const ROUTER: Component<'_> = Component::Router;

/// The routes that routers get. A change reaches them in the time of a watch event, without a restart.
pub fn config_map(pipeline: &Pipeline, routes: &Routes) -> ConfigMap {
    let names = &pipeline.names;
    let text = serde_json::to_string_pretty(routes).expect("routes hold text and numbers");
    ConfigMap {
        metadata: names.metadata(names.routes()),
        data: Some(BTreeMap::from([(ROUTES_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// How many routers there are.
pub fn replicas(pipeline: &Pipeline) -> i32 {
    let router = pipeline.spec.router.as_ref();
    router.and_then(|router| router.replicas).unwrap_or(2)
}

/// How many routers there should be.
pub fn scale(pipeline: &Pipeline) -> Scale {
    Scale {
        deployment: pipeline.names.component(ROUTER),
        replicas: replicas(pipeline),
    }
}

/// The Deployment of the routers.
pub fn deployment(pipeline: &Pipeline, installation: &Installation) -> Deployment {
    let names = &pipeline.names;
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), None);
    let mut route = pod::container("route", installation.images.router(), &["route"], &overrides);
    let router = pipeline.spec.router.as_ref();
    let wanted = router.and_then(|router| router.resources.clone());
    route.resources = Some(wanted.unwrap_or_else(pod::modest_resources));
    pod::set(&mut route, variables::ROUTES_CONFIG_MAP, names.routes());
    pod::set(
        &mut route,
        variables::CONNECTION_AGE_SECONDS,
        CONNECTION_AGE_SECONDS.to_string(),
    );
    pod::make_server(&mut route, START_SECONDS);
    pod::answers_within(&mut route, pipeline);
    let mut pod = pod::spec(
        names.component(ROUTER),
        names.label_selector(ROUTER),
        &overrides,
        installation,
    );
    pod.automount_service_account_token = Some(true);
    pod.containers = vec![route];
    if let Some(experiment) = &pipeline.spec.experiment {
        experiment::records_events(&mut pod, pipeline, experiment);
    }
    access::of_routers(&mut pod, pipeline);
    pod::traces(&mut pod, pipeline);
    let mut deployment = pod::deployment(names, ROUTER, pod);
    pod::label(&mut deployment.spec.template, &overrides);
    deployment
}

/// The Service for changes of users and items, outcomes and metrics. No Gateway leads to it.
pub fn admin_service(pipeline: &Pipeline) -> Service {
    let names = &pipeline.names;
    let mut service = service(pipeline);
    service.metadata.name = Some(names.admin());
    if let Some(spec) = &mut service.spec {
        spec.ports = Some(vec![variant::admin_port()]);
    }
    if access::routers_have_tls(pipeline) {
        access::over_tls(&mut service);
    }
    service
}

/// The Service that clients ask for recommendations.
pub fn service(pipeline: &Pipeline) -> Service {
    let names = &pipeline.names;
    let mut metadata = names.component_metadata(ROUTER);
    metadata.name = Some(names.pipeline().to_owned());
    let mut service = Service {
        metadata,
        spec: Some(ServiceSpec {
            selector: Some(names.selector(ROUTER)),
            ports: Some(vec![variant::port()]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    if access::routers_have_tls(pipeline) {
        access::over_tls(&mut service);
    }
    service
}

/// The routers' service account.
pub fn account(pipeline: &Pipeline) -> ServiceAccount {
    ServiceAccount {
        metadata: pipeline.names.component_metadata(ROUTER),
        ..ServiceAccount::default()
    }
}

/// What routers may do: watch their own configuration, and the addresses of pods.
pub fn rights(pipeline: &Pipeline) -> (Role, RoleBinding) {
    let names = &pipeline.names;
    let rules = vec![
        PolicyRule {
            resource_names: Some(vec![names.routes()]),
            ..rights::rule("", "configmaps", &["get", "list", "watch"])
        },
        rights::rule("discovery.k8s.io", "endpointslices", &["get", "list", "watch"]),
    ];
    rights::grant(names.component_metadata(ROUTER), rules, names.component(ROUTER))
}
