//! What should be: a pure function of the spec and of what is there.
//!
//! [`plan`] decides for each variant which bundles its pods serve, and renders every child that follows from it; each kind
//! of child has a file. It is called anew at every pass, from nothing but present state, and says the same every time.
//!
//! A variant serves what the resolver found for this generation. Where the resolver refuses, or has not looked yet, the
//! variant stays at the bundles that its Deployment has: running pods are never touched by a bundle that can't be served.

pub mod experiment;
pub mod extensions;
pub mod manifest;
pub mod names;
pub mod network;
pub mod pod;
pub mod resolver;
pub mod rights;
pub mod router;
pub mod variant;

use gondola_crds::RecommenderPipeline;
use gondola_crds::experiment::Experiment;
use gondola_crds::resolution::{Refusal, Resolution, VariantBundles, VariantResolution};
use gondola_crds::routes::{Route, Routes};
use gondola_crds::spec::{Device, Variant};
use gondola_experiments::moment::Moment;
use gondola_experiments::settings::SettingsError;
use gondola_experiments::step::Routing;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::observe::Observed;
use crate::policy::{self, Objection, Policy};
use experiment::Planned;
use extensions::Extension;
use names::{Component, Names};

/// Everything that a pipeline should own.
#[derive(Clone, Debug, Default)]
pub struct Children {
    /// Service accounts.
    pub accounts: Vec<ServiceAccount>,
    /// Roles.
    pub roles: Vec<Role>,
    /// Bindings of roles.
    pub bindings: Vec<RoleBinding>,
    /// ConfigMaps.
    pub configs: Vec<ConfigMap>,
    /// Services.
    pub services: Vec<Service>,
    /// Network policies.
    pub policies: Vec<NetworkPolicy>,
    /// Deployments.
    pub deployments: Vec<Deployment>,
    /// Disruption budgets.
    pub budgets: Vec<PodDisruptionBudget>,
    /// Autoscalers.
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// Objects of APIs that this cluster has beside Kubernetes' own; none where the spec wants none.
    pub extensions: Vec<(Extension, Option<DynamicObject>)>,
}

/// What a variant serves, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Serves {
    /// What the resolver found for this generation.
    Resolved(VariantBundles),
    /// What it served before: the resolver refuses what the spec names now.
    LastGood(VariantBundles, Refusal),
    /// What it served before: the resolver has not looked at this generation yet.
    Waiting(VariantBundles),
    /// Nothing: the resolver refuses, and there was nothing before.
    Refused(Refusal),
    /// Nothing yet.
    Unresolved,
}

impl Serves {
    /// The bundles, if there are some.
    pub fn bundles(&self) -> Option<&VariantBundles> {
        match self {
            Self::Resolved(bundles) | Self::LastGood(bundles, _) | Self::Waiting(bundles) => Some(bundles),
            Self::Refused(_) | Self::Unresolved => None,
        }
    }

    /// Why the spec's references are refused, if they are.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::LastGood(_, refusal) | Self::Refused(refusal) => Some(refusal),
            Self::Resolved(_) | Self::Waiting(_) | Self::Unresolved => None,
        }
    }
}

/// What should be, and what was decided on the way.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What should be there. All else of the pipeline's is to go, but see `kept_configs`.
    pub children: Children,
    /// What each variant of the spec serves, in its order.
    pub variants: Vec<(String, Serves)>,
    /// What routers are told.
    pub routes: Routes,
    /// The pipeline's experiment and what a step made of it, or why it can't be run.
    pub experiment: Option<Result<Planned, SettingsError>>,
    /// Why nothing of it may be applied, if there is a reason.
    pub objection: Option<Objection>,
    /// Names of ConfigMaps that pods of an older rollout still mount.
    pub kept_configs: Vec<String>,
}

impl Plan {
    /// When time alone may move the experiment.
    pub fn next_step(&self) -> Option<Moment> {
        self.experiment.as_ref()?.as_ref().ok()?.step.next
    }
}

