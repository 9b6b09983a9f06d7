//! What became of items in the answer for a user: the question of whoever wonders why an item is shown, or where it was lost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::{Degradation, ItemId, StageTiming, UserId};

/// Asks what becomes of items in the answer for a user. Nobody is shown anything, so that an experiment counts no exposure.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainRequest {
    /// For whom.
    pub user: UserId,
    /// Which items; each has a score, whether or not it is a candidate.
    pub items: Vec<ItemId>,
    /// How many items the answer has; the pipeline's own limit where the request names none.
    pub k: Option<usize>,
    /// Whether to say what each input adds to the scores.
    pub parts: bool,
}

/// What became of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Which item.
    pub item: ItemId,
    /// What became of it.
    pub fate: Fate,
    /// The sources of candidates that named it; none where it was not found.
    pub sources: Vec<SourcePlace>,
    /// What it is ranked by, as in answers; absent for an item that is not in the catalog, or of which the model makes no finite number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    /// Its place by score among the candidates that may be shown, from 1; absent where it is none of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// What each input adds to the score, the most first, where that was asked for; absent otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// What an input adds to a score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// The input, as the scorer names it: `user.age`, `item.price`, `pair.purchases`.
    pub input: String,
    /// The score less what it would be if this input were not known: below 0 where knowing it takes away.
    pub adds: f32,
}

/// A source of candidates, and an item's place among those that it gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourcePlace {
    /// Which source.
    pub source: Source,
    /// From 1.
    pub place: usize,
}

/// Where candidates come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nearest to the user in the space of the two towers.
    TwoTower,
    /// Bought before by the user.
    BoughtBefore,
    /// Bought by those who bought the same as the user.
    CoBought,
    /// The most popular.
    Popular,
    /// A trained source, by the name that the manifest gives it.
    #[serde(untagged)]
    Trained(String),
}

/// What became of an item, in the order of the stages that decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Fate {
    /// It is not in the catalog.
    Unknown,
    /// No source of candidates named it.
    NotFound,
    /// It may not be shown to anybody: the manifest or a put blocks it.
    Blocked,
    /// The rules for items of now, such as stock or market, keep it out.
    AgainstRules,
    /// The user dislikes it.
    Disliked,
    /// The user bought it, and what was bought is left out.
    Bought,
    /// The model gives it no finite score.
    Damaged,
    /// It gives way to better items with which it has a value in common.
    TooMuchAlike,
    /// As many better items as are wanted are before it.
    BelowOthers,
    /// It is in the answer.
    Shown,
}

impl Fate {
    /// The name used in answers.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What became of each item that was asked for, in the order of the question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanations {
    /// One for each.
    pub items: Vec<Explanation>,
    /// Why the answer would be less than it could be.
    pub degraded: Vec<Degradation>,
    /// How long each stage took.
    pub timing: Vec<StageTiming>,
}
