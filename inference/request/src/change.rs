//! Changes to what a pipeline knows: users and items that are put, and what users do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::{ItemId, Moment, RawRow, Rules, UserId};

/// A change to what a pipeline knows. The same change twice is the same as once.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a user, or replaces what was put of one.
    PutUser {
        /// Which user.
        user: UserId,
        /// The user's new row, and purchases.
        update: UserUpdate,
    },
    /// Changes some of a user's columns.
    PatchUser {
        /// Which user.
        user: UserId,
        /// The columns that change, and purchases.
        update: UserUpdate,
    },
    /// Forgets a user: from now on nothing is known of them.
    DeleteUser {
        /// Which user.
        user: UserId,
    },
    /// Adds an item, or replaces what was put of one.
    PutItem {
        /// Which item.
        item: ItemId,
        /// The item's new row.
        update: ItemUpdate,
    },
    /// Changes some of an item's columns, or whether it may be shown.
    PatchItem {
        /// Which item.
        item: ItemId,
        /// What changes.
        update: ItemPatch,
    },
    /// Takes an item out of the catalog: from now on it is in no answer.
    DeleteItem {
        /// Which item.
        item: ItemId,
    },
    /// Something that a user did.
    Interaction(Interaction),
    /// Replaces the rules over those of the manifest.
    PutRules(Rules),
    /// Goes back to the rules of the manifest.
    DeleteRules,
}

/// Raw features of a new or changed user: what `PUT` and `PATCH /v1/users/ID` bring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserUpdate {
    /// Raw values by column. A `PUT` replaces the user's row, and an absent column is null; a `PATCH` changes these columns alone.
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

/// Raw features of a new or changed item: what `PUT /v1/items/ID` brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemUpdate {
    /// Raw values by column; replaces the item's row. An absent column is null.
    #[serde(default)]
    pub features: RawRow,
    /// Whether the item is kept out of every answer.
    #[serde(default)]
    pub blocked: bool,
}

/// What changes of an item: what `PATCH /v1/items/ID` brings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemPatch {
    /// Raw values of the columns that change.
    #[serde(default)]
    pub features: RawRow,
    /// Whether the item is kept out of every answer; if unset, that stays as it is.
    #[serde(default)]
    pub blocked: Option<bool>,
}

/// Something that a user did, as a client reports it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interaction {
    /// The client's own id of the event: the same event sent again counts once.
    pub event_id: String,
    /// Who did it.
    pub user: UserId,
    /// With which item.
    pub item: ItemId,
    /// What was done.
    #[serde(rename = "type")]
    pub kind: InteractionKind,
    /// When it happened, in milliseconds since 1970; if unset, now.
    #[serde(default)]
    pub event_time: Option<Moment>,
    /// What was paid in all, for a purchase.
    #[serde(default)]
    pub price: Option<f64>,
    /// The unit of a running experiment, where that is not the user.
    #[serde(default)]
    pub unit: Option<String>,
    /// The recommendation request that it followed, for a running experiment.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// What a user can do with an item.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
    IntoStaticStr,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum InteractionKind {
    /// Saw its page.
    View,
    /// Followed a link to it.
    Click,
    /// Put it into the basket.
    Basket,
    /// Bought it.
    Purchase,
    /// Does not want to see it again.
    Dislike,
}
