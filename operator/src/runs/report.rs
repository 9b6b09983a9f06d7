//! The status of an object that asks for runs: a pure function of what was planned and what there is.

use gondola_crds::runs::{RunStatus, Runs, RunsStatus};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use super::names::RunNames;
use super::observed::{Observed, created};
use super::plan::Plan;
use super::state::{JobState, ended_at, last_words, progress};
use crate::apply::failure::Failure;
use crate::finding::{Finding, Severity, Truth};
use crate::reasons;
use crate::report::conditions::conditions;
use crate::report::unapplied;

/// What is told of an object.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its status.
    pub status: RunsStatus,
    /// Its conditions, with what they mean.
    pub findings: Vec<(&'static str, Finding)>,
}

/// What is true of an object's runs. `output` is where they write.
pub fn report(
    names: &RunNames,
    runs: &Runs,
    before: &RunsStatus,
    plan: &Plan,
    observed: &Observed,
    failure: Option<&Failure>,
    output: Option<&str>,
) -> Report {
    let newest = plan.run.clone().or_else(|| observed.newest_run());
    let jobs: Vec<&Job> = newest.iter().flat_map(|run| observed.jobs_of(run)).collect();
    let run = match &newest {
        // Its Jobs are gone, or not there yet.
        Some(name) if jobs.is_empty() => before.run.clone().filter(|run| run.name == *name),
        Some(name) => Some(run_status(name, &jobs, observed, output)),
        // A schedule whose last Jobs are gone.
        None => before.run.clone(),
    };
    let complete = complete(&jobs, run.as_ref(), before, observed);
    let last_successful_time = (complete.truth == Truth::True)
        .then(|| run.as_ref()?.completion_time.clone())
        .flatten()
        .or_else(|| before.last_successful_time.clone());
    let mut findings = vec![("Ready", ready(runs, plan, failure)), ("Complete", complete)];
    findings.extend(kstatus(&findings[0].1));
    if runs.suspend {
        let suspended = "spec.suspend is set: nothing starts, and no pods run until it is taken back";
        findings.push(("Suspended", Finding::met(reasons::SUSPENDED, suspended)));
    }
    Report {
        status: RunsStatus {
            observed_generation: Some(names.generation),
            conditions: conditions(&findings, &before.conditions, names.generation, observed.now),
            run,
            last_successful_time,
        },
        findings,
    }
}

fn ready(runs: &Runs, plan: &Plan, failure: Option<&Failure>) -> Finding {
    if let Some(failure) = failure {
        return unapplied(failure);
    }
    if let Some(problem) = &plan.problem {
        return problem.clone();
    }
    let message = match &runs.schedule {
        Some(schedule) => format!("runs start on the schedule {schedule}"),
        None => "the run that the spec asks for was started".to_owned(),
    };
    Finding::met(reasons::AS_REQUESTED, message)
}

/// `Reconciling` and `Stalled`, which tools wait for, while they are true.
fn kstatus(ready: &Finding) -> Option<(&'static str, Finding)> {
    let repeat = |type_| {
        let finding = Finding::new(
            Truth::True,
            Severity::Repeated,
            ready.reason,
            ready.message.clone(),
        );
        Some((type_, finding))
    };
    match (ready.truth, ready.severity) {
        (Truth::True, _) => None,
        (_, Severity::Stuck) => repeat("Stalled"),
        _ => repeat("Reconciling"),
    }
}

fn complete(jobs: &[&Job], run: Option<&RunStatus>, before: &RunsStatus, observed: &Observed) -> Finding {
    let Some(run) = run else {
        return Finding::pending(reasons::NOT_RUN_YET, "nothing has run yet");
    };
    if jobs.is_empty() {
        return remembered(before);
    }
    let failed = jobs.iter().find_map(|job| match JobState::of(job) {
        JobState::Failed { why } => Some((job, why)),
        _ => None,
    });
    if let Some((job, why)) = failed {
        let words = last_words(job, &observed.pods)
            .map_or_else(String::new, |words| format!("; its pod said: {words}"));
        let message = format!("Job {} failed: {why}{words}", job.name_any());
        return Finding::stuck(reasons::RUN_FAILED, message);
    }
    if jobs.iter().all(|job| JobState::of(job) == JobState::Complete) {
        let message = run
            .message
            .clone()
            .unwrap_or_else(|| format!("run {} is complete", run.name));
        return Finding::met(reasons::RUN_COMPLETE, message);
    }
    // Numbers are in `status.run.progress`: a condition says the same while the same is true.
    let goes_on = format!("run {} goes on", run.name);
    match observed.waits_for() {
        None => Finding::pending(reasons::RUNNING, goes_on),
        Some(problem) => {
            let message = format!("{goes_on}, and a pod of it can't start: {problem}");
            Finding::new(
                Truth::Unknown,
                Severity::Warning,
                reasons::POD_CANNOT_START,
                message,
            )
        }
    }
}

/// What was said of a run when it ended, and is true although its Jobs are gone.
fn remembered(before: &RunsStatus) -> Finding {
    let known = before
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Complete");
    match known {
        Some(known) if known.status == "True" => Finding::met(reasons::RUN_COMPLETE, known.message.clone()),
        Some(known) if known.reason == reasons::RUN_FAILED => {
            Finding::stuck(reasons::RUN_FAILED, known.message.clone())
        }
        _ => Finding::pending(reasons::NOT_RUN_YET, "nothing has run yet"),
    }
}

fn run_status(name: &str, jobs: &[&Job], observed: &Observed, output: Option<&str>) -> RunStatus {
    let started = jobs.iter().filter_map(|job| {
        let status = job.status.as_ref()?;
        status.start_time.clone().map(|time| time.0)
    });
    let ended: Vec<_> = jobs.iter().filter_map(|job| ended_at(job)).collect();
    let all_ended = jobs.iter().all(|job| JobState::of(job).is_ended());
    let (done, all) = jobs
        .iter()
        .map(|job| progress(job))
        .fold((0, 0), |(done, all), (more, parts)| (done + more, all + parts));
    let words: Vec<String> = jobs
        .iter()
        .filter_map(|job| last_words(job, &observed.pods))
        .collect();
    let began = started
        .min()
        .or_else(|| jobs.iter().filter_map(|job| created(*job)).min());
    RunStatus {
        name: name.to_owned(),
        start_time: began.map(Time),
        completion_time: ended
            .into_iter()
            .map(|time| time.0)
            .max()
            .filter(|_| all_ended)
            .map(Time),
        progress: Some(format!("{done}/{all}")),
        output: output.map(str::to_owned),
        message: Some(words.join("; ")).filter(|words| !words.is_empty()),
    }
}
