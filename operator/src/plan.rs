//! The desired state: a pure function of the spec and of what is there.
//!
//! [`plan`] decides for each variant which bundles its pods serve, and renders every child that follows from it; each kind
//! of child has a file. It is called in every pass, with nothing but present state, and is deterministic.
//!
//! A variant serves what the resolver found for this generation ([`serving`]). Where the resolver refuses, or has not looked yet, the
//! variant's pods stay as they are: running pods are never touched by a bundle that can't be served, and one edit is one rollout.
//! [`routes`] decides which variants get users, and which have to stay until others answer.

pub mod access;
pub mod experiment;
pub mod extensions;
pub mod network;
pub mod order;
pub mod pod;
pub mod resolver;
pub mod rights;
pub mod router;
pub mod routes;
pub mod serving;
pub mod variant;

use std::collections::BTreeSet;

use gondola_crds::experiment::Experiment;
use gondola_crds::experiment_status::Phase;
use gondola_crds::spec::{Device, Variant};
use gondola_experiments::settings::SettingsError;
use gondola_wire::routes::Routes;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;

use crate::extension::Extension;
use crate::kinds::{KeptNames, OwnedKinds, Wanted};
use crate::names::{self, Component};
use crate::observed::Observed;
use crate::pipeline::Pipeline;
use crate::policy::{self, Objection, Policy};
use experiment::Planned;
use pod::Program;
use routes::Routed;
use serving::Serves;

/// Everything of Kubernetes' own kinds that a pipeline should own.
pub type Children = OwnedKinds<Wanted>;

/// How many pods a Deployment should have. It is not part of the Deployment as it is applied: who applies a number and leaves it out
/// the next time (for an autoscaler, say) makes it 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// The Deployment.
    pub deployment: String,
    /// The number.
    pub replicas: i32,
}

/// What should be, and what was decided on the way.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The objects that should be there. All others of the pipeline's are deleted, except for `kept`.
    pub children: Children,
    /// How many pods Deployments have, of those whose number the spec decides.
    pub scales: Vec<Scale>,
    /// Objects of APIs that this cluster has beside Kubernetes' own; none where the spec wants none.
    pub extensions: Vec<(Extension, Option<DynamicObject>)>,
    /// What each variant of the spec serves, in its order.
    pub variants: Vec<(String, Serves)>,
    /// The routes, and the variants that are about to leave them.
    pub routed: Routed,
    /// The pipeline's experiment and what a step made of it, or why it can't be run.
    pub experiment: Option<Result<Planned, SettingsError>>,
    /// Why nothing may be applied, if there is an objection.
    pub objection: Option<Objection>,
    /// Objects that are kept although the spec doesn't need them.
    pub kept: Kept,
}

/// Objects that are kept although the spec doesn't need them: live pods do.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Objects that stay by their names: Deployments, until it is known which bundles belong to the newest spec; ConfigMaps that pods
    /// mount, or would if they were made again; service accounts that such pods run as.
    pub names: OwnedKinds<KeptNames>,
    /// Variants that leave once those that take their users answer: everything with their label is kept.
    pub variants: BTreeSet<String>,
}

impl Kept {
    /// Whether an object stays; `names` are those of its kind.
    pub fn keeps<K: ResourceExt>(&self, object: &K, names: &BTreeSet<String>) -> bool {
        let of_variant = object.labels().get(names::VARIANT);
        names.contains(&object.name_any())
            || of_variant.is_some_and(|variant| self.variants.contains(variant))
    }
}

impl Plan {
    /// When the experiment may move by the passage of time alone.
    pub fn next_step(&self) -> Option<Timestamp> {
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
    /// User and group of pods; none if the platform decides.
    pub pod_user: Option<i64>,
}

/// Images of the data plane.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Of the router, the resolver and the analyzer, which run no models.
    pub router: String,
    /// Of variants that run on processors alone.
    pub inference: String,
    /// Of variants on GPUs.
    pub inference_cuda: String,
    /// Of trainings.
    pub training: String,
    /// Of trainings whose queries run on many machines.
    pub training_ballista: String,
}

impl Images {
    /// What runs a variant's models.
    pub fn of(&self, variant: &Variant) -> Program<'_> {
        Program::Inference(match variant.device {
            Some(Device::Cuda) => &self.inference_cuda,
            Some(Device::Cpu) | None => &self.inference,
        })
    }

    fn router(&self) -> Program<'_> {
        Program::Router(&self.router)
    }
}

