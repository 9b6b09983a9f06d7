//! Writing what is true now into a pipeline's status.

use gondola_crds::{RecommenderPipeline, RecommenderPipelineStatus};
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::STATUS_MANAGER;
use super::applier::at_version;
use crate::pipeline::Pipeline;

/// The outcome of writing a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusOutcome {
    /// It already is up to date.
    Unchanged,
    /// It was written.
    Written,
    /// The caches are out of date.
    Outdated,
}

/// Writes the status, unless it is already up to date.
pub async fn write(
    client: &Client,
    pipeline: &Pipeline,
    status: &RecommenderPipelineStatus,
) -> Result<StatusOutcome, kube::Error> {
    if pipeline.status == *status {
        return Ok(StatusOutcome::Unchanged);
    }
    let names = &pipeline.names;
    let api: Api<RecommenderPipeline> = Api::namespaced(client.clone(), names.namespace());
    let patch = json!({
        "apiVersion": RecommenderPipeline::api_version(&()),
        "kind": RecommenderPipeline::kind(&()),
        "metadata": {"name": names.pipeline(), "uid": names.uid()},
        "status": status,
    });
    let patch = at_version(patch, pipeline.resource_version.clone());
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    match api
        .patch_status(names.pipeline(), &parameters, &Patch::Apply(&patch))
        .await
    {
        Ok(_) => Ok(StatusOutcome::Written),
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(StatusOutcome::Outdated),
        Err(error) => Err(error),
    }
}

/// Writes conditions into the status of a pipeline that this release can't read, and leaves all else of it as it is.
pub async fn write_conditions(
    client: &Client,
    metadata: &ObjectMeta,
    conditions: &Value,
) -> Result<StatusOutcome, kube::Error> {
    let resource = ApiResource::erase::<RecommenderPipeline>(&());
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    let name = metadata.name.clone().unwrap_or_default();
    let Some(live) = api.get_opt(&name).await? else {
        return Ok(StatusOutcome::Outdated);
    };
    let mut status = live.data["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    if status["conditions"] == *conditions {
        return Ok(StatusOutcome::Unchanged);
    }
    status["conditions"] = conditions.clone();
    let patch = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "uid": live.metadata.uid},
        "status": status,
    });
    let patch = at_version(patch, live.resource_version());
    let parameters = PatchParams::apply(STATUS_MANAGER).force();
    api.patch_status(&name, &parameters, &Patch::Apply(&patch))
        .await?;
    Ok(StatusOutcome::Written)
}
