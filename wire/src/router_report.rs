//! What a router says of the experiment that it answers by, to the analyzer, as JSON over HTTP.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counts::ArmCounts;

/// Where a router reports it.
pub const REPORT_PATH: &str = "/v1/experiment";

/// What a router says of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterReport {
    /// Another text after each start: counts begin at 0 again.
    pub incarnation: String,
    /// The experiment's name.
    pub experiment: String,
    /// Its epoch.
    pub epoch: u32,
    /// The revision of the routes that the router answers by.
    pub revision: String,
    /// What each arm did since the start, the control first. Only units that take part count.
    pub arms: Vec<ArmReport>,
    /// Outcomes that were taken since the start.
    pub outcomes: u64,
    /// Events that were taken since the start and are not in the store yet.
    pub waiting: u64,
    /// Why nothing is recorded, or what keeps events from the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What an arm did since a router started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmReport {
    /// The variant's name.
    pub name: String,
    /// Its answers.
    #[serde(flatten)]
    pub counts: ArmCounts,
    /// Answers that were not recorded.
    pub dropped: u64,
}
