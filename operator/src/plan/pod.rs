//! What all pods of a pipeline have in common: where they may run, what they may do, and how they stop.

use gondola_crds::spec::{Artifacts, PodOverrides, RolloutLimits, Tracing};
use gondola_crds::store::{SecretRef, VolumeClaim};
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar,
    EnvVarSource, HTTPGetAction, KeyToPath, LocalObjectReference, ObjectFieldSelector,
    PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, TopologySpreadConstraint,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Installation;
use crate::names::{Component, Names};
use crate::pipeline::Pipeline;

/// The port that serves HTTP and gRPC, in every pod.
pub const PORT: i32 = 8080;
/// Its name.
pub const PORT_NAME: &str = "http";
/// The port for changes, metrics and health, in every pod.
pub const ADMIN_PORT: i32 = 8081;
/// Its name.
pub const ADMIN_PORT_NAME: &str = "admin";
/// Where the credentials' Secret is mounted: a file for each key.
pub const CREDENTIALS_FOLDER: &str = "/etc/gondola/credentials";
/// Seconds that a stopping pod still serves, until every router and every client knows that it stops.
const NOTICE_SECONDS: i64 = 10;
/// Seconds that running requests have to finish after that.
const DRAIN_SECONDS: i64 = 30;
/// Where pods keep fetched bundles.
pub const BUNDLES_FOLDER: &str = "/var/lib/gondola";
/// Where volumes with stores are mounted: never at a path that a tenant chooses.
const STORES_FOLDER: &str = "/srv/gondola";

/// The overrides of a pipeline with those of a variant on top: the variant's values win, and lists are joined.
pub fn overrides(pipeline: Option<&PodOverrides>, variant: Option<&PodOverrides>) -> PodOverrides {
    let mut merged = pipeline.cloned().unwrap_or_default();
    let Some(variant) = variant.cloned() else {
        return merged;
    };
    merged.image = variant.image.or(merged.image);
    merged.affinity = variant.affinity.or(merged.affinity);
    merged.runtime_class_name = variant.runtime_class_name.or(merged.runtime_class_name);
    merged.priority_class_name = variant.priority_class_name.or(merged.priority_class_name);
    merged.node_selector.extend(variant.node_selector);
    let known = std::mem::take(&mut merged.image_pull_secrets);
    let is_new = |secret: &SecretRef| known.iter().all(|known| known.name != secret.name);
    merged.image_pull_secrets = [
        known.clone(),
        variant.image_pull_secrets.into_iter().filter(is_new).collect(),
    ]
    .concat();
    merged.tolerations.extend(variant.tolerations);
    merged.log = variant.log.or(merged.log);
    merged.labels.extend(variant.labels);
    merged.annotations.extend(variant.annotations);
    merged
        .env
        .retain(|old| variant.env.iter().all(|new| new.name != old.name));
    merged.env.extend(variant.env);
    merged
}

/// A pod of ours, before its containers: unprivileged, spread over nodes and zones, with time to stop.
pub fn spec(
    account: String,
    spread: LabelSelector,
    overrides: &PodOverrides,
    installation: &Installation,
) -> PodSpec {
    let secrets = overrides
        .image_pull_secrets
        .iter()
        .map(|secret| LocalObjectReference {
            name: secret.name.clone(),
        });
    PodSpec {
        service_account_name: Some(account),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(NOTICE_SECONDS + DRAIN_SECONDS + 5),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: installation.pod_user,
            run_as_group: installation.pod_user,
            fs_group: installation.pod_user,
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(vec![
            spread_over("kubernetes.io/hostname", &spread),
            spread_over("topology.kubernetes.io/zone", &spread),
        ]),
        image_pull_secrets: some_if_any(secrets.collect()),
        node_selector: Some(overrides.node_selector.clone()).filter(|labels| !labels.is_empty()),
        tolerations: some_if_any(overrides.tolerations.clone()),
        affinity: overrides.affinity.clone(),
        runtime_class_name: overrides.runtime_class_name.clone(),
        priority_class_name: overrides.priority_class_name.clone(),
        ..PodSpec::default()
    }
}

/// The Deployment of a component's pods, which never has fewer than before while it rolls out: new pods come beside the old,
/// and none of the old stops before a new one answers. The caller sets the number of pods.
pub fn deployment(names: &Names, component: Component<'_>, pod: PodSpec) -> Deployment {
    let metadata = names.component_metadata(component);
    let template = ObjectMeta {
        labels: metadata.labels.clone(),
        ..ObjectMeta::default()
    };
    Deployment {
        metadata,
        spec: DeploymentSpec {
            selector: names.label_selector(component),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            revision_history_limit: Some(2),
            template: PodTemplateSpec {
                metadata: Some(template),
                spec: Some(pod),
            },
            ..DeploymentSpec::default()
        },
        status: None,
    }
}

