//! What an experiment has come to: the little that can't be worked out again from spec and evidence.
//!
//! The operator keeps it in a ConfigMap that the pipeline owns, and repeats it in the status; the local server keeps it in a file. Only
//! a step of the experiment changes it.

use std::collections::BTreeMap;

use gondola_crds::experiment_status::{PastEpoch, Phase};
use gondola_crds::text::Token;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::resolution::VariantBundles;

/// The key of the ConfigMap that holds it.
pub const LEDGER_KEY: &str = "ledger.json";

/// What an experiment has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// The experiment's name.
    pub experiment: String,
    /// How often it was restarted; 1 at first.
    pub epoch: u32,
    /// The text that would start it again if it were another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_token: Option<Token>,
    /// Where it stands.
    pub phase: Phase,
    /// When it began.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub started_at: Option<Timestamp>,
    /// Which step of the ramp, from 0.
    #[serde(default)]
    pub stage: u32,
    /// Since when every router lets this step's users in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub stage_since: Option<Timestamp>,
    /// Since when no pod of an arm answers.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        with = "crate::time::by_name"
    )]
    pub unready_since: BTreeMap<String, Timestamp>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The arm that everybody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    /// The bundles that each arm began with, by the variant's name: arms keep them until the experiment is over, wherever channels
    /// point meanwhile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<String, VariantBundles>,
    /// Earlier epochs, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEpoch>,
}
