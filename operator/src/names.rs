//! Names, labels and annotations of everything that a pipeline owns, all in one place.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;

use gondola_crds::RecommenderPipeline;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use kube::Resource;

/// The label that everything of ours carries, so that caches hold nothing else.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "gondola-operator");
/// The label with the pipeline's name.
pub const PIPELINE: &str = "gondola.dev/pipeline";
/// The label with the variant's name, on what belongs to one variant.
pub const VARIANT: &str = "gondola.dev/variant";
/// The label with a pod's component.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// The label that a service account carries whose owner allows pipelines to run pods with it.
pub const ALLOW_USE: &str = "gondola.dev/allow-use";

/// The annotation of a pod template that says, as JSON, which bundles its pods serve: what a pipeline falls back on.
pub const BUNDLES: &str = "gondola.dev/bundles";

/// The first eight hexadecimal digits of a text's sha256: what names an object after its content.
pub fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..4])
}

/// Whether the object with this uid controls another, whose owners these are: one that was deleted and made again with the same name is
/// a different one.
pub fn controls(uid: &str, owners: &[OwnerReference]) -> bool {
    owners
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// The role of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component<'a> {
    /// It looks up what channels point to.
    Resolver,
    /// It gives every user a variant.
    Router,
    /// It turns an experiment's events into statistics.
    Analyzer,
    /// It answers for a variant.
    Variant(&'a str),
}

impl Component<'_> {
    fn label(self) -> &'static str {
        match self {
            Self::Resolver => "resolver",
            Self::Router => "router",
            Self::Analyzer => "analyzer",
            Self::Variant(_) => "variant",
        }
    }
}

impl fmt::Display for Component<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolver => f.write_str("the resolver"),
            Self::Router => f.write_str("the router"),
            Self::Analyzer => f.write_str("the analyzer"),
            Self::Variant(name) => write!(f, "variant {name}"),
        }
    }
}

/// Who a pipeline is, and what its children are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    namespace: String,
    pipeline: String,
    uid: String,
}

impl Names {
    /// The names of the children of a pipeline of this namespace, name and uid.
    pub fn new(namespace: String, pipeline: String, uid: String) -> Self {
        Self {
            namespace,
            pipeline,
            uid,
        }
    }

    /// The namespace of the pipeline and of all that it owns.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The pipeline's own name: also its Service, which clients know.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The uid, which distinguishes the pipeline from an older one of the same name.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The Service of the routers' second port.
    pub fn admin(&self) -> String {
        self.child("admin")
    }

    /// Neither pipelines nor variants have two hyphens in a row, so that no two names of children are the same.
    fn child(&self, own: &str) -> String {
        format!("{}--{own}", self.pipeline)
    }

    /// What a pod's Deployment is called, and its headless Service, budget and autoscaler.
    pub fn component(&self, component: Component<'_>) -> String {
        let own = match component {
            Component::Variant(name) => name,
            other => other.label(),
        };
        self.child(own)
    }

    /// The ConfigMap that the resolver reports in.
    pub fn resolution(&self) -> String {
        self.child("resolution")
    }

    /// The ConfigMap that routers watch.
    pub fn routes(&self) -> String {
        self.child("routes")
    }

    /// The ConfigMap with an experiment's ledger.
    pub fn ledger(&self) -> String {
        self.child("experiment")
    }

    /// The ConfigMap that the analyzer reports in.
    pub fn evidence(&self) -> String {
        self.child("evidence")
    }

    /// The service account of the pipeline's own for pods that read the store.
    pub fn artifacts_account(&self) -> String {
        self.child("artifacts")
    }

    /// Labels that choose the pods of a component. They never change: a Deployment's selector can't.
    pub fn selector(&self, component: Component<'_>) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            (PIPELINE.to_owned(), self.pipeline.clone()),
            (COMPONENT.to_owned(), component.label().to_owned()),
        ]);
        if let Component::Variant(name) = component {
            labels.insert(VARIANT.to_owned(), name.to_owned());
        }
        labels
    }

    /// The same as a selector of the API.
    pub fn label_selector(&self, component: Component<'_>) -> LabelSelector {
        LabelSelector {
            match_labels: Some(self.selector(component)),
            ..LabelSelector::default()
        }
    }

    /// The metadata of something that belongs to the whole pipeline.
    pub fn metadata(&self, name: String) -> ObjectMeta {
        let labels = BTreeMap::from([
            (PIPELINE.to_owned(), self.pipeline.clone()),
            ("app.kubernetes.io/name".to_owned(), "gondola".to_owned()),
            ("app.kubernetes.io/instance".to_owned(), self.pipeline.clone()),
            (MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()),
        ]);
        ObjectMeta {
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            labels: Some(labels),
            owner_references: Some(vec![self.owner()]),
            ..ObjectMeta::default()
        }
    }

    /// The metadata of something that belongs to one component and is called like it.
    pub fn component_metadata(&self, component: Component<'_>) -> ObjectMeta {
        let mut metadata = self.metadata(self.component(component));
        metadata
            .labels
            .get_or_insert_default()
            .extend(self.selector(component));
        metadata
    }

    /// All objects are deleted with the pipeline. Deletion of the owner does not wait for them.
    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: RecommenderPipeline::api_version(&()).into_owned(),
            kind: RecommenderPipeline::kind(&()).into_owned(),
            name: self.pipeline.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }
}

/// As logs and pages name the pipeline: `namespace/name`.
impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.pipeline)
    }
}
