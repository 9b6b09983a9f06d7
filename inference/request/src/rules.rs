//! Rules that a shop changes by the hour.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Value;

/// Rules over those of the manifest: what is left out stays as the manifest has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Whether items that the user bought before may be recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub already_bought: Option<BoughtRule>,
    /// How many items a request gets that names no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// How many items of an answer may be alike.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diversity: Option<DiversityRule>,
    /// How many candidates each source may give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidates: Option<CandidateRule>,
    /// Which items may be found at all, by their columns: an item has to pass each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemRule>,
}

/// Whether items that the user bought before may be recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoughtRule {
    /// They may.
    Keep,
    /// They may not.
    Remove,
}

/// How many items of an answer may be alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiversityRule {
    /// A categorical item column.
    pub column: String,
    /// How many items may share a value of it; at least 1.
    pub most: usize,
}

/// How many candidates each source may give; what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CandidateRule {
    /// Nearest to the user in the space of the two towers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub two_tower: Option<usize>,
    /// Bought before by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought_before: Option<usize>,
    /// The most popular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub popular: Option<usize>,
}

/// Which items may be found, by the value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemRule {
    /// A column of items, also one that no model reads.
    pub column: String,
    /// The values that may be found; an item of which nothing is known may not. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Value>>,
    /// The values that may not be found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Value>,
}
