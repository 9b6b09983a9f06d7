//! What a pipeline is asked and what it answers.

use serde::{Deserialize, Serialize};

use super::timing::StageTiming;
use crate::features::{ItemId, RawRow, UserId};

/// Asks what a user should see.
#[derive(Clone, Debug, PartialEq)]
pub struct RecommendRequest {
    /// For whom. A user whom nobody knows is served from the defaults of the workflow.
    pub user: UserId,
    /// How many items; the pipeline's own limit where the request names none.
    pub k: Option<usize>,
    /// What a router wants to know of it.
    pub visit: Visit,
}

/// Who comes, as an experiment sees it. Variants don't look at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visit {
    /// The id of the unit, where it is not the user's.
    pub unit: Option<String>,
    /// The arm that a tester wants to see.
    pub arm: Option<String>,
    /// The client's own id of the request.
    pub request: Option<String>,
}

/// Asks what is like an item.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarRequest {
    /// Like what.
    pub to: SimilarTo,
    /// How many items; the pipeline's own limit where the request names none.
    pub k: Option<usize>,
}

/// What similar items are similar to.
#[derive(Clone, Debug, PartialEq)]
pub enum SimilarTo {
    /// A known item; it is left out of the answer.
    Item(ItemId),
    /// A text, embedded while the client waits.
    Text(String),
}

/// One recommended item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// Which item.
    pub item: ItemId,
    /// The scorer's probability, or the similarity in the embedding space. Compares only within one answer.
    pub score: f32,
}

/// What a pipeline answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The items, best first.
    pub items: Vec<Recommendation>,
    /// Why this answer is less than it could be; empty when every stage did its work.
    pub degraded: Vec<Degradation>,
    /// How long each stage took, in the order in which they ran.
    pub timing: Vec<StageTiming>,
}

/// Why an answer is less than it could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Degradation {
    /// Nobody knows this user: the workflow's defaults stood in for features.
    UnknownUser,
    /// Retrieval failed: popular items stood in for candidates.
    Retrieval,
    /// Scoring failed: items are in the order of retrieval.
    Scoring,
    /// Candidates were left out whose features are damaged: the model gave them no finite score.
    Candidates,
    /// The deadline passed or no worker was free in time: popular items, without a model.
    Deadline,
    /// The user's variant did not answer: the control variant did.
    FallbackToControl,
    /// Neither the user's variant nor the control answered: another variant did.
    FallbackToVariant,
    /// No variant answered in time: popular items that the router had asked for before.
    LastResort,
}

impl Degradation {
    /// The name used in answers and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::Retrieval => "retrieval",
            Self::Scoring => "scoring",
            Self::Candidates => "candidates",
            Self::Deadline => "deadline",
            Self::FallbackToControl => "fallback_to_control",
            Self::FallbackToVariant => "fallback_to_variant",
            Self::LastResort => "last_resort",
        }
    }
}

/// Raw features of a new or changed user: what `PUT /v1/users/ID` brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// Raw values by column; replaces the user's row. An absent column is null.
    #[serde(default)]
    pub features: RawRow,
    /// What the user bought. Left out, a known user's purchases stay as they are.
    #[serde(default)]
    pub history: Option<Vec<PurchaseUpdate>>,
}

/// One item that a user bought before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurchaseUpdate {
    /// Which item.
    pub item: ItemId,
    /// How often.
    pub purchases: f32,
    /// Days since the last time.
    pub days_since_last: f32,
    /// How often, each time counted half after every `features.history_half_life_days` of the data set's configuration.
    /// Left out, every time counts as if it were today.
    #[serde(default)]
    pub recent_purchases: Option<f32>,
}
