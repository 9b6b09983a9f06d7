//! A variant's pods: their Deployment, the headless Service that routers find them by, and how many there are.

use gondola_crds::spec::Variant;
use gondola_wire::resolution::VariantBundles;
use gondola_wire::serve_order::ORDER_FILE;
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::{
    CrossVersionObjectReference, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::pod::{self, Access, BUNDLES_FOLDER};
use super::{Installation, Scale, access};
use crate::names::{BUNDLES, Component, Names};
use crate::pipeline::Pipeline;

/// The volume of a pod's order.
pub const ORDER_VOLUME: &str = "order";
const ORDER_FOLDER: &str = "/etc/gondola/order";
/// Where the Secret with the connection to the online store is mounted.
const ONLINE_FOLDER: &str = "/etc/gondola/online";
const DEFAULT_PROGRESS_DEADLINE: i32 = 600;
/// Bundles are loaded at this rate at least, for the budget of a start: a slow disk's.
const SLOWEST_BYTES_A_SECOND: u64 = 20 << 20;

/// The Deployment of a variant that serves these bundles, as `order` says it to its pods.
pub fn deployment(
    pipeline: &Pipeline,
    variant: &Variant,
    bundles: &VariantBundles,
    order: &ConfigMap,
    installation: &Installation,
) -> Deployment {
    let names = &pipeline.names;
    let component = Component::Variant(&variant.name);
    let mut deployment = pod::deployment(
        names,
        component,
        pod_spec(pipeline, variant, bundles, order, installation),
    );
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), variant.pods.as_ref());
    pod::limit_rollout(&mut deployment, pipeline.spec.rollout.as_ref());
    pod::label(&mut deployment.spec.template, &overrides);
    let spec = &mut deployment.spec;
    let deadline = pipeline.spec.progress_deadline_seconds;
    spec.progress_deadline_seconds = Some(deadline.unwrap_or(DEFAULT_PROGRESS_DEADLINE));
    let bundles =
        serde_json::to_string(bundles).expect("a report that was read from JSON can be written as JSON");
    let template = spec.template.metadata.get_or_insert_default();
    let annotations = template.annotations.get_or_insert_default();
    annotations.insert(BUNDLES.to_owned(), bundles);
    deployment
}

/// How many pods a variant's Deployment should have, where that is for the spec to say. An autoscaler starts from the
/// current number, and stays off at 0; if the spec says nothing, somebody else decides.
pub fn scale(names: &Names, variant: &Variant, live: &Deployment) -> Option<Scale> {
    let now = live.spec.replicas.unwrap_or(1);
    let replicas = match &variant.autoscaling {
        Some(autoscaling) => Some(autoscaling.min_replicas).filter(|fewest| now < *fewest),
        None => variant.replicas,
    }?;
    Some(Scale {
        deployment: names.component(Component::Variant(&variant.name)),
        replicas,
    })
}

fn pod_spec(
    pipeline: &Pipeline,
    variant: &Variant,
    bundles: &VariantBundles,
    order: &ConfigMap,
    installation: &Installation,
) -> k8s_openapi::api::core::v1::PodSpec {
    let names = &pipeline.names;
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), variant.pods.as_ref());
    let program = installation.images.of(variant);
    let mut pod = pod::spec(
        pipeline.artifacts_account(),
        names.label_selector(Component::Variant(&variant.name)),
        &overrides,
        installation,
    );
    let mut fetch = pod::container("fetch", program, &["fetch"], &overrides);
    fetch.resources = Some(pod::modest_resources());
    let mut serve = pod::container("serve", program, &["serve"], &overrides);
    serve.resources = Some(
        variant
            .resources
            .clone()
            .unwrap_or_else(|| pod::loading_resources(bundles.bytes())),
    );
    pod::make_server(&mut serve, start_seconds(bundles.bytes()));
    pod::answers_within(&mut serve, pipeline);
    pod.init_containers = Some(vec![fetch]);
    pod.containers = vec![serve];
    for container in pod
        .init_containers
        .iter_mut()
        .flatten()
        .chain(&mut pod.containers)
    {
        pod::set(
            container,
            variables::ORDER,
            format!("{ORDER_FOLDER}/{ORDER_FILE}"),
        );
        pod::set(container, variables::BUNDLES, BUNDLES_FOLDER);
    }
    let order_volume = pod::config_map(ORDER_VOLUME, &order.name_any());
    pod::mount(&mut pod, order_volume, ORDER_FOLDER, Access::Read);
    pod::mount(
        &mut pod,
        pod::bundles(bundles.bytes()),
        BUNDLES_FOLDER,
        Access::Write,
    );
    pod::reads_store(&mut pod, &pipeline.spec.artifacts);
    if let Some(online) = &pipeline.spec.features.online {
        let volume = pod::secret("online", &online.redis.secret_ref);
        pod::mount(&mut pod, volume, ONLINE_FOLDER, Access::Read);
        for container in &mut pod.containers {
            pod::set(container, variables::ONLINE_CREDENTIALS, ONLINE_FOLDER);
        }
        // Whoever fetches bundles needs no password.
        for mounts in pod
            .init_containers
            .iter_mut()
            .flatten()
            .filter_map(|container| container.volume_mounts.as_mut())
        {
            mounts.retain(|mount| mount.mount_path != ONLINE_FOLDER);
        }
    }
    access::of_variants(&mut pod, pipeline);
    pod::traces(&mut pod, pipeline);
    pod
}

