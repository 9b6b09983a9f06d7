//! What users do, as features: how much an interaction counts, and which columns of a user's row follow from purchases.
//!
//! Training computes these columns from a shop's purchases as of a cut-off date; [`super::present`] carries them on, interaction by
//! interaction, by the names that stand here once for both.

use gondola_request::InteractionKind;
use serde::{Deserialize, Serialize};

/// Days since the user's last purchase.
pub const RECENCY: &str = "recency_days";
/// On how many different days the user bought.
pub const FREQUENCY: &str = "frequency_days";
/// How many purchases the user made.
pub const PURCHASES: &str = "purchases";
/// What the user paid in all.
pub const MONETARY: &str = "monetary";

const POPULAR: &str = "popular_";
const LAST: &str = "last_";

/// A user's most frequent value of an item column.
pub fn popular(column: &str) -> String {
    format!("{POPULAR}{column}")
}

/// A user's last value of an item column.
pub fn last(column: &str) -> String {
    format!("{LAST}{column}")
}

/// A column of a user's row that follows from what the user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivityColumn<'a> {
    /// [`RECENCY`].
    Recency,
    /// [`FREQUENCY`].
    Frequency,
    /// [`PURCHASES`].
    Purchases,
    /// [`MONETARY`].
    Monetary,
    /// [`popular`], of an item column.
    Popular(&'a str),
    /// [`last`], of an item column.
    Last(&'a str),
}

impl<'a> ActivityColumn<'a> {
    /// What a column of this name says; `None` where it does not follow from what the user did.
    pub fn parse(name: &'a str) -> Option<Self> {
        match name {
            RECENCY => Some(Self::Recency),
            FREQUENCY => Some(Self::Frequency),
            PURCHASES => Some(Self::Purchases),
            MONETARY => Some(Self::Monetary),
            _ => {
                let popular = name.strip_prefix(POPULAR).map(Self::Popular);
                popular.or_else(|| name.strip_prefix(LAST).map(Self::Last))
            }
        }
    }
}

/// How many purchases an interaction of each kind counts as. A dislike counts as none: it takes the item away.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InteractionWeights {
    /// Of a view.
    pub view: f64,
    /// Of a click.
    pub click: f64,
    /// Of putting into a basket.
    pub basket: f64,
    /// Of a purchase.
    pub purchase: f64,
}

impl Default for InteractionWeights {
    fn default() -> Self {
        Self {
            view: 0.05,
            click: 0.1,
            basket: 0.3,
            purchase: 1.0,
        }
    }
}

impl InteractionWeights {
    /// How many purchases an interaction counts as.
    pub fn of(&self, kind: InteractionKind) -> f64 {
        match kind {
            InteractionKind::View => self.view,
            InteractionKind::Click => self.click,
            InteractionKind::Basket => self.basket,
            InteractionKind::Purchase => self.purchase,
            InteractionKind::Dislike => 0.0,
        }
    }
}
