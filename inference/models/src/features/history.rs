//! What each user bought before: the base of pair features, of the `bought before` source and of its filter.

use std::path::Path;

use super::groups::Groups;
use super::table::{RawTable, TableError, number_column, read_parquet, text_column};

/// The column that counts old purchases less.
const RECENT: &str = "recent_purchases";

/// One item that a user bought before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Purchase {
    /// The item's row in the catalog.
    pub item: u32,
    /// Number of purchases.
    pub purchases: f32,
    /// Days since the last purchase.
    pub days_since_last: f32,
    /// How often, each time counted less the longer ago it was.
    pub recent_purchases: f32,
}

/// The purchases of all users of a snapshot, one slice a user, each ordered by item row.
#[derive(Debug, Default)]
pub struct History(Groups<Purchase>);

impl History {
    /// Reads `history.parquet` (user_id, item_id, purchases, days_since_last, recent_purchases); rows of users or items that
    /// the tables do not have are left out. A file without recent_purchases counts every purchase as a recent one.
    pub fn read(path: &Path, users: &RawTable, items: &RawTable) -> Result<Self, TableError> {
        let batch = read_parquet(path)?;
        let user_ids = text_column(&batch, "user_id", path)?;
        let item_ids = text_column(&batch, "item_id", path)?;
        let purchases = number_column(&batch, "purchases", path)?;
        let days = number_column(&batch, "days_since_last", path)?;
        let recent = match batch.column_by_name(RECENT) {
            Some(_) => number_column(&batch, RECENT, path)?,
            None => purchases.clone(),
        };
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let (Some(user), Some(item)) = (users.find(user_ids.value(row)), items.find(item_ids.value(row)))
            else {
                continue;
            };
            let purchase = Purchase {
                item: item as u32,
                purchases: purchases.value(row) as f32,
                days_since_last: days.value(row) as f32,
                recent_purchases: recent.value(row) as f32,
            };
            rows.push((user as u32, purchase));
        }
        Ok(Self::new(users.len(), rows))
    }

    /// Takes (user row, purchase) in any order.
    pub fn new(users: usize, mut rows: Vec<(u32, Purchase)>) -> Self {
        rows.sort_by_key(|(user, purchase)| (*user, purchase.item));
        Self(Groups::new(users, rows))
    }

    /// What the user in this row bought, ordered by item row; nothing for a row that is not there.
    pub fn of(&self, user: usize) -> &[Purchase] {
        self.0.of(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_their_own_purchases_in_item_order() {
        let purchase = |item| Purchase {
            item,
            purchases: 1.0,
            days_since_last: 2.0,
            recent_purchases: 0.9,
        };
        let history = History::new(3, vec![(2, purchase(7)), (0, purchase(9)), (2, purchase(1))]);
        assert_eq!(history.of(0), [purchase(9)]);
        assert_eq!(history.of(1), []);
        assert_eq!(history.of(2), [purchase(1), purchase(7)]);
        assert_eq!(history.of(3), []);
    }
}