/// What an installation decides for all of its pipelines.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// Images of the data plane, where a spec names none.
    pub images: Images,
    /// What is permitted.
    pub policy: Policy,
}

/// Images of the data plane.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Of what runs on processors alone.
    pub inference: String,
    /// Of variants on GPUs.
    pub inference_cuda: String,
}

impl Images {
    fn of(&self, variant: &Variant) -> &str {
        match variant.device {
            Some(Device::Cuda) => &self.inference_cuda,
            Some(Device::Cpu) | None => &self.inference,
        }
    }
}

/// Decides what should be.
pub fn plan(pipeline: &RecommenderPipeline, observed: &Observed, installation: &Installation) -> Plan {
    let images = &installation.images;
    let names = Names::of(pipeline);
    let resolution = observed.resolution(&names);
    let variants: Vec<(String, Serves)> = pipeline
        .spec
        .variants
        .iter()
        .map(|variant| {
            let serves = serves(pipeline, variant, resolution.as_ref(), observed);
            (variant.name.clone(), serves)
        })
        .collect();
    let experiment = experiment::planned(pipeline, observed);
    let planned = experiment.as_ref().and_then(|planned| planned.as_ref().ok());
    let routes = routes(pipeline, observed, planned);
    let mut children = shared(pipeline, &routes, observed, &images.inference);
    if let (Some(experiment), Some(planned)) = (&pipeline.spec.experiment, planned) {
        add_experiment(&mut children, pipeline, experiment, planned, &images.inference);
    }
    for (variant, (_, serves)) in pipeline.spec.variants.iter().zip(&variants) {
        add_variant(&mut children, pipeline, variant, serves, images.of(variant));
    }
    let kept_configs = kept_configs(&names, observed);
    Plan {
        children,
        variants,
        routes,
        experiment,
        objection: policy::objection(pipeline, observed, &installation.policy),
        kept_configs,
    }
}

fn serves(
    pipeline: &RecommenderPipeline,
    variant: &Variant,
    resolution: Option<&Resolution>,
    observed: &Observed,
) -> Serves {
    let last_good = observed.last_good(&Names::of(pipeline), &variant.name);
    let current = resolution.filter(|resolution| Some(resolution.generation) == pipeline.metadata.generation);
    match (
        current.and_then(|resolution| resolution.variants.get(&variant.name)),
        last_good,
    ) {
        (Some(VariantResolution::Resolved(bundles)), _) => Serves::Resolved(bundles.clone()),
        (Some(VariantResolution::Refused(refusal)), Some(bundles)) => {
            Serves::LastGood(bundles, refusal.clone())
        }
        (Some(VariantResolution::Refused(refusal)), None) => Serves::Refused(refusal.clone()),
        (None, Some(bundles)) => Serves::Waiting(bundles),
        (None, None) => Serves::Unresolved,
    }
}

/// A variant gets users from the moment its first pod answers. From then on it stays, so that a pod that fails does not
/// move users: the routers ask the control instead. A variant that is scaled to nothing gets none. The control is always
/// there, and so are arms of an experiment, and the one that everybody gets after it.
fn routes(pipeline: &RecommenderPipeline, observed: &Observed, planned: Option<&Planned>) -> Routes {
    let names = Names::of(pipeline);
    let before = observed.routes(&names).unwrap_or_default();
    let control = pipeline.spec.control().map(|variant| variant.name.clone());
    let control = control.unwrap_or_default();
    let everybody = experiment::everybody(planned);
    let running = planned.and_then(|planned| match &planned.step.routing {
        Routing::Experiment(routes) => Some(routes.clone()),
        Routing::Everybody(_) => None,
    });
    let is_arm = |name: &str| {
        let mut arms = running.iter().flat_map(|routes| &routes.arms);
        arms.any(|arm| arm.variant == name)
    };
    let gets_users = |variant: &&Variant| {
        let routed = before.variants.iter().any(|route| route.name == variant.name);
        let answers = || observed.rollout(&names, Component::Variant(&variant.name)).ready > 0;
        let always = variant.name == control
            || is_arm(&variant.name)
            || everybody.is_some_and(|everybody| everybody == variant.name);
        always || (variant::fewest(variant) > 0 && (routed || answers()))
    };
    let route = |variant: &Variant| Route {
        name: variant.name.clone(),
        weight: everybody.map_or(variant.weight, |everybody| u32::from(everybody == variant.name)),
        service: names.component(Component::Variant(&variant.name)),
    };
    Routes {
        namespace: pipeline.namespace().unwrap_or_default(),
        pipeline: names.pipeline(),
        variants: pipeline
            .spec
            .variants
            .iter()
            .filter(gets_users)
            .map(route)
            .collect(),
        control,
        experiment: running,
    }
}

