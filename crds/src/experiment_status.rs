//! What is true of an experiment: where it stands, what the data say, and what was decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// What is true of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentStatus {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub phase: Phase,
    /// Its epoch: 1 at first, and one more after each restart.
    pub epoch: i32,
    /// Digest of the configuration sent to the routers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_revision: Option<String>,
    /// The share of users who take part, for `kubectl get`: `20%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic_percent: Option<String>,
    /// The stage of the ramp, counted from 0.
    #[serde(default)]
    pub stage: i32,
    /// When the stage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub stage_start_time: Option<String>,
    /// When the experiment began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// How many users each arm needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_units: Option<i64>,
    /// When the planned number will be reached, at today's pace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expected_decision_time: Option<String>,
    /// Users whose window of the first success metric is over, of all arms, for `kubectl get`: `182,311`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// The same as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matured_units: Option<i64>,
    /// Relative improvement of the first arm that is not the control, for `kubectl get`: `+3.1%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift: Option<String>,
    /// Its interval, for `kubectl get`: `[-0.4%, +6.7%]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// The same as numbers, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lift_basis_points: Option<LiftBasisPoints>,
    /// The arms, the control first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arms: Vec<ArmStatus>,
    /// What each arm improved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success: Vec<MetricStatus>,
    /// What each arm harmed or did not harm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guardrails: Vec<MetricStatus>,
    /// Whether users are split as planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_ratio: Option<SampleRatioStatus>,
    /// Errors and latency of each arm against the control's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<OperationsStatus>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionStatus>,
    /// The arm that everybody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    /// When events were analyzed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_analysis_time: Option<String>,
    /// Where the statistics are, in the experiment's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_uri: Option<String>,
    /// Earlier epochs and how they ended, newest first; at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEpoch>,
}

/// A relative improvement and its interval, in hundredths of a percent: 310 is +3.1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LiftBasisPoints {
    /// The current estimate of the improvement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<i64>,
    /// Lower end of its interval, valid however often it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<i64>,
    /// Upper end of that interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<i64>,
}

/// Where an experiment stands. A phase that a newer operator wrote reads as `Unknown`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr,
)]
pub enum Phase {
    /// Its pods are not ready yet.
    #[default]
    Pending,
    /// More users are enrolled, stage by stage.
    Ramping,
    /// All users of the final share take part.
    Running,
    /// An arm won, and everybody gets it.
    Promoted,
    /// An arm did harm; everybody gets the control.
    RolledBack,
    /// The plan is complete, and no result is certain; everybody gets the control.
    Inconclusive,
    /// The plan is complete, and the arms are equivalent; everybody gets the control.
    Equivalent,
    /// Users are not split as planned, so the data can't be used.
    Invalid,
    /// The spec serves the winner as its control.
    Completed,
    /// A phase that another release wrote.
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// The word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether nothing more is decided.
    pub fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Ramping | Self::Running | Self::Invalid | Self::Unknown => false,
            Self::Promoted | Self::RolledBack | Self::Inconclusive | Self::Equivalent | Self::Completed => {
                true
            }
        }
    }
}

/// What is true of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmStatus {
    /// The variant's name.
    pub name: String,
    /// Users who were exposed.
    pub units: i64,
    /// Users whose window of the first success metric is over.
    pub matured: i64,
    /// Answers that these users got.
    pub exposures: i64,
    /// The share of these answers that came from the control instead, for example `0.1%`.
    pub fallback_rate: String,
}

/// What is true of a metric in an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// The metric's name.
    pub name: String,
    /// The arm that is compared with the control.
    pub arm: String,
    /// The control's mean.
    pub control: String,
    /// The arm's mean.
    pub treatment: String,
    /// Relative difference, for example `+3.1%`.
    pub lift: String,
    /// Its interval, valid however often it is checked: `[-0.4%, +6.7%]`.
    pub lift_interval: String,
    /// The smallest p-value so far, valid however often it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_value: Option<String>,
    /// For a guardrail: the relative loss that is tolerated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<String>,
    /// `Better`, `Worse` or `Undecided`; for a guardrail `NonInferior`, `Harm` or `Undecided`.
    pub verdict: String,
}

/// Whether users are split as planned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SampleRatioStatus {
    /// The smallest p-value so far, valid however often it is checked.
    pub p_value: String,
    /// The p-value of a chi-square test of the current counts alone.
    pub chi2_p_value: String,
    /// Whether the shares differ from the plan.
    pub detected: bool,
}

/// Errors or latency of an arm against the control's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationsStatus {
    /// What is counted: `errors`, `slow`, `fallbacks` or `empty`.
    pub name: String,
    /// The arm.
    pub arm: String,
    /// Logarithm of the evidence that the arm is worse than allowed.
    pub log_evidence: String,
    /// Whether the evidence is strong enough to roll the arm back.
    pub alarm: bool,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionStatus {
    /// The phase that it led to, or `PromotionReady`.
    pub verdict: String,
    /// The reason, as one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

/// An earlier epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastEpoch {
    /// The experiment's name then.
    pub name: String,
    /// The number of the epoch.
    pub epoch: i32,
    /// Its phase when it ended.
    pub phase: Phase,
    /// The reason of its decision, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
