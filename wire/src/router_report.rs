//! What a router says of the experiment that it answers by, to the analyzer, as JSON over HTTP.

use serde::{Deserialize, Serialize};

/// Where a router tells it.
pub const REPORT_PATH: &str = "/v1/experiment";

/// What a router says of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterReport {
    /// Another text after each start: counts begin at 0 again.
    pub incarnation: String,
    /// The experiment's name.
    pub experiment: String,
    /// Its epoch.
    pub epoch: u32,
    /// The revision of what the router was told.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmReport {
    /// The variant's name.
    pub name: String,
    /// Answers and errors.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Answers that took longer than they may, and clients that did not wait so long.
    pub slow: u64,
    /// Answers in which something stood in for the arm: the control, or an order that its models did not make.
    pub fallbacks: u64,
    /// Empty answers.
    pub empty: u64,
    /// Answers that were not recorded.
    pub dropped: u64,
}