/// How many pods of a rollout may be too many or too few, where the spec says so.
pub fn limit_rollout(deployment: &mut Deployment, limits: Option<&RolloutLimits>) {
    let rolling = deployment
        .spec
        .strategy
        .as_mut()
        .and_then(|strategy| strategy.rolling_update.as_mut());
    if let (Some(limits), Some(rolling)) = (limits, rolling) {
        rolling.max_surge = limits.max_surge.clone().or(rolling.max_surge.take());
        rolling.max_unavailable = limits.max_unavailable.clone().or(rolling.max_unavailable.take());
    }
}

/// Labels and annotations that the spec adds to pods. Ours are set over them, and selectors know ours alone.
pub fn label(template: &mut PodTemplateSpec, overrides: &PodOverrides) {
    let template = template.metadata.get_or_insert_default();
    let mut labels = overrides.labels.clone();
    labels.extend(template.labels.take().unwrap_or_default());
    template.labels = Some(labels);
    if !overrides.annotations.is_empty() {
        template.annotations = Some(overrides.annotations.clone());
    }
}

/// The Deployment of a component of which there is one pod, and never two at once: the old one stops before the new one starts.
pub fn single_pod_deployment(names: &Names, component: Component<'_>, pod: PodSpec) -> Deployment {
    let mut deployment = deployment(names, component, pod);
    // Without a number Kubernetes runs one.
    deployment.spec.strategy = Some(DeploymentStrategy {
        type_: Some("Recreate".to_owned()),
        ..DeploymentStrategy::default()
    });
    deployment
}

/// A program of the data plane, with the installation's image of it.
#[derive(Clone, Copy, Debug)]
pub enum Program<'a> {
    /// What runs models. A pipeline may name another image for it.
    Inference(&'a str),
    /// The router, the resolver and the analyzer.
    Router(&'a str),
    /// What trains models. A training may name another image for it.
    Training(&'a str),
    /// The scheduler and the executors of a training's queries, in the same image.
    Ballista(&'a str),
}

impl Program<'_> {
    fn command(self) -> &'static str {
        match self {
            Self::Inference(_) => "gondola-inference",
            Self::Router(_) => "gondola-router",
            Self::Training(_) => "gondola-train",
            Self::Ballista(_) => "gondola-ballista",
        }
    }

    fn image(self, overrides: &PodOverrides) -> String {
        let (own, named) = match self {
            Self::Inference(image) | Self::Training(image) | Self::Ballista(image) => {
                (image, overrides.image.as_deref())
            }
            Self::Router(image) => (image, None),
        };
        named.unwrap_or(own).to_owned()
    }
}

/// A container of the data plane: a program with arguments. Our own variables win over the spec's.
pub fn container(
    name: &str,
    program: Program<'_>,
    arguments: &[&str],
    overrides: &PodOverrides,
) -> Container {
    let variables = overrides.env.iter().map(|variable| EnvVar {
        name: variable.name.clone(),
        value: Some(variable.value.clone()),
        ..EnvVar::default()
    });
    let log = overrides.log.iter().map(|filter| EnvVar {
        name: variables::LOG.to_owned(),
        value: Some(filter.clone()),
        ..EnvVar::default()
    });
    Container {
        name: name.to_owned(),
        image: Some(program.image(overrides)),
        command: Some(vec![program.command().to_owned()]),
        args: Some(arguments.iter().map(|argument| (*argument).to_owned()).collect()),
        env: some_if_any(log.chain(variables).collect()),
        // What a container said last is in the pod's status, and from there in the pipeline's.
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Resources of a container without a model: a router, a resolver, a fetcher. Every container requests something, since a namespace with a
/// quota requires it.
pub fn modest_resources() -> ResourceRequirements {
    resources("100m", "64Mi", "512Mi")
}

/// Resources of the analyzer: it reads files in pieces, and works on a part of the users at a time.
pub fn analyzer_resources() -> ResourceRequirements {
    resources("250m", "256Mi", "1Gi")
}

/// Resources of a variant's pod if the spec sets none: a little CPU, and memory for its bundles, which are about as large there as in
/// their files. No limit: only somebody who knows the models can set one.
pub fn loading_resources(bytes: u64) -> ResourceRequirements {
    let memory = format!("{}Mi", (bytes + bytes / 2).div_ceil(1 << 20) + 128);
    let quantities = [("cpu", "100m".to_owned()), ("memory", memory)];
    let quantities = quantities
        .into_iter()
        .map(|(name, amount)| (name.to_owned(), Quantity(amount)));
    ResourceRequirements {
        requests: Some(quantities.collect()),
        ..ResourceRequirements::default()
    }
}

fn resources(cpu: &str, memory: &str, most_memory: &str) -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        let quantity = |(name, amount): &(&str, &str)| ((*name).to_owned(), Quantity((*amount).to_owned()));
        Some(pairs.iter().map(quantity).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", cpu), ("memory", memory)]),
        limits: quantities(&[("memory", most_memory)]),
        ..ResourceRequirements::default()
    }
}

/// Sets a variable of ours, overriding the spec's of that name.
pub fn set(container: &mut Container, name: &str, value: impl Into<String>) {
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| variable.name != name);
    variables.insert(
        0,
        EnvVar {
            name: name.to_owned(),
            value: Some(value.into()),
            ..EnvVar::default()
        },
    );
}

/// Sets a variable of ours to a field of the pod.
pub fn set_field(container: &mut Container, name: &str, path: &str) {
    let source = EnvVarSource {
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".to_owned()),
            field_path: path.to_owned(),
        }),
        ..EnvVarSource::default()
    };
    let variable = EnvVar {
        name: name.to_owned(),
        value_from: Some(source),
        ..EnvVar::default()
    };
    container.env.get_or_insert_default().insert(0, variable);
}

