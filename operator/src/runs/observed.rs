//! What there is of an object's runs.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, Resource, ResourceExt};

use super::names::{BESIDE, RUN, RUNS_OF, RunNames};
use super::state::JobState;
use crate::kinds::Kind;
use crate::names::controls;
use crate::observe::mounts;
use crate::observed::pods::{PodProblem, is_starting, problem};

/// What there is of an object's runs.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When it was looked at.
    pub now: Timestamp,
    /// Its Jobs, those of its schedules among them.
    pub jobs: Vec<Job>,
    /// Jobs of its that run beside these.
    pub beside: Vec<Job>,
    /// Its schedules.
    pub schedules: Vec<CronJob>,
    /// What its pods read.
    pub configs: Vec<ConfigMap>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// What events say of pods that wait and whose status doesn't say for what, by the pod's name.
    pub pod_events: BTreeMap<String, PodProblem>,
}

impl Observed {
    /// Asks the API server.
    pub async fn look(client: &Client, names: &RunNames) -> Result<Self, kube::Error> {
        let schedules: Vec<CronJob> = list(client, names).await?;
        let schedules: Vec<CronJob> = schedules
            .into_iter()
            .filter(|object| controls(&names.uid, object.owner_references()))
            .collect();
        let jobs: Vec<Job> = list(client, names).await?;
        let ours = |job: &Job| {
            controls(&names.uid, job.owner_references())
                || schedules.iter().any(|schedule| {
                    schedule
                        .uid()
                        .is_some_and(|uid| controls(&uid, job.owner_references()))
                })
        };
        let is_beside = |job: &Job| job.labels().contains_key(BESIDE);
        let (beside, jobs) = jobs.into_iter().filter(ours).partition(is_beside);
        let configs: Vec<ConfigMap> = list(client, names).await?;
        let (now, pods) = (Timestamp::now(), list::<Pod>(client, names).await?);
        Ok(Self {
            now,
            pod_events: mounts::explain(client, &names.namespace, pods.iter(), now).await,
            pods,
            jobs,
            beside,
            configs: configs
                .into_iter()
                .filter(|object| controls(&names.uid, object.owner_references()))
                .collect(),
            schedules,
        })
    }

    /// The Jobs of a run.
    pub fn jobs_of(&self, run: &str) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(move |job| run_of(job) == run)
    }

    /// Jobs that are not over.
    pub fn going_on(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| !JobState::of(job).is_ended())
    }

    /// What keeps a pod from starting, if anything does.
    pub fn waits_for(&self) -> Option<PodProblem> {
        let mut starting = self.pods.iter().filter(|pod| is_starting(pod));
        starting.find_map(|pod| problem(pod).or_else(|| self.pod_events.get(&pod.name_any()).cloned()))
    }

    /// The run that began last.
    pub fn newest_run(&self) -> Option<String> {
        let newest = self
            .jobs
            .iter()
            .max_by_key(|job| (created(*job), job.name_any()))?;
        Some(run_of(newest))
    }
}

/// The run of a Job: as its label says, or, for one of a schedule, what the names of all Jobs of the same minute end with.
pub fn run_of(job: &Job) -> String {
    let name = job.name_any();
    let minute = || name.rsplit('-').next().unwrap_or_default().to_owned();
    job.labels().get(RUN).cloned().unwrap_or_else(minute)
}

/// When an object was made.
pub fn created<K: Resource>(object: &K) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

async fn list<K: Kind>(client: &Client, names: &RunNames) -> Result<Vec<K>, kube::Error> {
    let api: Api<K> = Api::namespaced(client.clone(), &names.namespace);
    let ours = ListParams::default().labels(&format!("{RUNS_OF}={}", names.runs_of()));
    Ok(api.list(&ours).await?.items)
}
