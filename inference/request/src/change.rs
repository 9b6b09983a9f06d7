//! Changes to users and items, served from the next request on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ItemId, RawRow, UserId};

/// A change to what a pipeline knows. The same change twice is the same as once.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a user or changes one.
    User {
        /// Which user.
        user: UserId,
        /// The user's new row, and purchases.
        update: UserUpdate,
    },
    /// Adds an item or changes one.
    Item {
        /// Which item.
        item: ItemId,
        /// Raw values by column; replaces the item's row. An absent column is null.
        features: RawRow,
    },
}

/// Raw features of a new or changed user: what `PUT /v1/users/ID` brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// Raw values by column; replaces the user's row. An absent column is null.
    #[serde(default)]
    pub features: RawRow,
    /// What the user bought. If unset, a known user's purchases stay as they are.
    #[serde(default)]
    pub history: Option<Vec<PurchaseUpdate>>,
}

/// One item that a user bought before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurchaseUpdate {
    /// Which item.
    pub item: ItemId,
    /// Number of purchases.
    pub purchases: f32,
    /// Days since the last purchase.
    pub days_since_last: f32,
    /// How often, each time counted half after every `features.history_half_life_days` of the data set's configuration.
    /// Left out, every time counts as if it were today.
    #[serde(default)]
    pub recent_purchases: Option<f32>,
}
