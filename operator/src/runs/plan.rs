//! Which Jobs, schedules and ConfigMaps there should be: a pure function of the spec and of what there is.
//!
//! A run without a schedule is named after what the spec asks for. It is made once: while its Jobs are there, or the status says that it
//! ended, nothing of it is rendered again, so that a channel that moves begins no second run. A schedule names what the next run reads; runs
//! that go on keep what they began with.

use std::collections::BTreeSet;

use gondola_crds::runs::{Runs, RunsStatus};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use serde_json::{Map, Value};

use super::job;
use super::kind::{Part, RunKind};
use super::names::{JOBS, RunNames};
use super::observed::{Observed, run_of};
use crate::finding::Finding;
use crate::names::{controls, short_hash};

/// Fields of a spec that make no other run.
const WHILE_IT_RUNS: [&str; 8] = [
    "suspend",
    "parallelism",
    "retries",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
    "timeZone",
];

/// What should be.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// ConfigMaps that are missing.
    pub configs: Vec<ConfigMap>,
    /// Jobs that are missing.
    pub jobs: Vec<Job>,
    /// Jobs that run beside those that go on.
    pub beside: Vec<Job>,
    /// Schedules, as they should be.
    pub schedules: Vec<CronJob>,
    /// Names of Jobs that go on, and are stopped or let go on as the spec says.
    pub adjusted: Vec<String>,
    /// Names of what is left over.
    pub surplus: Surplus,
    /// The run that the spec asks for; none where a schedule decides.
    pub run: Option<String>,
    /// Why nothing can begin, if something should.
    pub problem: Option<Finding>,
}

/// Names of what is left over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Of Jobs.
    pub jobs: Vec<String>,
    /// Of schedules.
    pub schedules: Vec<String>,
    /// Of ConfigMaps.
    pub configs: Vec<String>,
}

/// The run that a spec without a schedule asks for.
pub fn wanted_run<K: RunKind>(object: &K) -> Option<String> {
    let object_as_json =
        serde_json::to_value(object).expect("what was read from JSON can be written as JSON");
    let mut spec = match &object_as_json["spec"] {
        Value::Object(fields) => fields.clone(),
        _ => Map::new(),
    };
    spec.retain(|field, _| !WHILE_IT_RUNS.contains(&field.as_str()));
    let schedule = &object.runs().schedule;
    schedule
        .is_none()
        .then(|| short_hash(&Value::Object(spec).to_string()))
}

/// Whether a run ended, as the status remembers when its Jobs are gone.
fn is_over(status: Option<&RunsStatus>, run: &str) -> bool {
    let known = status.and_then(|status| status.run.as_ref());
    known.is_some_and(|known| known.name == run && known.completion_time.is_some())
}

/// Decides what should be. `beside` are the Jobs that run beside those that go on; `parts` renders the Jobs of a run that begins now.
pub fn plan<K: RunKind>(
    object: &K,
    names: &RunNames,
    observed: &Observed,
    beside: Vec<Job>,
    parts: impl FnOnce() -> Result<Vec<Part>, Finding>,
) -> Plan {
    let runs = object.runs();
    let mut plan = match (wanted_run(object), &runs.schedule) {
        (Some(run), _) => once(names, runs, run, object.status(), observed, parts),
        (None, Some(cron)) => on_schedule(names, runs, cron, observed, parts),
        (None, None) => Plan::default(),
    };
    let there: BTreeSet<String> = observed.configs.iter().map(|config| config.name_any()).collect();
    plan.configs.retain(|config| !there.contains(&config.name_any()));
    if !runs.suspend {
        plan.beside = beside;
    }
    plan.surplus = surplus(&plan, names, observed);
    plan
}

