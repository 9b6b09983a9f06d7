//! How far a Job has come, and what its pods said.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

/// The label with the name of a pod's Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// As many characters of what a pod said are told.
const MAX_WORDS: usize = 512;

/// How far a Job has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its pods run, or wait to.
    Running,
    /// Somebody stopped it for a while.
    Suspended,
    /// All of its work is done.
    Complete,
    /// It was given up.
    Failed {
        /// Why, as Kubernetes says it.
        why: String,
    },
}

impl JobState {
    /// Of a Job.
    pub fn of(job: &Job) -> Self {
        let conditions = job
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let is_true = |type_: &str| {
            conditions
                .clone()
                .find(|condition| condition.type_ == type_ && condition.status == "True")
        };
        if let Some(failed) = is_true("Failed") {
            let said = [&failed.reason, &failed.message].into_iter().flatten();
            let why = said.map(String::as_str).collect::<Vec<_>>().join(": ");
            return Self::Failed { why };
        }
        if is_true("Complete").is_some() {
            return Self::Complete;
        }
        if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true) {
            return Self::Suspended;
        }
        Self::Running
    }

    /// Whether nothing of it will change any more.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Complete | Self::Failed { .. })
    }
}

/// When a Job ended, if it did.
pub fn ended_at(job: &Job) -> Option<Time> {
    let status = job.status.as_ref()?;
    let failed = || {
        let mut conditions = status.conditions.iter().flatten();
        let failed =
            conditions.find(|condition| condition.type_ == "Failed" && condition.status == "True")?;
        failed.last_transition_time.clone()
    };
    status.completion_time.clone().or_else(failed)
}

/// How many parts of a Job's work are done, and how many there are.
pub fn progress(job: &Job) -> (i32, i32) {
    let done = job
        .status
        .as_ref()
        .and_then(|status| status.succeeded)
        .unwrap_or(0);
    let all = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or(1);
    (done, all)
}

/// What a Job's pods said at their end: of those that failed where the Job did not succeed, of all others where it did. The last word counts.
pub fn last_words(job: &Job, pods: &[Pod]) -> Option<String> {
    let succeeded = JobState::of(job) == JobState::Complete;
    let name = job.name_any();
    let of_job = pods.iter().filter(|pod| job_of(pod) == Some(&name));
    let ends = of_job
        .filter_map(end)
        .filter(|end| (end.exit_code == 0) == succeeded);
    let last = ends.max_by_key(|end| end.finished_at.clone().map(|time| time.0))?;
    let words = last.message?;
    // An error is the last line that a program writes.
    let line = words.lines().rfind(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(MAX_WORDS).collect())
}

/// The name of a pod's Job.
pub fn job_of(pod: &Pod) -> Option<&String> {
    pod.labels().get(JOB_NAME)
}

fn end(pod: &Pod) -> Option<ContainerStateTerminated> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    containers.find_map(|container| container.state.as_ref()?.terminated.clone())
}
