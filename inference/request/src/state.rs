//! What an online store holds of users and items, over what their bundle's snapshot says.

use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{InteractionKind, ItemId, PurchaseUpdate, RawRow};

/// A point in time: milliseconds since the beginning of 1970, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Moment(pub i64);

impl Moment {
    /// By the system's clock; one that is set before 1970 counts as its beginning.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_millis() as i64))
    }
}

/// Raw values that were put.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatedRow {
    /// The values, by column.
    pub columns: RawRow,
    /// Whether they are the whole row, so that an absent column is null; else they stand over the snapshot's.
    pub whole: bool,
    /// When the last of them was put: a snapshot that was made later knows better.
    pub at: Moment,
    /// Whether they count however old they are: the word of a feature store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// What an online store holds of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserState {
    /// Whether the user is to be forgotten.
    pub deleted: bool,
    /// Raw values that were put.
    pub row: Option<StatedRow>,
    /// Purchases that were put, in the place of the snapshot's.
    pub history: Option<Vec<PurchaseUpdate>>,
    /// What the user did, the earliest first.
    pub interactions: Vec<PastInteraction>,
}

/// Something that a user did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastInteraction {
    /// With which item.
    pub item: ItemId,
    /// What was done.
    pub kind: InteractionKind,
    /// When.
    pub at: Moment,
    /// What was paid in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
}

/// What an online store holds of an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemState {
    /// Whether the item is out of the catalog.
    #[serde(default)]
    pub deleted: bool,
    /// Whether the item is kept out of every answer.
    #[serde(default)]
    pub blocked: bool,
    /// Raw values that were put.
    #[serde(default)]
    pub row: Option<StatedRow>,
}
