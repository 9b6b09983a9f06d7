//! A pipeline as a pass works with it: checked once, at the door.
//!
//! What the API server gives every object (a namespace, a name, a uid, a generation) is there, so no later code has to
//! handle an object without them.

use gondola_crds::{RecommenderPipeline, RecommenderPipelineSpec, RecommenderPipelineStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;

use crate::names::Names;

/// A pipeline of the API server.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Who it is, and what its children are called.
    pub names: Names,
    /// Of the spec: counted up with each change of it.
    pub generation: i64,
    /// Of the object as it was read: a write with it fails if somebody has changed the object since.
    pub resource_version: Option<String>,
    /// What it should be.
    pub spec: RecommenderPipelineSpec,
    /// What was reported of it last; empty before the first report.
    pub status: RecommenderPipelineStatus,
}

/// Why an object is not a pipeline of the API server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has no metadata.{field}, which the API server gives every object")]
pub struct PipelineError {
    field: &'static str,
}

impl TryFrom<&RecommenderPipeline> for Pipeline {
    type Error = PipelineError;

    fn try_from(object: &RecommenderPipeline) -> Result<Self, PipelineError> {
        let metadata = object.meta();
        let text = |field, value: &Option<String>| value.clone().ok_or(PipelineError { field });
        Ok(Self {
            names: Names::new(
                text("namespace", &metadata.namespace)?,
                text("name", &metadata.name)?,
                text("uid", &metadata.uid)?,
            ),
            generation: metadata.generation.ok_or(PipelineError { field: "generation" })?,
            resource_version: metadata.resource_version.clone(),
            spec: object.spec.clone(),
            status: object.status.clone().unwrap_or_default(),
        })
    }
}

impl Pipeline {
    /// The service account of pods that read the store: the one that the spec names, or one of the pipeline's own.
    pub fn artifacts_account(&self) -> String {
        let named = self.spec.artifacts.service_account_name.clone();
        named.unwrap_or_else(|| self.names.artifacts_account())
    }

    /// How Events name it.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(RecommenderPipeline::api_version(&()).into_owned()),
            kind: Some(RecommenderPipeline::kind(&()).into_owned()),
            namespace: Some(self.names.namespace().to_owned()),
            name: Some(self.names.pipeline().to_owned()),
            uid: Some(self.names.uid().to_owned()),
            resource_version: self.resource_version.clone(),
            ..ObjectReference::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_gives_every_object_must_be_there() {
        let whole = crate::fixtures::pipeline();
        let pipeline = Pipeline::try_from(&whole).unwrap();
        assert_eq!(pipeline.names.namespace(), "shop");
        assert_eq!(pipeline.generation, 1);
        let mut without_uid = whole.clone();
        without_uid.metadata.uid = None;
        let error = Pipeline::try_from(&without_uid).unwrap_err();
        assert!(error.to_string().contains("metadata.uid"), "{error}");
    }
}
