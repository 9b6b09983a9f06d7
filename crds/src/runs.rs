//! What [`RecommendationJob`](crate::RecommendationJob) and [`RecommenderTraining`](crate::RecommenderTraining) have in common: when their
//! pods run, how often they are tried, how long what they leave in the cluster stays, and what is told of them.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::spec::PodOverrides;

/// When pods run, and what stays of them. The fields of the same names in Kubernetes' Job and CronJob mean the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runs {
    /// When to run, as a cron expression such as `30 3 * * *`. Default: once, and again when the spec asks for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub schedule: Option<String>,
    /// The time zone of `schedule`, for example `Europe/Berlin`. Default: that of the cluster's controllers, mostly UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
    /// Stops: the schedule starts nothing, and pods of a run that goes on end. A run that was stopped goes on when this is taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// How often a pod may fail before its run does; default: 3. Pods that a drained node or the scheduler ended don't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub retries: Option<i32>,
    /// Seconds that a run may take. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub active_deadline_seconds: Option<i64>,
    /// Seconds after which the Job of a run that ended is deleted. Default: never; a schedule keeps as many as its history limits say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// How many Jobs of a schedule that succeeded are kept; default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub successful_jobs_history_limit: Option<i32>,
    /// How many Jobs of a schedule that failed are kept; default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub failed_jobs_history_limit: Option<i32>,
    /// What a pod requests and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Where pods run, and with what around them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodOverrides>,
}

/// A key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What is true of the runs now.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunsStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the cluster has what the spec asks for. Complete: the newest run ended and gave what it should. Reconciling, Stalled and
    /// Suspended while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The newest run; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunStatus>,
    /// When a run last gave what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Time>,
}

/// What is true of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Its name: that of its Job, or what the Jobs of its variants have in common.
    pub name: String,
    /// When its first pod was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// How many of its parts are done, out of all: `5/8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Where it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// What its pods said at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
