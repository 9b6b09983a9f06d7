//! What a pipeline answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::{ItemId, StageTiming};

/// One recommended item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recommendation {
    /// Which item.
    pub item: ItemId,
    /// The scorer's probability, or the similarity in the embedding space. Compares only within one answer.
    pub score: f32,
    /// The chance with which it was drawn at its place, given the items before it; absent where the order is not drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f32>,
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

/// Why an answer is degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Degradation {
    /// Nobody knows this user: the workflow's defaults stood in for features.
    UnknownUser,
    /// The online store did not answer in time: the bundle's snapshot stood in for what happened since.
    OnlineStore,
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
    /// No variant answered in time: popular items that the router had fetched before.
    LastResort,
}

impl Degradation {
    /// The name used in answers and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
