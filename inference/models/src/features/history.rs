//! What each user bought before: the base of pair features, of the `bought before` source and of its filter.

use std::path::Path;

use arrow::array::Float64Array;
use arrow::record_batch::RecordBatch;

use super::groups::Groups;
use super::table::{RawTable, TableError, TableFile, number_column, read_parquet, row_column, text_column};

/// The column of the user's row.
const USER_ROW: &str = "user_row";
/// The column of the item's row.
const ITEM_ROW: &str = "item_row";
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
    /// Reads `history.parquet`: `user_row` and `item_row` (rows of the two tables, from 0, users in order), `purchases`,
    /// `days_since_last` and `recent_purchases`. Files of releases before 0.2 have ids, `user_id` and `item_id`, of which
    /// those that the tables lack are left out.
    pub fn read(path: &Path, users: &RawTable, items: &RawTable) -> Result<Self, TableError> {
        let file = TableFile::open(path)?;
        if file.has(USER_ROW) {
            Self::read_rows(file, path, users.len(), items.len())
        } else {
            Self::read_ids(path, users, items)
        }
    }

    fn read_rows(file: TableFile, path: &Path, users: usize, items: usize) -> Result<Self, TableError> {
        let mut groups = Groups::empty(users);
        let mut row = 0;
        for batch in file.batches()? {
            let batch = batch?;
            let user_rows = row_column(&batch, USER_ROW, path)?;
            let item_rows = row_column(&batch, ITEM_ROW, path)?;
            let values = Values::of(&batch, path)?;
            for place in 0..batch.num_rows() {
                let (user, item) = (user_rows.value(place), item_rows.value(place));
                if item as usize >= items || !groups.push(user, values.purchase(place, item)) {
                    let path = path.to_owned();
                    return Err(TableError::Rows {
                        path,
                        row,
                        user,
                        item,
                    });
                }
                row += 1;
            }
        }
        Ok(Self(groups.finish()))
    }

    fn read_ids(path: &Path, users: &RawTable, items: &RawTable) -> Result<Self, TableError> {
        let batch = read_parquet(path)?;
        let user_ids = text_column(&batch, "user_id", path)?;
        let item_ids = text_column(&batch, "item_id", path)?;
        let values = Values::of(&batch, path)?;
        let known = |row: usize| {
            let (user, item) = (users.find(user_ids.value(row))?, items.find(item_ids.value(row))?);
            Some((user as u32, values.purchase(row, item as u32)))
        };
        Ok(Self::new(
            users.len(),
            (0..batch.num_rows()).filter_map(known).collect(),
        ))
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

/// The columns of a batch that say how often and when.
struct Values {
    purchases: Float64Array,
    days: Float64Array,
    recent: Float64Array,
}

impl Values {
    /// A file without recent_purchases counts every purchase as a recent one.
    fn of(batch: &RecordBatch, path: &Path) -> Result<Self, TableError> {
        let purchases = number_column(batch, "purchases", path)?;
        let recent = match batch.column_by_name(RECENT) {
            Some(_) => number_column(batch, RECENT, path)?,
            None => purchases.clone(),
        };
        let days = number_column(batch, "days_since_last", path)?;
        Ok(Self {
            purchases,
            days,
            recent,
        })
    }

    fn purchase(&self, row: usize, item: u32) -> Purchase {
        Purchase {
            item,
            purchases: self.purchases.value(row) as f32,
            days_since_last: self.days.value(row) as f32,
            recent_purchases: self.recent.value(row) as f32,
        }
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
