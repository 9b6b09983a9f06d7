//! The experiment of a pipeline: its step, and the objects that hold its records.
//!
//! The step itself is [`gondola_experiments::step`]; here it gets what was observed, and its result becomes children: the
//! ledger, the place of the evidence, and the analyzer. Routers record exposures and outcomes ([`records_events`]).

use std::collections::{BTreeMap, BTreeSet};

use gondola_crds::experiment::Experiment;
use gondola_crds::spec::Variant;
use gondola_experiments::epoch;
use gondola_experiments::settings::{Settings, SettingsError};
use gondola_experiments::step::{Inputs, Routing, Step, step};
use gondola_wire::evidence::Evidence;
use gondola_wire::ledger::{LEDGER_KEY, Ledger};
use gondola_wire::resolution::VariantBundles;
use gondola_wire::variables;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use super::pod::{self, Access, StoreUse};
use super::serving::Serves;
use super::{Installation, access, rights, variant};
use crate::names::Component;
use crate::observed::Observed;
use crate::pipeline::Pipeline;

const ANALYZER: Component<'_> = Component::Analyzer;
const START_SECONDS: i32 = 60;
/// Seconds that a stopping router has to upload what it recorded.
const UPLOAD_SECONDS: i64 = 20;
/// Where the key of units is mounted.
const KEY_FOLDER: &str = "/etc/gondola/unit-key";
/// Where credentials of the events' store are mounted.
const CREDENTIALS_FOLDER: &str = "/etc/gondola/events-credentials";
/// Where events wait until they are in the store, and where the analyzer keeps what it works on.
const EVENTS_FOLDER: &str = "/var/lib/gondola/events";
/// Maximum bytes that may wait or be worked on.
const EVENTS_BYTES: u64 = 4 << 30;

/// An experiment and what a step made of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The experiment in numbers.
    pub settings: Settings,
    /// The result of the step.
    pub step: Step,
    /// The evidence that the step was made from.
    pub evidence: Option<Evidence>,
}

/// Makes a step of the pipeline's experiment; `None` without one. `variants` says what each serves.
pub fn planned(
    pipeline: &Pipeline,
    observed: &Observed,
    variants: &[(String, Serves)],
) -> Option<Result<Planned, SettingsError>> {
    let experiment = pipeline.spec.experiment.as_ref()?;
    let served = served(pipeline, observed, variants);
    Some(Settings::of(experiment).map(|settings| one_step(pipeline, settings, observed, &served)))
}

/// The ledger of the experiment that the current spec continues; none if it is over, or restarts.
pub fn going_on(pipeline: &Pipeline, observed: &Observed) -> Option<Ledger> {
    let experiment = pipeline.spec.experiment.as_ref()?;
    let ledger = before(pipeline, observed)?;
    let same =
        ledger.experiment == experiment.name.as_str() && ledger.restart_token == experiment.restart_token;
    (same && !ledger.phase.is_over()).then_some(ledger)
}

/// The bundles of variants of which all pods are of one rollout, the one that is wanted.
fn served(
    pipeline: &Pipeline,
    observed: &Observed,
    variants: &[(String, Serves)],
) -> BTreeMap<String, VariantBundles> {
    let names = &pipeline.names;
    let of_variant = |(name, serves): &(String, Serves)| {
        let wanted = serves.bundles()?;
        let complete = observed.rollout(names, Component::Variant(name)).complete;
        let ordered = observed.ordered(names, name)?;
        (complete && ordered == *wanted).then(|| (name.clone(), ordered))
    };
    variants.iter().filter_map(of_variant).collect()
}

fn one_step(
    pipeline: &Pipeline,
    settings: Settings,
    observed: &Observed,
    served: &BTreeMap<String, VariantBundles>,
) -> Planned {
    let names = &pipeline.names;
    let (evidence, memory) = (observed.evidence(names), observed.memory(names));
    // An arm that is being scaled to nothing answers for a moment only.
    let answers = |variant: &&Variant| {
        let rollout = observed.rollout(names, Component::Variant(&variant.name));
        variant::fewest(variant, rollout.wanted) > 0 && rollout.ready > 0
    };
    let answering = pipeline.spec.variants.iter().filter(answers);
    let ready: BTreeSet<String> = answering.map(|variant| variant.name.clone()).collect();
    let mut weighted = pipeline.spec.variants.iter().filter(|variant| variant.weight > 0);
    let only_weighted_variant = weighted
        .next()
        .filter(|_| weighted.next().is_none())
        .map(|variant| variant.name.as_str());
    let inputs = Inputs {
        now: observed.now,
        namespace: pipeline.names.namespace(),
        pipeline: names.pipeline(),
        ready: &ready,
        routers: usize::try_from(observed.rollout(names, Component::Router).ready).unwrap_or(0),
        only_weighted_variant,
        evidence: evidence.as_ref(),
        memory: memory.as_ref(),
        served: Some(served),
        suspended: pipeline.spec.suspend,
    };
    let step = step(&settings, before(pipeline, observed).as_ref(), &inputs);
    Planned {
        settings,
        step,
        evidence,
    }
}

/// The ledger from its ConfigMap; if that is lost, what the status repeats of it.
fn before(pipeline: &Pipeline, observed: &Observed) -> Option<Ledger> {
    let names = &pipeline.names;
    observed.ledger(names).or_else(|| {
        let status = pipeline.status.experiment.as_ref()?;
        let experiment = pipeline.spec.experiment.as_ref()?;
        Some(epoch::from_status(status, experiment.restart_token.clone()))
    })
}