/// Makes a container a server: its port, how its health is asked for, and how it stops. `start_seconds` is how long it
/// may take until it is ready for the first time.
pub fn make_server(container: &mut Container, start_seconds: i32) {
    let port = |name: &str, number| ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    container.ports = Some(vec![port(PORT_NAME, PORT), port(ADMIN_PORT_NAME, ADMIN_PORT)]);
    container.startup_probe = Some(Probe {
        period_seconds: Some(1),
        failure_threshold: Some(start_seconds),
        ..probe("/readyz")
    });
    container.readiness_probe = Some(Probe {
        period_seconds: Some(2),
        failure_threshold: Some(2),
        ..probe("/readyz")
    });
    container.liveness_probe = Some(Probe {
        period_seconds: Some(10),
        failure_threshold: Some(6),
        ..probe("/healthz")
    });
    set(container, variables::LISTEN, format!("[::]:{PORT}"));
    set(container, variables::ADMIN_LISTEN, format!("[::]:{ADMIN_PORT}"));
    // The notice is the program's own: it asks its clients to go elsewhere, which it could not do during a sleep before the signal.
    set(
        container,
        variables::DRAIN_NOTICE_SECONDS,
        NOTICE_SECONDS.to_string(),
    );
    set(container, variables::DRAIN_SECONDS, DRAIN_SECONDS.to_string());
}

/// Makes a container a reporter: it has one port, for health.
pub fn make_reporter(container: &mut Container, start_seconds: i32) {
    make_server(container, start_seconds);
    for port in container.ports.iter_mut().flatten() {
        port.container_port = ADMIN_PORT;
    }
    container
        .ports
        .iter_mut()
        .for_each(|ports| ports.retain(|port| port.name.as_deref() == Some(ADMIN_PORT_NAME)));
    let variables = container.env.get_or_insert_default();
    variables.retain(|variable| {
        ![
            variables::ADMIN_LISTEN,
            variables::DRAIN_NOTICE_SECONDS,
            variables::DRAIN_SECONDS,
        ]
        .contains(&variable.name.as_str())
    });
    set(container, variables::LISTEN, format!("[::]:{ADMIN_PORT}"));
}

/// Sets the default deadline of an answer, as in the spec.
pub fn answers_within(container: &mut Container, pipeline: &Pipeline) {
    let router = pipeline.spec.router.as_ref();
    if let Some(milliseconds) = router.and_then(|router| router.deadline_milliseconds) {
        set(container, variables::DEADLINE_MS, milliseconds.to_string());
    }
}

/// Has what answers send its spans where the spec says.
pub fn traces(pod: &mut PodSpec, pipeline: &Pipeline) {
    let Some(Tracing { endpoint, sampling }) = &pipeline.spec.tracing else {
        return;
    };
    for container in &mut pod.containers {
        set(container, variables::TRACES_ENDPOINT, endpoint.as_str());
        if let Some(sampling) = sampling {
            set(container, variables::TRACES_SAMPLING, sampling.as_str());
        }
    }
}

fn probe(path: &str) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(2),
        ..Probe::default()
    }
}

/// A store that a pod's containers use, and the environment variables that describe it.
pub struct StoreUse<'a> {
    /// Name of the volumes.
    pub name: &'a str,
    /// The store's URL.
    pub url: &'a str,
    /// Endpoint of an S3-compatible store.
    pub endpoint: Option<&'a str>,
    /// The Secret with its credentials.
    pub credentials: Option<&'a SecretRef>,
    /// The claim of a `file://` URL.
    pub claim: Option<&'a VolumeClaim>,
    /// Where credentials are mounted.
    pub credentials_folder: &'a str,
    /// The variable that names that folder.
    pub credentials_variable: &'a str,
    /// The variable with the endpoint.
    pub endpoint_variable: &'a str,
    /// The variable with the URL.
    pub url_variable: &'a str,
    /// Whether containers write to it.
    pub access: Access,
}

