//! What a platform team requests of training.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::runs::{ConfigMapKey, Runs, RunsStatus};
use crate::schema;
use crate::spec::Artifacts;
use crate::store::VolumeClaim;
use crate::text::Percent;

/// Training of a pipeline's models from a shop's data: bundles in a candidate channel, and in the channel that serves where they are better.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gondola.dev",
    version = "v1alpha1",
    kind = "RecommenderTraining",
    plural = "recommendertrainings",
    shortname = "rectrain",
    namespaced,
    status = "RunsStatus",
    derive = "PartialEq",
    doc = "Training of a pipeline's models from a shop's data: bundles in a candidate channel, and in the channel that serves where they are better.",
    validation = Rule::new("self.metadata.name.size() <= 36 && self.metadata.name.matches('^[a-z]([a-z0-9]|-[a-z0-9])*$')").message("metadata.name is part of the names of pods, which have at most 63 characters; use at most 36 lower-case letters, digits and single '-', beginning with a letter"),
    printcolumn = r#"{"name":"Schedule","type":"string","jsonPath":".spec.schedule"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"Complete","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].reason"}"#,
    printcolumn = r#"{"name":"Suspended","type":"boolean","jsonPath":".spec.suspend"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Complete')].message","priority":1}"#,
    printcolumn = r#"{"name":"Last Success","type":"date","jsonPath":".status.lastSuccessfulTime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone is set without a schedule; set schedule, or remove timeZone"))]
#[x_kube(validation = Rule::new("!has(self.artifacts.pollInterval)").message("artifacts.pollInterval is for pipelines, which look channels up; remove it"))]
#[x_kube(validation = Rule::new("!has(self.promotion) || self.promotion.channel != (has(self.channel) ? self.channel : 'candidate')").message("promotion.channel is the channel that every run publishes to, so that nothing would be compared; set channel to another, for example candidate"))]
pub struct RecommenderTrainingSpec {
    /// The data set's configuration, as `gondola-train run --config` reads it.
    pub config: ConfigMapKey,
    /// Where the data set's files are. An object store is reached with the credentials and the endpoint of `artifacts`.
    pub data: Input,
    /// Where the sentence encoder's files are, reached in the same way.
    pub encoder: Input,
    /// The store that bundles are published into.
    pub artifacts: Artifacts,
    /// The channel that points to a run's bundles; default: `candidate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
        length(min = 1, max = 63)
    )]
    pub channel: Option<String>,
    /// When another channel takes a run's bundles. Default: never, which leaves it to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Promotion>,
    /// Which days test the models; default: `Latest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_window: Option<TestWindow>,
    /// What the queries of a run work on. Default: the pod of the run itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// A volume for the report, and for the stages of a run, from which a pod that comes after one that was killed goes on. Default: the
    /// pod's own disk, which ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// When pods run, and what stays of them.
    #[serde(flatten)]
    pub runs: Runs,
}

/// What queries work on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Apache DataFusion Ballista: a scheduler in the pod of the run, and executors in pods of their own, which come and go with it.
    pub ballista: Ballista,
}

/// A cluster of Ballista for one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ballista {
    /// The number of executors.
    #[schemars(range(min = 1, max = 256))]
    pub executors: i32,
    /// Where the tables of a run are put for executors, each run in a folder of its own: an object store, reached as `artifacts` is, or a volume
    /// that many pods may write to.
    pub shared_folder: Input,
    /// What an executor requests and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
}

/// Which days test the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TestWindow {
    /// The last window that the data fill: for data that grow.
    Latest,
    /// The one that the configuration names, `windows.test_start`.
    AsConfigured,
}

/// Files that a run reads.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || self.url.startsWith('file://')").message("volumeClaim is set, but url is not a file:// URL, so the volume would not be used; remove volumeClaim or change url"))]
pub struct Input {
    /// URL of their folder, for example `s3://shop/sales` or, on a volume, `file:///sales`.
    #[schemars(length(min = 1, max = 1024))]
    pub url: String,
    /// A claim for the volume that holds them. The path of the `file://` URL is the folder inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
}

/// When a channel takes a run's bundles: if their lists are better than those of the bundles that it points to, for the same buyers of
/// the test window and by more than chance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// The channel, for example `stable`.
    #[schemars(
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
        length(min = 1, max = 63)
    )]
    pub channel: String,
    /// What has to be better, of lists of 12 items.
    pub metric: Metric,
    /// By how much the lower end of the 95 % interval of the relative difference has to be above 0; default: `0%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_lift: Option<Percent>,
}

/// How lists are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Metric {
    /// Normalized discounted cumulative gain.
    #[serde(rename = "nDCG")]
    Ndcg,
    /// Mean average precision.
    #[serde(rename = "MAP")]
    MeanAveragePrecision,
    /// The share of what was bought that the lists have.
    Recall,
}

impl Metric {
    /// The name, as `gondola-train` reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ndcg => "ndcg",
            Self::MeanAveragePrecision => "map",
            Self::Recall => "recall",
        }
    }
}

/// Where a run works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workspace {
    /// A claim for a volume that pods may write to.
    pub volume_claim: VolumeClaim,
}
