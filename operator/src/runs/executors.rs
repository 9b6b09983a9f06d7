//! Queries on many machines: a scheduler in the pod of a training, and a Job of executors beside it.
//!
//! The scheduler is a container beside the training's own that ends with it. Executors are a Job of their own, since there are many of them, and are made
//! for one pod of the training: they are told its address. They go when that pod does, and others come with the next.

use gondola_crds::RecommenderTraining;
use gondola_crds::spec::PodOverrides;
use gondola_crds::training::Ballista;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt as _;

use super::job::ended_pod;
use super::names::{BESIDE, RunNames};
use super::observed::Observed;
use super::state::job_of;
use super::training::{LOG, OWN_DISK, WORKSPACE_FOLDER, account, log_filter, reaches_stores};
use crate::plan::Installation;
use crate::plan::pod::{self, Access, Program};

/// The port of the scheduler.
const PORT: u16 = 50050;
/// How often executors may end before their Job is given up: those that lose the scheduler do.
const EXECUTORS_MAY_END: i32 = 1000;
/// The variable with a pod's own address.
const POD_ADDRESS: &str = "GONDOLA_POD_ADDRESS";

/// The scheduler, as a container that starts before the training and ends with it.
pub(super) fn scheduler(installation: &Installation, overrides: &PodOverrides) -> Container {
    let listen = format!("0.0.0.0:{PORT}");
    let host = format!("$({POD_ADDRESS})");
    let program = Program::Ballista(&installation.images.training_ballista);
    let arguments = ["scheduler", "--listen", &listen, "--host", &host];
    let mut container = pod::container("scheduler", program, &arguments, overrides);
    container.restart_policy = Some("Always".to_owned());
    container.resources = Some(pod::modest_resources());
    pod::set(&mut container, LOG, log_filter(overrides));
    pod::set_field(&mut container, POD_ADDRESS, "status.podIP");
    container
}

/// What a training is told of its engine, as arguments. `folder` is that of one run.
pub(super) fn engine(folder: &str) -> [String; 4] {
    [
        "--engine".to_owned(),
        format!("ballista://127.0.0.1:{PORT}"),
        "--shared-folder".to_owned(),
        folder.to_owned(),
    ]
}

/// The executors of each pod of a training that runs.
pub(super) fn jobs(
    training: &RecommenderTraining,
    ballista: &Ballista,
    names: &RunNames,
    observed: &Observed,
    installation: &Installation,
) -> Vec<Job> {
    let pods = observed.going_on().flat_map(|job| {
        let name = job.name_any();
        let of_job = observed.pods.iter().filter(move |pod| job_of(pod) == Some(&name));
        of_job.filter_map(address)
    });
    pods.map(|address| job(training, ballista, names, &address, installation))
        .collect()
}

/// Where a pod that runs is reached.
fn address(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let runs = status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    status.pod_ip.clone().filter(|_| runs)
}

fn job(
    training: &RecommenderTraining,
    ballista: &Ballista,
    names: &RunNames,
    scheduler: &str,
    installation: &Installation,
) -> Job {
    let mut metadata = names.metadata(names.named_after(&format!("executors of {scheduler}")));
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(BESIDE.to_owned(), scheduler.replace(':', "-"));
    let labels = labels.clone();
    let overrides = training.spec.runs.pods.clone().unwrap_or_default();
    Job {
        spec: Some(JobSpec {
            completions: Some(ballista.executors),
            parallelism: Some(ballista.executors),
            backoff_limit: Some(EXECUTORS_MAY_END),
            template: ended_pod(
                labels,
                executor(training, ballista, names, scheduler, installation, &overrides),
                &overrides,
            ),
            ..JobSpec::default()
        }),
        metadata,
        status: None,
    }
}

fn executor(
    training: &RecommenderTraining,
    ballista: &Ballista,
    names: &RunNames,
    scheduler: &str,
    installation: &Installation,
    overrides: &PodOverrides,
) -> PodSpec {
    let scheduler = match scheduler.contains(':') {
        true => format!("[{scheduler}]:{PORT}"),
        false => format!("{scheduler}:{PORT}"),
    };
    let host = format!("$({POD_ADDRESS})");
    let arguments = [
        "executor",
        "--scheduler",
        &scheduler,
        "--host",
        &host,
        "--work-folder",
        WORKSPACE_FOLDER,
    ];
    let program = Program::Ballista(&installation.images.training_ballista);
    let mut container = pod::container("executor", program, &arguments, overrides);
    pod::set(&mut container, LOG, log_filter(overrides));
    container.resources = Some(ballista.resources.clone().unwrap_or_else(pod::analyzer_resources));
    pod::set_field(&mut container, POD_ADDRESS, "status.podIP");
    let mut pod = pod::spec(account(training), names.label_selector(), overrides, installation);
    pod.containers = vec![container];
    pod::mount(
        &mut pod,
        pod::scratch("work", OWN_DISK),
        WORKSPACE_FOLDER,
        Access::Write,
    );
    reaches_stores(&mut pod, training);
    pod
}