/// What an experiment adds. Its ledger comes first, so that a decision is remembered before anybody acts on it.
fn add_experiment(
    children: &mut Children,
    pipeline: &RecommenderPipeline,
    experiment: &Experiment,
    planned: &Planned,
    image: &str,
) {
    let (role, binding) = experiment::rights(pipeline);
    children.accounts.push(experiment::account(pipeline));
    children.roles.push(role);
    children.bindings.push(binding);
    let configs = [
        experiment::ledger(pipeline, planned),
        experiment::evidence(pipeline),
    ];
    children.configs.splice(0..0, configs);
    children
        .deployments
        .push(experiment::deployment(pipeline, experiment, image));
}

/// What a pipeline owns whatever its variants are.
fn shared(pipeline: &RecommenderPipeline, routes: &Routes, observed: &Observed, image: &str) -> Children {
    let (router_role, router_binding) = router::rights(pipeline);
    let (resolver_role, resolver_binding) = resolver::rights(pipeline);
    let extension = |extension: &Extension| (*extension, extension.wanted(pipeline));
    Children {
        accounts: resolver::account(pipeline)
            .into_iter()
            .chain([router::account(pipeline)])
            .collect(),
        roles: vec![resolver_role, router_role],
        bindings: vec![resolver_binding, router_binding],
        configs: vec![
            resolver::config_map(pipeline),
            router::config_map(pipeline, routes),
        ],
        services: vec![router::service(pipeline)],
        policies: network::policies(pipeline),
        deployments: vec![
            resolver::deployment(pipeline, image),
            router::deployment(pipeline, image),
        ],
        budgets: variant::budget(pipeline, Component::Router, router::replicas(pipeline))
            .into_iter()
            .collect(),
        autoscalers: Vec::new(),
        extensions: observed.extensions.iter().map(extension).collect(),
    }
}

fn add_variant(
    children: &mut Children,
    pipeline: &RecommenderPipeline,
    variant: &Variant,
    serves: &Serves,
    image: &str,
) {
    children.services.push(variant::service(pipeline, variant));
    let component = Component::Variant(&variant.name);
    children
        .budgets
        .extend(variant::budget(pipeline, component, variant::fewest(variant)));
    children
        .autoscalers
        .extend(variant::autoscaler(pipeline, variant));
    if let Some(bundles) = serves.bundles() {
        children
            .configs
            .push(manifest::config_map(pipeline, variant, bundles));
        children
            .deployments
            .push(variant::deployment(pipeline, variant, bundles, image));
    }
}

/// While a rollout is under way, pods of the older one may start again and read what they read before.
fn kept_configs(names: &Names<'_>, observed: &Observed) -> Vec<String> {
    let of_variant = observed.configs.values().filter_map(|config| {
        let variant = config.labels().get(names::VARIANT)?;
        let component = Component::Variant(variant);
        // Where the Deployment is gone, nobody starts again.
        let there = observed.deployments.contains_key(&names.component(component));
        let rolling = there && !observed.rollout(names, component).complete;
        rolling.then(|| config.name_any())
    });
    of_variant.collect()
}

#[cfg(test)]
mod tests;
