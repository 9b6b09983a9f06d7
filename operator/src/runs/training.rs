//! Training: the pods of a `RecommenderTraining`.

use gondola_crds::RecommenderTraining;
use gondola_crds::runs::{Runs, RunsStatus};
use gondola_crds::spec::PodOverrides;
use gondola_crds::training::{Promotion, TestWindow};
use gondola_wire::variables;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;

use super::executors;
use super::job::JOB_VARIABLE;
use super::kind::{Part, RunKind, Work, allows_use};
use super::names::RunNames;
use super::observed::Observed;
use crate::finding::Finding;
use crate::plan::Installation;
use crate::plan::pod::{self, Access, Program, StoreUse};
use crate::policy::{self, Objection};

/// Where the data set's configuration is mounted.
const CONFIG_FOLDER: &str = "/etc/gondola/dataset";
/// Where a run has its report, its stages and its temporary files.
pub(super) const WORKSPACE_FOLDER: &str = "/var/lib/gondola";
/// Where the kubelet reads what a pod has to say at its end.
const LAST_WORDS: &str = "/dev/termination-log";
/// The account of pods whose spec names none: every namespace has it.
const DEFAULT_ACCOUNT: &str = "default";
/// The variable with the place of the folders that executors see, one for each run.
const SHARED_FOLDERS: &str = "GONDOLA_SHARED_FOLDERS";
/// The variable with the filter of log lines, in programs that are also run by hand.
pub(super) const LOG: &str = "RUST_LOG";
/// What a run may write to a pod's own disk, in bytes.
pub(super) const OWN_DISK: u64 = 64 << 30;

/// What a training depends on beside its spec.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// Whether the service account that the spec names may be used.
    pub allowed: bool,
}

impl RunKind for RecommenderTraining {
    type Inputs = Account;

    fn runs(&self) -> &Runs {
        &self.spec.runs
    }

    fn status(&self) -> Option<&RunsStatus> {
        self.status.as_ref()
    }

    fn output(&self) -> Option<&str> {
        Some(&self.spec.artifacts.url)
    }

    async fn look(&self, client: &Client, namespace: &str) -> Result<Account, kube::Error> {
        let account = self.spec.artifacts.service_account_name.as_deref();
        let allowed = allows_use(client, namespace, account).await?;
        Ok(Account { allowed })
    }

    fn parts(
        &self,
        names: &RunNames,
        account: &Account,
        installation: &Installation,
    ) -> Result<Vec<Part>, Finding> {
        if let Some(objection) = objection(self, *account, installation) {
            return Err(Finding::stuck(objection.reason(), objection.to_string()));
        }
        let overrides = self.spec.runs.pods.clone().unwrap_or_default();
        Ok(vec![Part {
            own: String::new(),
            files: Default::default(),
            pod: pod_spec(self, names, &overrides, installation),
            overrides,
            work: Work::Whole,
        }])
    }

    fn beside(&self, names: &RunNames, observed: &Observed, installation: &Installation) -> Vec<Job> {
        let engine = self.spec.engine.iter();
        engine
            .flat_map(|engine| executors::jobs(self, &engine.ballista, names, observed, installation))
            .collect()
    }
}

fn objection(
    training: &RecommenderTraining,
    account: Account,
    installation: &Installation,
) -> Option<Objection> {
    let spec = &training.spec;
    let place = |field, url| policy::Place {
        field,
        url,
        endpoint: None,
    };
    let shared = spec.engine.as_ref().map(|engine| {
        let url = &engine.ballista.shared_folder.url;
        place("spec.engine.ballista.sharedFolder", url)
    });
    let places = [
        policy::Place {
            endpoint: spec.artifacts.endpoint.as_deref(),
            ..place("spec.artifacts", &spec.artifacts.url)
        },
        place("spec.data", &spec.data.url),
        place("spec.encoder", &spec.encoder.url),
    ];
    let places: Vec<policy::Place<'_>> = places.into_iter().chain(shared).collect();
    let pods = [("spec.pods".to_owned(), spec.runs.pods.as_ref())];
    policy::account(&spec.artifacts, account.allowed)
        .or_else(|| policy::objection_to(&places, &pods, &installation.policy))
}

fn pod_spec(
    training: &RecommenderTraining,
    names: &RunNames,
    overrides: &PodOverrides,
    installation: &Installation,
) -> PodSpec {
    let spec = &training.spec;
    let mut pod = pod::spec(account(training), names.label_selector(), overrides, installation);
    if spec.engine.is_some() {
        pod.init_containers = Some(vec![executors::scheduler(installation, overrides)]);
    }
    pod.containers = vec![container(training, overrides, installation)];
    let config = pod::config_map("dataset", &spec.config.name);
    pod::mount(&mut pod, config, CONFIG_FOLDER, Access::Read);
    let workspace = match &spec.workspace {
        None => pod::scratch("workspace", OWN_DISK),
        Some(workspace) => pod::claimed("workspace", &workspace.volume_claim, Access::Write),
    };
    pod::mount(&mut pod, workspace, WORKSPACE_FOLDER, Access::Write);
    reaches_stores(&mut pod, training);
    pod
}