/// Decides what should be.
pub fn plan(pipeline: &Pipeline, observed: &Observed, installation: &Installation) -> Plan {
    let names = &pipeline.names;
    let resolution = observed.resolution(names);
    let ledger = experiment::going_on(pipeline, observed);
    let serves =
        |variant: &Variant| Serves::of(pipeline, variant, resolution.as_ref(), ledger.as_ref(), observed);
    let variants = pipeline.spec.variants.iter();
    let variants: Vec<(String, Serves)> = variants
        .map(|variant| (variant.name.clone(), serves(variant)))
        .collect();
    let experiment = experiment::planned(pipeline, observed, &variants);
    let planned = experiment.as_ref().and_then(|planned| planned.as_ref().ok());
    let routed = routes::routed(pipeline, observed, planned);
    let mut kept = Kept {
        names: OwnedKinds {
            configs: observed.mounted_configs(),
            accounts: observed.used_accounts(),
            ..OwnedKinds::default()
        },
        variants: routed.leaving.iter().cloned().collect(),
    };
    let render = Render {
        pipeline,
        observed,
        installation,
    };
    let mut children = render.shared(&routed.routes);
    if let (Some(experiment), Some(planned)) = (&pipeline.spec.experiment, planned) {
        render.add_experiment(&mut children, &mut kept, experiment, planned);
    }
    for (variant, (_, serves)) in pipeline.spec.variants.iter().zip(&variants) {
        render.add_variant(&mut children, &mut kept, variant, serves);
    }
    let extensions = observed.extensions.keys();
    let extensions = extensions.map(|extension| (*extension, extensions::wanted(*extension, pipeline)));
    Plan {
        children,
        scales: render.scales(),
        extensions: extensions.collect(),
        variants,
        routed,
        experiment,
        objection: policy::objection(&pipeline.spec, observed, &installation.policy),
        kept,
    }
}

/// What children are rendered from.
struct Render<'a> {
    pipeline: &'a Pipeline,
    observed: &'a Observed,
    installation: &'a Installation,
}

impl Render<'_> {
    /// What an experiment adds. Its ledger comes first, so that a decision is recorded before anybody acts on it.
    fn add_experiment(
        &self,
        children: &mut Children,
        kept: &mut Kept,
        experiment: &Experiment,
        planned: &Planned,
    ) {
        let pipeline = self.pipeline;
        let (role, binding) = experiment::rights(pipeline);
        children.accounts.push(experiment::account(pipeline));
        children.roles.push(role);
        children.bindings.push(binding);
        children.configs.insert(0, experiment::evidence(pipeline));
        if planned.step.ledger.phase == Phase::Unknown {
            // A ledger of a newer release is not ours to overwrite.
            kept.names.configs.insert(pipeline.names.ledger());
        } else {
            children.configs.insert(0, experiment::ledger(pipeline, planned));
        }
        children
            .deployments
            .push(experiment::deployment(pipeline, experiment, self.installation));
    }

    /// What a pipeline owns whatever its variants are.
    fn shared(&self, routes: &Routes) -> Children {
        let Self {
            pipeline,
            observed,
            installation,
        } = *self;
        let (router_role, router_binding) = router::rights(pipeline);
        let (resolver_role, resolver_binding) = resolver::rights(pipeline);
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
            services: vec![router::service(pipeline), router::admin_service(pipeline)],
            policies: network::policies(pipeline, routes, &observed.api_server),
            deployments: vec![
                resolver::deployment(pipeline, installation),
                router::deployment(pipeline, installation),
            ],
            budgets: vec![variant::budget(pipeline, Component::Router)],
            autoscalers: Vec::new(),
        }
    }

    fn scales(&self) -> Vec<Scale> {
        let names = &self.pipeline.names;
        let of_variant = |variant: &Variant| {
            let deployment = names.component(Component::Variant(&variant.name));
            variant::scale(
                names,
                variant,
                self.observed.children.deployments.get(&deployment)?,
            )
        };
        let of_variants = self.pipeline.spec.variants.iter().filter_map(of_variant);
        std::iter::once(router::scale(self.pipeline))
            .chain(of_variants)
            .collect()
    }

    fn add_variant(&self, children: &mut Children, kept: &mut Kept, variant: &Variant, serves: &Serves) {
        let Self {
            pipeline,
            observed,
            installation,
        } = *self;
        let names = &pipeline.names;
        let component = Component::Variant(&variant.name);
        children.services.push(variant::service(pipeline, variant));
        children.budgets.push(variant::budget(pipeline, component));
        children
            .autoscalers
            .extend(variant::autoscaler(pipeline, variant));
        let live = observed.children.deployments.get(&names.component(component));
        let ordered = observed.ordered(names, &variant.name);
        if live.is_some() && serves.keeps_template(ordered.as_ref()) {
            kept.names.deployments.insert(names.component(component));
        } else if let Some(bundles) = serves.bundles() {
            let order = order::config_map(pipeline, variant, bundles);
            let deployment = variant::deployment(pipeline, variant, bundles, &order, installation);
            children.configs.push(order);
            children.deployments.push(deployment);
        }
    }
}

#[cfg(test)]
mod tests;
