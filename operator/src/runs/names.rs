//! Names, labels and owners of what belongs to runs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};

use super::kind::RunKind;
use crate::names::{MANAGED_BY, short_hash};

/// The label with the kind and the name of the object that asks for runs.
pub const RUNS_OF: &str = "gondola.dev/runs-of";
/// The label with the run of a Job that no schedule made.
pub const RUN: &str = "gondola.dev/run";
/// The label of a Job that is no run, and runs beside one: the address of the pod that it serves.
pub const BESIDE: &str = "gondola.dev/beside";
/// The annotation with the names of all Jobs of a run, separated by commas.
pub const JOBS: &str = "gondola.dev/jobs";

/// An object has no metadata that the API server gives every object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object has no metadata.{0}, which the API server gives every object")]
pub struct MetadataError(&'static str);

/// Who asks for runs, and what belongs to them is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunNames {
    /// The namespace of everything.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Of its spec.
    pub generation: i64,
    kind: String,
    api_version: String,
}

impl RunNames {
    /// Of an object of the API server.
    pub fn of<K: RunKind>(object: &K) -> Result<Self, MetadataError> {
        let metadata = object.meta();
        let text = |field, value: &Option<String>| value.clone().ok_or(MetadataError(field));
        Ok(Self {
            namespace: text("namespace", &metadata.namespace)?,
            name: text("name", &metadata.name)?,
            uid: text("uid", &metadata.uid)?,
            generation: metadata.generation.ok_or(MetadataError("generation"))?,
            kind: K::kind(&()).into_owned(),
            api_version: K::api_version(&()).into_owned(),
        })
    }

    /// The value of [`RUNS_OF`].
    pub fn runs_of(&self) -> String {
        format!("{}.{}", self.kind.to_lowercase(), self.name)
    }

    /// A name for something of which `content` says all that distinguishes it.
    pub fn named_after(&self, content: &str) -> String {
        format!(
            "{}-{}",
            self.name,
            short_hash(&format!("{} {content}", self.kind))
        )
    }

    /// Labels of everything, pods too.
    pub fn labels(&self) -> BTreeMap<String, String> {
        [
            (RUNS_OF, self.runs_of()),
            ("app.kubernetes.io/name", "gondola".to_owned()),
            ("app.kubernetes.io/instance", self.name.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Labels that choose its pods.
    pub fn label_selector(&self) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.labels()),
            ..LabelSelector::default()
        }
    }

    /// The metadata of an object that is deleted with its owner.
    pub fn metadata(&self, name: String) -> ObjectMeta {
        let mut labels = self.labels();
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: self.api_version.clone(),
                kind: self.kind.clone(),
                name: self.name.clone(),
                uid: self.uid.clone(),
                controller: Some(true),
                block_owner_deletion: None,
            }]),
            ..ObjectMeta::default()
        }
    }

    /// How Events name the object.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.api_version.clone()),
            kind: Some(self.kind.clone()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }
}

/// As logs name the object: `kind namespace/name`.
impl std::fmt::Display for RunNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