impl StoreUse<'_> {
    /// Lets a pod's containers use the store: credentials, endpoint, and the volume of a `file://` URL.
    pub fn grant(&self, pod: &mut PodSpec) {
        if let Some(credentials) = self.credentials {
            let volume = secret(&format!("{}credentials", self.name), credentials);
            mount(pod, volume, self.credentials_folder, Access::Read);
            for container in all_containers(pod) {
                set(container, self.credentials_variable, self.credentials_folder);
            }
        }
        if let Some(endpoint) = self.endpoint {
            for container in all_containers(pod) {
                set(container, self.endpoint_variable, endpoint);
            }
        }
        let mut url = self.url.to_owned();
        if let (Some(claim), Some(folder)) = (self.claim, self.url.strip_prefix("file://")) {
            let volume = claimed(&format!("{}store", self.name), claim, self.access);
            let place = format!("{STORES_FOLDER}/{}store", self.name);
            url = format!("file://{place}/{}", folder.trim_matches('/'))
                .trim_end_matches('/')
                .to_owned();
            mount(pod, volume, &place, self.access);
        }
        for container in all_containers(pod) {
            set(container, self.url_variable, &url);
        }
    }
}

/// Lets a pod's containers read the store of bundles.
pub fn reads_store(pod: &mut PodSpec, artifacts: &Artifacts) {
    let credentials = artifacts.credentials.as_ref();
    StoreUse {
        name: "",
        url: &artifacts.url,
        endpoint: artifacts.endpoint.as_deref(),
        credentials: credentials.map(|credentials| &credentials.secret_ref),
        claim: artifacts.volume_claim.as_ref(),
        credentials_folder: CREDENTIALS_FOLDER,
        credentials_variable: variables::CREDENTIALS,
        endpoint_variable: variables::STORE_ENDPOINT,
        url_variable: variables::STORE,
        access: Access::Read,
    }
    .grant(pod);
}

/// A Secret as a volume. If it is missing, the pod starts and reports that; otherwise it would hang without a reason in its status.
pub fn secret(name: &str, secret: &SecretRef) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.name.clone()),
            default_mode: Some(0o440),
            optional: Some(true),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// One key of a Secret as a volume.
pub fn secret_file(name: &str, secret: &SecretRef, key: &str) -> Volume {
    let mut volume = self::secret(name, secret);
    if let Some(source) = &mut volume.secret {
        source.items = Some(vec![KeyToPath {
            key: key.to_owned(),
            path: key.to_owned(),
            ..KeyToPath::default()
        }]);
    }
    volume
}

/// A ConfigMap as a volume.
pub fn config_map(name: &str, config: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: config.to_owned(),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// A claimed volume.
pub fn claimed(name: &str, claim: &VolumeClaim, access: Access) -> Volume {
    Volume {
        name: name.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.name.clone(),
            read_only: (access == Access::Read).then_some(true),
        }),
        ..Volume::default()
    }
}

/// A folder for so many bytes of bundles: twice, for a file that is being fetched, and what is there already.
pub fn bundles(bytes: u64) -> Volume {
    scratch("bundles", 2 * bytes + (64 << 20))
}

/// Whether containers may write to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They may not.
    Read,
    /// They may.
    Write,
}

/// A folder of at most so many bytes that lives as long as the pod.
pub fn scratch(name: &str, bytes: u64) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(Quantity(format!("{}Mi", bytes.div_ceil(1 << 20)))),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    }
}

/// Adds a volume to a pod, in all of its containers at the same place.
pub fn mount(pod: &mut PodSpec, volume: Volume, path: &str, access: Access) {
    let mount = VolumeMount {
        name: volume.name.clone(),
        mount_path: path.to_owned(),
        read_only: (access == Access::Read).then_some(true),
        ..VolumeMount::default()
    };
    for container in all_containers(pod) {
        container
            .volume_mounts
            .get_or_insert_default()
            .push(mount.clone());
    }
    pod.volumes.get_or_insert_default().push(volume);
}

fn all_containers(pod: &mut PodSpec) -> impl Iterator<Item = &mut Container> {
    pod.init_containers
        .iter_mut()
        .flatten()
        .chain(pod.containers.iter_mut())
}

fn spread_over(topology: &str, pods: &LabelSelector) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(pods.clone()),
        ..TopologySpreadConstraint::default()
    }
}

/// An empty list as the API has it: absent, so that nobody owns the field.
pub fn some_if_any<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}
