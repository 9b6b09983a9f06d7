//! Making what is missing, changing what may change while it runs, and deleting what is left over.
//!
//! Jobs and ConfigMaps are made and never changed, except for whether a Job goes on. A schedule is applied when it differs from what was
//! sent last.

use std::fmt::Debug;

use gondola_crds::runs::Runs;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::names::RunNames;
use super::observed::Observed;
use super::plan::Plan;
use crate::apply::failure::Failure;
use crate::apply::{APPLIED, MANAGER};
use crate::kinds::Kind;
use crate::names::short_hash;

/// Brings the cluster to what was planned. ConfigMaps come before what reads them, and go after it.
pub async fn apply(
    client: &Client,
    names: &RunNames,
    runs: &Runs,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), Failure> {
    let writer = Writer { client, names };
    for config in &plan.configs {
        writer.make(config).await?;
    }
    for job in &plan.jobs {
        writer.make(job).await?;
    }
    for job in &plan.beside {
        if observed
            .beside
            .iter()
            .all(|there| there.name_any() != job.name_any())
        {
            writer.make(job).await?;
        }
    }
    for schedule in &plan.schedules {
        writer.schedule(schedule, observed).await?;
    }
    for name in &plan.adjusted {
        if let Some(job) = observed.jobs.iter().find(|job| job.name_any() == *name) {
            writer.adjust(job, runs).await?;
        }
    }
    for name in &plan.surplus.schedules {
        writer.delete::<CronJob>(name).await?;
    }
    for name in &plan.surplus.jobs {
        writer.delete::<Job>(name).await?;
    }
    for name in &plan.surplus.configs {
        writer.delete::<ConfigMap>(name).await?;
    }
    Ok(())
}

struct Writer<'a> {
    client: &'a Client,
    names: &'a RunNames,
}

impl Writer<'_> {
    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.names.namespace)
    }

    /// Makes an object. Whoever has its name already is somebody else.
    async fn make<K: Kind>(&self, object: &K) -> Result<(), Failure> {
        let (kind, name) = (K::kind(&()).into_owned(), object.name_any());
        tracing::info!(kind, name, namespace = self.names.namespace, "making");
        match self.api::<K>().create(&PostParams::default(), object).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(Failure::NameConflict { kind, name }),
            Err(error) => Err(Failure::new(kind, name, error)),
        }
    }

    async fn schedule(&self, wanted: &CronJob, observed: &Observed) -> Result<(), Failure> {
        let (kind, name) = ("CronJob".to_owned(), wanted.name_any());
        let hash = serde_json::to_value(wanted).map(|wanted| short_hash(&wanted.to_string()));
        let hash =
            hash.map_err(|error| Failure::new(kind.clone(), name.clone(), kube::Error::SerdeError(error)))?;
        let mut wanted = wanted.clone();
        wanted.annotations_mut().insert(APPLIED.to_owned(), hash.clone());
        match observed.schedules.iter().find(|there| there.name_any() == name) {
            None => self.make(&wanted).await,
            Some(there) if there.annotations().get(APPLIED) == Some(&hash) => Ok(()),
            Some(_) => {
                tracing::info!(kind, name, namespace = self.names.namespace, "applying");
                let parameters = PatchParams::apply(MANAGER).force();
                let (api, patch) = (self.api::<CronJob>(), Patch::Apply(&wanted));
                let patched = api.patch(&name, &parameters, &patch).await;
                patched.map(drop).map_err(|error| Failure::new(kind, name, error))
            }
        }
    }

    /// Changes what may change of a Job that goes on.
    async fn adjust(&self, job: &Job, runs: &Runs) -> Result<(), Failure> {
        let spec = job.spec.clone().unwrap_or_default();
        if spec.suspend.unwrap_or(false) == runs.suspend
            && spec.active_deadline_seconds == runs.active_deadline_seconds
            && spec.ttl_seconds_after_finished == runs.ttl_seconds_after_finished
        {
            return Ok(());
        }
        let name = job.name_any();
        tracing::info!(
            name,
            namespace = self.names.namespace,
            suspend = runs.suspend,
            "adjusting"
        );
        let patch = json!({"spec": {
            "suspend": runs.suspend,
            "activeDeadlineSeconds": runs.active_deadline_seconds,
            "ttlSecondsAfterFinished": runs.ttl_seconds_after_finished,
        }});
        let patched = self
            .api::<Job>()
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        patched
            .map(drop)
            .map_err(|error| Failure::new("Job".to_owned(), name, error))
    }

    /// Deletes an object of ours with its pods.
    async fn delete<K: Kind + Debug>(&self, name: &str) -> Result<(), Failure> {
        let kind = K::kind(&()).into_owned();
        tracing::info!(kind, name, namespace = self.names.namespace, "deleting");
        match self.api::<K>().delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Failure::new(kind, name.to_owned(), error)),
        }
    }
}
