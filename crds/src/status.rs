//! What the operator found.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::experiment_status::ExperimentStatus;

/// What is true of a pipeline now.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecommenderPipelineStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Available, ArtifactsResolved and Degraded; Reconciling, Stalled, Suspended, Overridden and TreatmentChanged while they are
    /// true; Exposed where `spec.gateway` is set, Monitored where `spec.monitoring` is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Where the pipeline answers inside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Where it accepts outcomes and changes of users and items, and serves its metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_url: Option<String>,
    /// How many variants answer, out of all of them, for `kubectl get`: `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_variants: Option<String>,
    /// The variants and their shares in one line, for `kubectl get`: `dlrm 50% forest 50%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<String>,
    /// What is true of each variant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub variants: Vec<VariantStatus>,
    /// What is true of the experiment; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentStatus>,
}

/// What is true of a variant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariantStatus {
    /// Its name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// Which bundles it should serve, and which its pods do serve.
    #[serde(default)]
    pub bundles: VariantBundles,
    /// How many of the 10,000 buckets of users it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_buckets: Option<i32>,
    /// Which buckets these are, as ranges that include both ends: `0-4999,7000-7499`. The next change of weights starts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<String>,
    /// Number of desired pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Number of pods that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Why it differs from the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Digests of a variant's bundles, by role: features, retrieval, source/NAME, scorer, similarity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariantBundles {
    /// What its references resolve to, and new pods serve.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub desired: BTreeMap<String, String>,
    /// What the pods that are ready serve. In the middle of a rollout: what most of them serve.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ready: BTreeMap<String, String>,
}
