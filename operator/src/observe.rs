//! What is there: a pipeline's children and its resolver's report, as the caches have them.
//!
//! Caches may lag behind what we wrote ourselves. Nothing here is destroyed on their word alone: see
//! [`crate::apply::retire`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gondola_crds::resolution::{REPORT_KEY, Resolution, VariantBundles};
use gondola_crds::routes::{ROUTES_KEY, Routes};
use gondola_experiments::evidence::{EVIDENCE_KEY, Evidence};
use gondola_experiments::ledger::{LEDGER_KEY, Ledger};
use gondola_experiments::moment::Moment;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;

use crate::plan::extensions::Extension;
use crate::plan::names::{Component, Names};
use crate::plan::variant::BUNDLES;

/// Objects of one kind, by name.
pub type ByName<K> = BTreeMap<String, Arc<K>>;

/// Everything that a pipeline owns.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was looked at.
    pub now: Moment,
    /// Service accounts.
    pub accounts: ByName<ServiceAccount>,
    /// Roles.
    pub roles: ByName<Role>,
    /// Bindings of roles.
    pub bindings: ByName<RoleBinding>,
    /// ConfigMaps.
    pub configs: ByName<ConfigMap>,
    /// Services.
    pub services: ByName<Service>,
    /// Deployments.
    pub deployments: ByName<Deployment>,
    /// Disruption budgets.
    pub budgets: ByName<PodDisruptionBudget>,
    /// Autoscalers.
    pub autoscalers: ByName<HorizontalPodAutoscaler>,
    /// Network policies.
    pub policies: ByName<NetworkPolicy>,
    /// Pods.
    pub pods: Vec<Arc<Pod>>,
    /// APIs that this cluster has beside Kubernetes' own.
    pub extensions: BTreeSet<Extension>,
    /// Whether the service account that the spec names may be used; true where it names none.
    pub account_allowed: bool,
}

impl Observed {
    /// What the resolver reported last; none before its first report.
    pub fn resolution(&self, names: &Names<'_>) -> Option<Resolution> {
        self.parsed(&names.resolution(), REPORT_KEY)
    }

    /// What routers are told now.
    pub fn routes(&self, names: &Names<'_>) -> Option<Routes> {
        self.parsed(&names.routes(), ROUTES_KEY)
    }

    /// What an experiment has come to, as it was remembered last.
    pub fn ledger(&self, names: &Names<'_>) -> Option<Ledger> {
        self.parsed(&names.ledger(), LEDGER_KEY)
    }

    /// What the analyzer found last.
    pub fn evidence(&self, names: &Names<'_>) -> Option<Evidence> {
        let text = self
            .configs
            .get(&names.evidence())?
            .data
            .as_ref()?
            .get(EVIDENCE_KEY)?;
        Evidence::parse(text)
            .inspect_err(|error| tracing::warn!(%error, "no evidence is used"))
            .ok()
    }

    /// Text that is not ours to trust, such as a report cut short, counts as not there.
    fn parsed<T: serde::de::DeserializeOwned>(&self, config: &str, key: &str) -> Option<T> {
        let text = self.configs.get(config)?.data.as_ref()?.get(key)?;
        serde_json::from_str(text)
            .inspect_err(|error| tracing::warn!(config, key, %error, "is not as it should be"))
            .ok()
    }

    /// The bundles that a variant's Deployment was last told to serve.
    pub fn last_good(&self, names: &Names<'_>, variant: &str) -> Option<VariantBundles> {
        let deployment = self
            .deployments
            .get(&names.component(Component::Variant(variant)))?;
        let template = &deployment.spec.template;
        let text = template.metadata.as_ref()?.annotations.as_ref()?.get(BUNDLES)?;
        serde_json::from_str(text).ok()
    }

    /// How far a component's Deployment has come.
    pub fn rollout(&self, names: &Names<'_>, component: Component<'_>) -> Rollout {
        let deployment = self.deployments.get(&names.component(component));
        deployment.map_or_else(Rollout::default, |deployment| Rollout::of(deployment))
    }

    /// What keeps a component's pods from running, if anything does: the first pod's reason that has one.
    pub fn pod_problem(&self, names: &Names<'_>, component: Component<'_>) -> Option<PodProblem> {
        let selector = names.selector(component);
        let chosen = |pod: &&Arc<Pod>| {
            let labels = pod.labels();
            selector
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
        };
        let mut pods: Vec<&Arc<Pod>> = self.pods.iter().filter(chosen).collect();
        pods.sort_by_key(|pod| pod.name_any());
        pods.into_iter().find_map(|pod| problem(pod))
    }
}

/// How far a Deployment has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Pods that are wanted; 0 where there is no Deployment yet.
    pub wanted: i32,
    /// Pods that answer, of whatever rollout.
    pub ready: i32,
    /// Whether all wanted pods are of the newest rollout and answer, and none of an older one is left.
    pub complete: bool,
    /// Why it missed its deadline, if it did.
    pub missed_deadline: Option<String>,
}

impl Rollout {
    fn of(deployment: &Deployment) -> Self {
        let wanted = deployment.spec.replicas.unwrap_or(1);
        let status = deployment.status.clone().unwrap_or_default();
        let seen = status.observed_generation >= deployment.metadata.generation;
        let all = |count: Option<i32>| count.unwrap_or(0) == wanted;
        let missed = status.conditions.iter().flatten().find(|condition| {
            condition.type_.as_deref() == Some("Progressing")
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        Self {
            wanted,
            ready: status.ready_replicas.unwrap_or(0),
            complete: seen
                && all(status.updated_replicas)
                && all(status.replicas)
                && all(status.available_replicas),
            missed_deadline: missed
                .filter(|_| seen)
                .map(|condition| condition.message.clone().unwrap_or_default()),
        }
    }
}

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodProblem {
    /// Kubernetes' word for it, such as `Unschedulable` or `ImagePullBackOff`.
    pub reason: String,
    /// Kubernetes' sentence for it.
    pub message: String,
}

fn problem(pod: &Pod) -> Option<PodProblem> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(PodProblem {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        });
    }
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    let mut waiting = containers.filter_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        // A pod that is being made is no problem.
        let normal = ["ContainerCreating", "PodInitializing"].contains(&reason.as_str());
        let ended = container
            .last_state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .and_then(|terminated| terminated.message.clone());
        (!normal).then(|| PodProblem {
            reason,
            // What the container itself said last says more than that it is restarted.
            message: ended.or_else(|| waiting.message.clone()).unwrap_or_default(),
        })
    });
    waiting.next()
}
