//! The Jobs and CronJobs of runs, and the ConfigMaps that their pods read.

use std::collections::BTreeMap;

use gondola_crds::runs::Runs;
use gondola_crds::spec::PodOverrides;
use k8s_openapi::api::batch::v1::{
    CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec, PodFailurePolicy,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{ConfigMap, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use super::kind::{Part, Work};
use super::names::{JOBS, RUN, RunNames};
use crate::plan::pod::{self, Access};

/// Where pods find the files of their run.
pub const FILES_FOLDER: &str = "/etc/gondola/run";
/// The variable with the name of a pod's Job.
pub const JOB_VARIABLE: &str = "GONDOLA_JOB";
/// Where a pod has that name, which a schedule makes up.
const JOB_NAME_PATH: &str = "metadata.labels['batch.kubernetes.io/job-name']";
/// How often a pod may fail, where the spec doesn't say.
const DEFAULT_RETRIES: i32 = 3;

/// The ConfigMap of a part's files, named after them: it never changes.
pub fn config_map(names: &RunNames, part: &Part) -> ConfigMap {
    let content = serde_json::to_string(&part.files).expect("texts can be written as JSON");
    ConfigMap {
        metadata: names.metadata(names.named_after(&content)),
        immutable: Some(true),
        data: Some(part.files.clone()),
        ..ConfigMap::default()
    }
}

/// The Job of a part of a run; `jobs` are the names of all of the run's.
pub fn job(
    names: &RunNames,
    runs: &Runs,
    run: &str,
    jobs: &[String],
    part: &Part,
    config: &ConfigMap,
) -> Job {
    let mut metadata = names.metadata(job_name(names, run, &part.own));
    metadata
        .labels
        .get_or_insert_default()
        .insert(RUN.to_owned(), run.to_owned());
    metadata.annotations = Some([(JOBS.to_owned(), jobs.join(","))].into());
    let mut spec = job_spec(names, runs, part, config);
    spec.suspend = Some(runs.suspend);
    Job {
        metadata,
        spec: Some(spec),
        status: None,
    }
}

/// The name of a run's Job.
pub fn job_name(names: &RunNames, run: &str, own: &str) -> String {
    names.named_after(&format!("{run} {own}"))
}

/// The schedule of a part, which makes a Job each time.
pub fn schedule(names: &RunNames, runs: &Runs, cron: &str, part: &Part, config: &ConfigMap) -> CronJob {
    CronJob {
        metadata: names.metadata(schedule_name(names, &part.own)),
        spec: CronJobSpec {
            schedule: cron.to_owned(),
            time_zone: runs.time_zone.clone(),
            suspend: Some(runs.suspend),
            // Two runs at once would only take each other's processors.
            concurrency_policy: Some("Forbid".to_owned()),
            successful_jobs_history_limit: runs.successful_jobs_history_limit,
            failed_jobs_history_limit: runs.failed_jobs_history_limit,
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: names.metadata(String::new()).labels,
                    ..ObjectMeta::default()
                }),
                spec: Some(job_spec(names, runs, part, config)),
            },
            ..CronJobSpec::default()
        },
        status: None,
    }
}

/// The name of a part's schedule.
pub fn schedule_name(names: &RunNames, own: &str) -> String {
    names.named_after(&format!("schedule {own}"))
}

fn job_spec(names: &RunNames, runs: &Runs, part: &Part, config: &ConfigMap) -> JobSpec {
    let retries = Some(runs.retries.unwrap_or(DEFAULT_RETRIES));
    let spec = JobSpec {
        active_deadline_seconds: runs.active_deadline_seconds,
        ttl_seconds_after_finished: runs.ttl_seconds_after_finished,
        pod_failure_policy: Some(forgive_disruptions()),
        template: template(names, part, config),
        ..JobSpec::default()
    };
    match part.work {
        Work::Shards { shards, parallelism } => JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(shards),
            parallelism: Some(parallelism),
            backoff_limit_per_index: retries,
            ..spec
        },
        Work::Whole => JobSpec {
            completions: Some(1),
            parallelism: Some(1),
            backoff_limit: retries,
            ..spec
        },
    }
}

/// A pod that a drained node, the scheduler or the kubelet ended did nothing wrong.
fn forgive_disruptions() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: Some("True".to_owned()),
            }]),
            ..PodFailurePolicyRule::default()
        }],
    }
}

fn template(names: &RunNames, part: &Part, config: &ConfigMap) -> PodTemplateSpec {
    let mut pod = part.pod.clone();
    // A run has its pods side by side where there is room, and nobody waits for them.
    pod.topology_spread_constraints = None;
    let files = pod::config_map("run", &config.name_any());
    pod::mount(&mut pod, files, FILES_FOLDER, Access::Read);
    for container in &mut pod.containers {
        pod::set_field(container, JOB_VARIABLE, JOB_NAME_PATH);
    }
    ended_pod(names.labels(), pod, &part.overrides)
}

/// The template of pods that end, and are made anew by their Job alone.
pub fn ended_pod(
    labels: BTreeMap<String, String>,
    mut pod: PodSpec,
    overrides: &PodOverrides,
) -> PodTemplateSpec {
    pod.restart_policy = Some("Never".to_owned());
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    pod::label(&mut template, overrides);
    template
}