fn once(
    names: &RunNames,
    runs: &Runs,
    run: String,
    status: Option<&RunsStatus>,
    observed: &Observed,
    parts: impl FnOnce() -> Result<Vec<Part>, Finding>,
) -> Plan {
    let there: BTreeSet<String> = observed.jobs_of(&run).map(|job| job.name_any()).collect();
    let all = observed
        .jobs_of(&run)
        .find_map(|job| job.annotations().get(JOBS).cloned());
    let begun = all.is_some_and(|all| all.split(',').all(|job| there.contains(job)));
    let mut plan = Plan::default();
    if begun || is_over(status, &run) {
        let of_run = observed.going_on().filter(|job| run_of(job) == run);
        plan.adjusted = of_run.map(|job| job.name_any()).collect();
    } else {
        match parts() {
            Ok(parts) => {
                let jobs: Vec<String> = parts
                    .iter()
                    .map(|part| job::job_name(names, &run, &part.own))
                    .collect();
                for part in &parts {
                    let config = job::config_map(names, part);
                    let job = job::job(names, runs, &run, &jobs, part, &config);
                    if !there.contains(&job.name_any()) {
                        plan.jobs.push(job);
                        plan.configs.push(config);
                    }
                }
            }
            Err(problem) => plan.problem = Some(problem),
        }
    }
    plan.run = Some(run);
    plan
}

fn on_schedule(
    names: &RunNames,
    runs: &Runs,
    cron: &str,
    observed: &Observed,
    parts: impl FnOnce() -> Result<Vec<Part>, Finding>,
) -> Plan {
    let mut plan = Plan {
        // What goes on keeps the bundles that it began with.
        adjusted: observed.going_on().map(|job| job.name_any()).collect(),
        ..Plan::default()
    };
    match parts() {
        Ok(parts) => {
            for part in &parts {
                let config = job::config_map(names, part);
                plan.schedules
                    .push(job::schedule(names, runs, cron, part, &config));
                plan.configs.push(config);
            }
        }
        // What was right yesterday may be so tomorrow: nothing is left over while there is a problem, and the schedule stays.
        Err(problem) => plan.problem = Some(problem),
    }
    plan
}

/// What no run needs: Jobs of an older wish, unless a schedule owns them; schedules that are not wanted; ConfigMaps that no Job reads.
fn surplus(plan: &Plan, names: &RunNames, observed: &Observed) -> Surplus {
    let beside: BTreeSet<String> = plan.beside.iter().map(|job| job.name_any()).collect();
    let left = observed.beside.iter().map(|job| job.name_any());
    let left: Vec<String> = left.filter(|name| !beside.contains(name)).collect();
    if plan.problem.is_some() {
        return Surplus {
            jobs: left,
            ..Surplus::default()
        };
    }
    let of_older_wish =
        |job: &&Job| controls(&names.uid, job.owner_references()) && Some(run_of(job)) != plan.run;
    let jobs: Vec<String> = observed
        .jobs
        .iter()
        .filter(of_older_wish)
        .map(|job| job.name_any())
        .collect();
    let wanted: BTreeSet<String> = plan
        .schedules
        .iter()
        .map(|schedule| schedule.name_any())
        .collect();
    let schedules = observed.schedules.iter().map(|schedule| schedule.name_any());
    let schedules: Vec<String> = schedules.filter(|name| !wanted.contains(name)).collect();
    let staying = observed.jobs.iter().filter(|job| !jobs.contains(&job.name_any()));
    let of_jobs = staying.filter_map(|job| Some(&job.spec.as_ref()?.template));
    let of_schedules = plan
        .schedules
        .iter()
        .filter_map(|schedule| Some(&schedule.spec.job_template.spec.as_ref()?.template));
    let of_new_jobs = plan
        .jobs
        .iter()
        .filter_map(|job| Some(&job.spec.as_ref()?.template));
    let templates = of_jobs.chain(of_new_jobs).chain(of_schedules);
    let read: BTreeSet<&String> = templates
        .flat_map(|template| template.spec.iter().flat_map(|pod| pod.volumes.iter().flatten()))
        .filter_map(|volume| Some(&volume.config_map.as_ref()?.name))
        .collect();
    let configs = observed.configs.iter().map(|config| config.name_any());
    let configs = configs.filter(|name| !read.contains(name));
    Surplus {
        configs: configs.collect(),
        jobs: [jobs, left].concat(),
        schedules,
    }
}
