//! What a platform team requests of everybody's recommendations ahead of time.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runs::{ConfigMapKey, Runs, RunsStatus};
use crate::store::Place;

/// Everybody's recommendations ahead of time: the lists that a pipeline would answer, as Parquet in object storage.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gondola.dev",
    version = "v1alpha1",
    kind = "RecommendationJob",
    plural = "recommendationjobs",
    shortname = "recjob",
    namespaced,
    status = "RunsStatus",
    derive = "PartialEq",
    doc = "Everybody's recommendations ahead of time: the lists that a pipeline would answer, as Parquet in object storage.",
    validation = Rule::new("self.metadata.name.size() <= 36 && self.metadata.name.matches('^[a-z]([a-z0-9]|-[a-z0-9])*$')").message("metadata.name is part of the names of pods, which have at most 63 characters; use at most 36 lower-case letters, digits and single '-', beginning with a letter"),
    printcolumn = r#"{"name":"Pipeline","type":"string","jsonPath":".spec.pipeline"}"#,
    printcolumn = r#"{"name":"Variant","type":"string","jsonPath":".spec.variant"}"#,
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Complete","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].reason"}"#,
    printcolumn = r#"{"name":"Progress","type":"string","jsonPath":".status.run.progress"}"#,
    printcolumn = r#"{"name":"Suspended","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"Output","type":"string","jsonPath":".status.run.output","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].message","priority":1}"#,
    printcolumn = r#"{"name":"Last Success","type":"date","jsonPath":".status.lastSuccessfulTime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone is set without a schedule; set schedule, or remove timeZone"))]
#[x_kube(validation = Rule::new("!has(self.parallelism) || !has(self.shards) || self.parallelism <= self.shards").message("parallelism is above shards, so that some pods would have nothing to do; lower it"))]
#[x_kube(validation = Rule::new("!has(self.pods) || (!has(self.pods.image) && !has(self.pods.env))").message("pods.image and pods.env are the pipeline's, whose credentials these pods have; set them in the pipeline"))]
pub struct RecommendationJobSpec {
    /// The pipeline whose lists are written, in the same namespace. Every run takes the bundles that the pipeline serves when the run begins.
    #[schemars(length(min = 1, max = 30))]
    pub pipeline: String,
    /// The variant that makes the lists. Default: each user's own, as the router decides; every variant that gets users has a folder of its
    /// own then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 31))]
    pub variant: Option<String>,
    /// Who gets a list. Default: everybody in the features bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserList>,
    /// The number of items in a list. Default: `ordering.limit` of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub k: Option<i32>,
    /// Where lists are written: each run into a folder of its own, which is called like the run.
    pub output: Place,
    /// How many parts of the work there are, each a pod with its range of the router's buckets; default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub shards: Option<i32>,
    /// How many pods run at once; default: one for each part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub parallelism: Option<i32>,
    /// When pods run, and what stays of them.
    #[serde(flatten)]
    pub runs: Runs,
}

/// Who gets a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserList {
    /// A text with one user id per line.
    pub config_map: ConfigMapKey,
}