/// The variant that everybody gets once an experiment is over.
pub fn everybody(planned: Option<&Planned>) -> Option<&str> {
    match &planned?.step.routing {
        Routing::Everybody(variant) => Some(variant),
        Routing::Experiment(_) => None,
    }
}

/// The ConfigMap with the ledger.
pub fn ledger(pipeline: &Pipeline, planned: &Planned) -> ConfigMap {
    let names = &pipeline.names;
    let text = serde_json::to_string_pretty(&planned.step.ledger).expect("a ledger holds text and numbers");
    ConfigMap {
        metadata: names.metadata(names.ledger()),
        data: Some(BTreeMap::from([(LEDGER_KEY.to_owned(), text)])),
        ..ConfigMap::default()
    }
}

/// The ConfigMap that the analyzer reports in. Applied empty, since its content belongs to the analyzer.
pub fn evidence(pipeline: &Pipeline) -> ConfigMap {
    let names = &pipeline.names;
    ConfigMap {
        metadata: names.metadata(names.evidence()),
        ..ConfigMap::default()
    }
}

/// The analyzer's Deployment: one pod, never two at once.
pub fn deployment(pipeline: &Pipeline, experiment: &Experiment, installation: &Installation) -> Deployment {
    let names = &pipeline.names;
    let overrides = pod::overrides(pipeline.spec.pods.as_ref(), None);
    let mut analyze = pod::container("analyze", installation.images.router(), &["analyze"], &overrides);
    analyze.resources = Some(pod::analyzer_resources());
    pod::set(&mut analyze, variables::PIPELINE, names.pipeline());
    pod::set(&mut analyze, variables::EVIDENCE_CONFIG_MAP, names.evidence());
    pod::set(&mut analyze, variables::ROUTER_SERVICE, names.admin());
    pod::make_reporter(&mut analyze, START_SECONDS);
    let mut pod = pod::spec(
        names.component(ANALYZER),
        names.label_selector(ANALYZER),
        &overrides,
        installation,
    );
    pod.automount_service_account_token = Some(true);
    pod.containers = vec![analyze];
    uses_events(&mut pod, experiment);
    access::of_analyzer(&mut pod, pipeline);
    let mut deployment = pod::single_pod_deployment(names, ANALYZER, pod);
    pod::label(&mut deployment.spec.template, &overrides);
    deployment
}

/// The analyzer's service account.
pub fn account(pipeline: &Pipeline) -> ServiceAccount {
    ServiceAccount {
        metadata: pipeline.names.component_metadata(ANALYZER),
        ..ServiceAccount::default()
    }
}

/// What the analyzer may do: read its own pipeline, find the routers, and write its own report.
pub fn rights(pipeline: &Pipeline) -> (Role, RoleBinding) {
    let names = &pipeline.names;
    let mut rules = rights::of_reporter(names.pipeline().to_owned(), names.evidence());
    rules.push(rights::rule(
        "discovery.k8s.io",
        "endpointslices",
        &["get", "list", "watch"],
    ));
    rights::grant(
        names.component_metadata(ANALYZER),
        rules,
        names.component(ANALYZER),
    )
}

/// Lets routers record exposures and outcomes: the store, the key that ids are hashed with, and a folder where events wait.
pub fn records_events(pod: &mut PodSpec, pipeline: &Pipeline, experiment: &Experiment) {
    uses_events(pod, experiment);
    let key = pod::secret("unit-key", &experiment.unit_key.secret_ref);
    pod::mount(pod, key, KEY_FOLDER, Access::Read);
    let flush = experiment
        .cadence
        .as_ref()
        .and_then(|cadence| cadence.flush.as_ref());
    // Events that are in the memory when it stops are uploaded after the last answer.
    pod.termination_grace_period_seconds = pod
        .termination_grace_period_seconds
        .map(|seconds| seconds + UPLOAD_SECONDS);
    for container in &mut pod.containers {
        pod::set(container, variables::UNIT_KEY, KEY_FOLDER);
        pod::set(container, variables::PIPELINE, pipeline.names.pipeline());
        if let Some(flush) = flush {
            pod::set(container, variables::EVENTS_FLUSH, flush.as_str());
        }
    }
}

/// Settings that routers and analyzer have in common.
fn uses_events(pod: &mut PodSpec, experiment: &Experiment) {
    let store = &experiment.store;
    let credentials = store.credentials.as_ref();
    StoreUse {
        name: "events-",
        url: &store.url,
        endpoint: store.endpoint.as_deref(),
        credentials: credentials.map(|credentials| &credentials.secret_ref),
        claim: store.volume_claim.as_ref(),
        credentials_folder: CREDENTIALS_FOLDER,
        credentials_variable: variables::EVENTS_CREDENTIALS,
        endpoint_variable: variables::EVENTS_ENDPOINT,
        url_variable: variables::EVENTS_URL,
        access: Access::Write,
    }
    .grant(pod);
    pod::mount(
        pod,
        pod::scratch("events", EVENTS_BYTES),
        EVENTS_FOLDER,
        Access::Write,
    );
    for container in &mut pod.containers {
        pod::set(container, variables::EVENTS_FOLDER, EVENTS_FOLDER);
    }
}
