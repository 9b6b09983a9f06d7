//! What is there: a pipeline's children and what its pods report.
//!
//! It may lag behind our own writes, so nothing is deleted on its basis alone: see [`crate::apply`].

pub mod pods;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gondola_causes::with_causes;
use gondola_wire::evidence::{EVIDENCE_KEY, Evidence};
use gondola_wire::ledger::{LEDGER_KEY, Ledger};
use gondola_wire::memory::{MEMORY_KEY, Memory};
use gondola_wire::resolution::{REPORT_KEY, Resolution, VariantBundles};
use gondola_wire::routes::{ROUTES_KEY, Routes};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde::de::DeserializeOwned;

use crate::extension::Extension;
use crate::kinds::{ByName, Live, OwnedKinds};
use crate::names::{BUNDLES, Component, Names};
use pods::{PodProblem, is_starting, mounted_configs, problem};

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Its IP address.
    pub host: String,
    /// Its port.
    pub port: i32,
}

impl Address {
    /// Every address that a slice names.
    pub fn all(slice: &EndpointSlice) -> Vec<Self> {
        let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
        let hosts = slice
            .endpoints
            .iter()
            .flatten()
            .flat_map(|endpoint| &endpoint.addresses);
        let pairs = hosts.flat_map(|host| ports.clone().map(move |port| (host.clone(), port)));
        pairs.map(|(host, port)| Self { host, port }).collect()
    }
}

/// What a ConfigMap says under a key. Invalid text, such as a truncated report, counts as missing.
pub fn parsed<T: DeserializeOwned>(config: &ConfigMap, key: &str) -> Option<T> {
    let text = config.data.as_ref()?.get(key)?;
    serde_json::from_str(text)
        .inspect_err(|error| {
            tracing::warn!(
                config = config.name_any(),
                key,
                error = with_causes(error),
                "a ConfigMap can't be read and is ignored"
            )
        })
        .ok()
}

/// What there is of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was looked at: the one clock reading of a pass.
    pub now: Timestamp,
    /// What it owns.
    pub children: OwnedKinds<Live>,
    /// The ReplicaSets of the Deployments: the newest rollout and those before it.
    pub replica_sets: ByName<ReplicaSet>,
    /// Pods.
    pub pods: ByName<Pod>,
    /// What events say of pods that wait and whose status doesn't say for what, by the pod's name.
    pub pod_events: BTreeMap<String, PodProblem>,
    /// Objects of the APIs that this cluster has beside Kubernetes' own.
    pub extensions: BTreeMap<Extension, ByName<DynamicObject>>,
    /// Where the API server answers; empty where that is not known.
    pub api_server: Vec<Address>,
    /// Whether the service account that the spec names may be used; true where it names none.
    pub account_allowed: bool,
}

impl Observed {
    /// What the resolver reported last; none before its first report.
    pub fn resolution(&self, names: &Names) -> Option<Resolution> {
        self.parsed(&names.resolution(), REPORT_KEY)
    }

    /// The routes that routers have now.
    pub fn routes(&self, names: &Names) -> Option<Routes> {
        self.parsed(&names.routes(), ROUTES_KEY)
    }

    /// The ledger of the experiment, as it was last written.
    pub fn ledger(&self, names: &Names) -> Option<Ledger> {
        self.parsed(&names.ledger(), LEDGER_KEY)
    }

    /// How the experiment ended earlier, according to its store.
    pub fn memory(&self, names: &Names) -> Option<Memory> {
        self.parsed(&names.evidence(), MEMORY_KEY)
    }

    /// What the analyzer found last.
    pub fn evidence(&self, names: &Names) -> Option<Evidence> {
        let text = self
            .children
            .configs
            .get(&names.evidence())?
            .data
            .as_ref()?
            .get(EVIDENCE_KEY)?;
        Evidence::parse(text)
            .inspect_err(|error| {
                tracing::warn!(
                    error = with_causes(error),
                    "the evidence can't be read and is ignored"
                )
            })
            .ok()
    }

    fn parsed<T: DeserializeOwned>(&self, config: &str, key: &str) -> Option<T> {
        parsed(self.children.configs.get(config)?, key)
    }

    /// The bundles that the newest pods of a variant serve, or would if they ran.
    pub fn ordered(&self, names: &Names, variant: &str) -> Option<VariantBundles> {
        let deployment = self
            .children
            .deployments
            .get(&names.component(Component::Variant(variant)))?;
        bundles_of(&deployment.spec.template)
    }

    /// The bundles that most of a variant's ready pods serve; none where no pod is ready.
    pub fn served(&self, names: &Names, variant: &str) -> Option<VariantBundles> {
        let component = Component::Variant(variant);
        let selector = names.selector(component);
        let ready = |set: &ReplicaSet| {
            set.status
                .as_ref()
                .and_then(|status| status.ready_replicas)
                .unwrap_or(0)
        };
        let of_variant = self.replica_sets.values().filter(|set| {
            ready(set) > 0
                && selector
                    .iter()
                    .all(|(name, value)| set.labels().get(name) == Some(value))
        });
        // The newer one, where as many pods of both are ready.
        let most = of_variant.max_by_key(|set| {
            (
                ready(set),
                set.metadata.creation_timestamp.clone().map(|time| time.0),
            )
        });
        let bundles = most.and_then(|set| bundles_of(set.spec.template.as_ref()?));
        let rollout = self.rollout(names, component);
        let all_new = || {
            self.ordered(names, variant)
                .filter(|_| rollout.complete && rollout.ready > 0)
        };
        bundles.or_else(all_new)
    }