/// How long a pod may load: a minute, and what its bundles take from a slow disk.
fn start_seconds(bytes: u64) -> i32 {
    i32::try_from(60 + bytes / SLOWEST_BYTES_A_SECOND).unwrap_or(i32::MAX)
}

/// The Service without an address of its own whose endpoints are the variant's pods.
pub fn service(pipeline: &Pipeline, variant: &Variant) -> Service {
    let names = &pipeline.names;
    let component = Component::Variant(&variant.name);
    let mut service = Service {
        metadata: names.component_metadata(component),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            selector: Some(names.selector(component)),
            ports: Some(vec![port(), admin_port()]),
            ..ServiceSpec::default()
        }),
        status: None,
    };
    if access::variants_have_tls(pipeline) {
        access::over_tls(&mut service);
    }
    service
}

/// The port that answers recommendations.
pub fn port() -> ServicePort {
    port_of(pod::PORT_NAME, pod::PORT)
}

/// The port for changes, metrics and health.
pub fn admin_port() -> ServicePort {
    port_of(pod::ADMIN_PORT_NAME, pod::ADMIN_PORT)
}

fn port_of(name: &str, number: i32) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: number,
        target_port: Some(IntOrString::String(name.to_owned())),
        protocol: Some("TCP".to_owned()),
        // HTTP/2 without TLS, so that gateways and meshes speak gRPC to it.
        app_protocol: Some("kubernetes.io/h2c".to_owned()),
        ..ServicePort::default()
    }
}

/// The budget of a component's disruptions: one pod at a time. Pods that don't answer don't block it, and a single pod
/// may be evicted.
pub fn budget(pipeline: &Pipeline, component: Component<'_>) -> PodDisruptionBudget {
    let names = &pipeline.names;
    PodDisruptionBudget {
        metadata: names.component_metadata(component),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            selector: Some(names.label_selector(component)),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// The fewest pods that a variant can have. `there` is the current number, which counts if the spec sets none.
pub fn fewest(variant: &Variant, there: i32) -> i32 {
    match (&variant.autoscaling, variant.replicas) {
        (Some(autoscaling), _) => autoscaling.min_replicas,
        (None, Some(replicas)) => replicas,
        (None, None) => there,
    }
}

/// The autoscaler of a variant that wants one.
pub fn autoscaler(pipeline: &Pipeline, variant: &Variant) -> Option<HorizontalPodAutoscaler> {
    let autoscaling = variant.autoscaling.as_ref()?;
    let names = &pipeline.names;
    let component = Component::Variant(&variant.name);
    Some(HorizontalPodAutoscaler {
        metadata: names.component_metadata(component),
        spec: HorizontalPodAutoscalerSpec {
            min_replicas: Some(autoscaling.min_replicas),
            max_replicas: autoscaling.max_replicas,
            scale_target_ref: CrossVersionObjectReference {
                api_version: Some("apps/v1".to_owned()),
                kind: "Deployment".to_owned(),
                name: names.component(component),
            },
            metrics: Some(vec![MetricSpec {
                type_: "Resource".to_owned(),
                resource: Some(ResourceMetricSource {
                    name: "cpu".to_owned(),
                    target: MetricTarget {
                        type_: "Utilization".to_owned(),
                        average_utilization: Some(autoscaling.target_cpu_percent.unwrap_or(70)),
                        ..MetricTarget::default()
                    },
                }),
                ..MetricSpec::default()
            }]),
            ..HorizontalPodAutoscalerSpec::default()
        },
        status: None,
    })
}