/// The account of a training's pods.
pub(super) fn account(training: &RecommenderTraining) -> String {
    let named = training.spec.artifacts.service_account_name.clone();
    named.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned())
}

/// Lets a pod's containers reach what a training reads and writes.
pub(super) fn reaches_stores(pod: &mut PodSpec, training: &RecommenderTraining) {
    let spec = &training.spec;
    let artifacts = &spec.artifacts;
    let shared = spec.engine.as_ref().map(|engine| &engine.ballista.shared_folder);
    let shared = shared.map(|shared| {
        let claim = shared.volume_claim.as_ref();
        ("shared-", &shared.url, claim, SHARED_FOLDERS, Access::Write)
    });
    let uses = [
        (
            "",
            &artifacts.url,
            artifacts.volume_claim.as_ref(),
            variables::STORE,
            Access::Write,
        ),
        (
            "data-",
            &spec.data.url,
            spec.data.volume_claim.as_ref(),
            variables::DATA,
            Access::Read,
        ),
        (
            "encoder-",
            &spec.encoder.url,
            spec.encoder.volume_claim.as_ref(),
            variables::ENCODER,
            Access::Read,
        ),
    ];
    for (name, url, claim, url_variable, access) in uses.into_iter().chain(shared) {
        let of_store = name.is_empty();
        let credentials = artifacts.credentials.as_ref().filter(|_| of_store);
        StoreUse {
            name,
            url,
            // All three are reached in the same way.
            endpoint: artifacts.endpoint.as_deref().filter(|_| of_store),
            credentials: credentials.map(|credentials| &credentials.secret_ref),
            claim,
            credentials_folder: pod::CREDENTIALS_FOLDER,
            credentials_variable: variables::CREDENTIALS,
            endpoint_variable: variables::STORE_ENDPOINT,
            url_variable,
            access,
        }
        .grant(pod);
    }
}

fn container(
    training: &RecommenderTraining,
    overrides: &PodOverrides,
    installation: &Installation,
) -> Container {
    let spec = &training.spec;
    let config = format!("{CONFIG_FOLDER}/{}", spec.config.key);
    // A pod that comes after one that was killed finds the stages of its own run, whatever other runs left.
    let report = format!("{WORKSPACE_FOLDER}/$({JOB_VARIABLE})");
    let arguments = [
        "run",
        "--config",
        &config,
        "--report",
        &report,
        "--last-words",
        LAST_WORDS,
    ];
    let images = &installation.images;
    let program = match spec.engine {
        None => Program::Training(&images.training),
        Some(_) => Program::Training(&images.training_ballista),
    };
    let mut container = pod::container("train", program, &arguments, overrides);
    container.resources = Some(spec.runs.resources.clone().unwrap_or_else(training_resources));
    let arguments = container.args.get_or_insert_default();
    let channel = spec.channel.clone().unwrap_or_else(|| "candidate".to_owned());
    arguments.extend(["--channel".to_owned(), channel]);
    arguments.extend(spec.promotion.iter().flat_map(promotion));
    if spec.test_window != Some(TestWindow::AsConfigured) {
        arguments.push("--test-latest".to_owned());
    }
    if spec.engine.is_some() {
        arguments.extend(executors::engine(&format!(
            "$({SHARED_FOLDERS})/$({JOB_VARIABLE})"
        )));
    }
    pod::set(&mut container, "TMPDIR", WORKSPACE_FOLDER);
    pod::set(&mut container, LOG, log_filter(overrides));
    container
}

/// What is logged: how far a run has come, unless the spec says otherwise.
pub(super) fn log_filter(overrides: &PodOverrides) -> String {
    let filter = overrides.log.clone();
    filter.unwrap_or_else(|| "warn,gondola_training=info".to_owned())
}

/// When another channel takes what a run publishes, as arguments.
fn promotion(promotion: &Promotion) -> Vec<String> {
    let lift = promotion.min_lift.as_ref().map_or("0%", |lift| lift.as_str());
    let pairs = [
        ("--promote-to", promotion.channel.as_str()),
        ("--if-better", promotion.metric.as_str()),
        ("--min-lift", lift),
    ];
    pairs
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
        .collect()
}

/// What a training requests where its spec says nothing: a run takes the memory of its data, which only its owner knows.
fn training_resources() -> ResourceRequirements {
    let quantities = [("cpu", "1"), ("memory", "2Gi")];
    let quantity = |(name, amount): (&str, &str)| (name.to_owned(), Quantity(amount.to_owned()));
    ResourceRequirements {
        requests: Some(quantities.into_iter().map(quantity).collect()),
        ..ResourceRequirements::default()
    }
}