    /// The bundles that a variant falls back to: those that its ready pods serve, or else those that its newest template names.
    pub fn last_good(&self, names: &Names, variant: &str) -> Option<VariantBundles> {
        self.served(names, variant)
            .or_else(|| self.ordered(names, variant))
    }

    /// How far a component's Deployment has come.
    pub fn rollout(&self, names: &Names, component: Component<'_>) -> Rollout {
        let deployment = self.children.deployments.get(&names.component(component));
        deployment.map_or_else(Rollout::default, |deployment| Rollout::of(deployment))
    }

    /// The pods of a component, by name.
    pub fn pods_of(&self, names: &Names, component: Component<'_>) -> impl Iterator<Item = &Arc<Pod>> {
        let selector = names.selector(component);
        self.pods.values().filter(move |pod| {
            let labels = pod.labels();
            selector
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
        })
    }

    /// What keeps a component's pods from running, if anything: why none can be created, or else the reason of the first pod that has one.
    pub fn problem(&self, names: &Names, component: Component<'_>) -> Option<PodProblem> {
        let of_pod = |pod: &Arc<Pod>| problem(pod).or_else(|| self.pod_events.get(&pod.name_any()).cloned());
        let refused = self.rollout(names, component).refused;
        refused.or_else(|| self.pods_of(names, component).find_map(of_pod))
    }

    /// Whether a pod is being started: what it waits for may be only in events, which are not watched.
    pub fn waits_for_pods(&self) -> bool {
        self.pods.values().any(|pod| is_starting(pod))
    }

    /// Specifications of all pods that are there, or that a ReplicaSet may make again: objects that they name must be kept.
    fn live_pods(&self) -> impl Iterator<Item = &PodSpec> {
        let sets = self.replica_sets.values();
        let of_sets = sets.filter_map(|set| set.spec.template.as_ref()?.spec.as_ref());
        // Where there is no ReplicaSet yet, there will be one.
        let of_deployments = self.children.deployments.values();
        let of_deployments = of_deployments.filter_map(|deployment| deployment.spec.template.spec.as_ref());
        of_sets
            .chain(of_deployments)
            .chain(self.pods.values().filter_map(|pod| pod.spec.as_ref()))
    }

    /// Names of ConfigMaps that live pods mount.
    pub fn mounted_configs(&self) -> BTreeSet<String> {
        self.live_pods()
            .flat_map(mounted_configs)
            .map(str::to_owned)
            .collect()
    }

    /// Names of service accounts that live pods run as.
    pub fn used_accounts(&self) -> BTreeSet<String> {
        self.live_pods()
            .filter_map(|pod| pod.service_account_name.clone())
            .collect()
    }
}

/// The bundles that a template's pods serve, as its annotation says.
fn bundles_of(template: &PodTemplateSpec) -> Option<VariantBundles> {
    let text = template.metadata.as_ref()?.annotations.as_ref()?.get(BUNDLES)?;
    serde_json::from_str(text).ok()
}

/// How far a Deployment has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that are wanted; 0 where there is no Deployment yet.
    pub wanted: i32,
    /// Pods that answer, of whatever rollout.
    pub ready: i32,
    /// Whether the newest template was rolled out. It stays so when pods are lost or added afterwards: that is not a rollout.
    pub complete: bool,
    /// The message of its missed deadline, if it missed it.
    pub missed_deadline: Option<String>,
    /// Why no pod can be made, such as a quota that is used up.
    pub refused: Option<PodProblem>,
}

impl Rollout {
    fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        let seen = status.observed_generation >= deployment.metadata.generation;
        let condition = |type_: &str| {
            let mut all = status.conditions.iter().flatten();
            all.find(|condition| condition.type_.as_deref() == Some(type_))
        };
        let progressing = condition("Progressing").filter(|_| seen);
        let because =
            |reason: &str| progressing.filter(|progressing| progressing.reason.as_deref() == Some(reason));
        let refused = condition("ReplicaFailure").filter(|failure| failure.status.as_deref() == Some("True"));
        Self {
            wanted: deployment.spec.replicas.unwrap_or(1),
            ready: status.ready_replicas.unwrap_or(0),
            complete: because("NewReplicaSetAvailable").is_some(),
            missed_deadline: because("ProgressDeadlineExceeded")
                .map(|condition| condition.message.clone().unwrap_or_default()),
            refused: refused.map(|failure| PodProblem {
                reason: failure.reason.clone().unwrap_or_default(),
                message: failure.message.clone().unwrap_or_default(),
            }),
        }
    }
}
