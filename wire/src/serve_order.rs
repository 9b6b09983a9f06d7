//! What a variant's pod serves: the operator's order to it, as JSON in a ConfigMap that the pod mounts and that never changes.
//!
//! It has what concerns the pod and nothing else: a change of weights, replicas or routers makes no new order, and restarts nobody.
//! Bundles are at the versions and digests that the resolver decided on, so that every pod of a rollout serves the same.

use gondola_crds::RecommenderPipelineSpec;
use gondola_crds::online::Online;
use gondola_crds::spec::{Device, Filters, Ordering, Search, Sources, Variant};
use serde::{Deserialize, Serialize};

use crate::resolution::VariantBundles;

/// The key of the ConfigMap, and the file's name in pods.
pub const ORDER_FILE: &str = "order.json";

/// An order to serve one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServeOrder {
    /// The pipeline's name.
    pub pipeline: String,
    /// URL of the store of the bundles.
    pub store: String,
    /// The bundles, each at a version and a digest.
    pub bundles: VariantBundles,
    /// How the variant answers.
    pub variant: VariantOrder,
    /// The online store, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<OnlineOrder>,
}

/// An online store, and whose part of it the pipeline has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineOrder {
    /// What names of keys begin with: `NAMESPACE/PIPELINE`.
    pub scope: String,
    /// The store.
    pub store: Online,
}

/// How a variant answers: what the spec says of it, the pipeline's settings and its own together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantOrder {
    /// The variant's name.
    pub name: String,
    /// What its networks and its text encoder run on; the processor where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,
    /// How many items the two-tower search gives a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<i32>,
    /// How thoroughly the retrieval index is searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Further sources of candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Sources>,
    /// How thoroughly the similarity index is searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity_search: Option<Search>,
    /// Items that may not be recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// How many of the scored candidates are shown, and in which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<Ordering>,
}

impl VariantOrder {
    /// What a spec says of one of its variants.
    pub fn of(spec: &RecommenderPipelineSpec, variant: &Variant) -> Self {
        let retrieval = spec.retrieval_of(variant);
        let similarity = spec.similarity.as_ref();
        Self {
            name: variant.name.clone(),
            device: variant.device,
            candidates: retrieval.candidates,
            search: retrieval.search.clone(),
            sources: retrieval.sources.clone(),
            similarity_search: similarity.and_then(|similarity| similarity.search.clone()),
            filters: spec.filters.clone(),
            ordering: spec.ordering.clone(),
        }
    }
}
