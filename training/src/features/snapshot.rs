//! The feature tables of one cut-off date, read into memory.

use chrono::NaiveDate;
use gondola_models::features::{History, Neighbors, Purchase, RawTable, TableError};

use super::{FeatureTables, neighbors};

/// What was known on the cut-off date.
pub struct Snapshot {
    /// The cut-off: nothing of that day or later is in here.
    pub as_of: NaiveDate,
    /// Raw rows of users.
    pub users: RawTable,
    /// Raw rows of items.
    pub items: RawTable,
    /// What each user bought.
    pub history: History,
}

impl Snapshot {
    /// Whether a user had bought an item.
    pub fn has_bought(&self, user: &str, item: &str) -> bool {
        let (Some(user), Some(item)) = (self.users.find(user), self.items.find(item)) else {
            return false;
        };
        has(self.history.of(user), item as u32)
    }

    /// Which items are bought by the same users.
    pub fn neighbors(&self) -> Neighbors {
        neighbors::nearest(&self.history, self.users.len(), self.items.len())
    }

    /// Reads the tables.
    pub fn read(tables: &FeatureTables) -> Result<Self, TableError> {
        let users = RawTable::read(&tables.users, "user_id")?;
        let items = RawTable::read(&tables.items, "item_id")?;
        let history = History::read(&tables.history, &users, &items)?;
        Ok(Self {
            as_of: tables.as_of,
            users,
            items,
            history,
        })
    }
}

/// Whether an item is among purchases, which are in the order of their items.
pub(crate) fn has(purchases: &[Purchase], item: u32) -> bool {
    purchases
        .binary_search_by_key(&item, |purchase| purchase.item)
        .is_ok()
}
