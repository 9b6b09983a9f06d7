//! Known items: a vector of each item that enough users bought, learned from who bought what, beside its features.
//!
//! The item tower reads an item's own vector behind its numbers, the query tower the mean of the vectors of what the user bought lately.
//! Items that few or nobody bought share the first vector, so that a new item has a place by its features. Covington, Adams, Sargin,
//! "Deep neural networks for YouTube recommendations", RecSys 2016.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::dense::{EmbeddingTable, Weights, WeightsError};
use crate::features::{EncodedRow, ItemId, Purchase, RawTable};

/// The file of the ids of known items, in the order of their vectors after the first.
pub const KNOWN_ITEMS: &str = "known_items.json";
/// The file of their vectors.
pub const KNOWN_VECTORS: &str = "known_items.safetensors";
/// The name of their tensor.
pub const TENSOR: &str = "embedding";

/// `known` in `tower.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownItemsConfig {
    /// How many numbers a vector has.
    pub width: usize,
    /// Of how many of a user's purchases, the latest, the mean is taken.
    pub latest: usize,
}

/// The position of every row of a catalog among known items: 0 for one that is not known.
pub fn positions(known: &[ItemId], items: &RawTable) -> Vec<u32> {
    let mut positions = vec![0; items.len()];
    for (position, id) in (1..).zip(known) {
        if let Some(row) = items.find(id.as_str()) {
            positions[row] = position;
        }
    }
    positions
}

/// The positions of what one who bought these bought lately, of what is known.
pub fn lately(purchases: &[Purchase], positions: &[u32], latest: usize) -> Vec<u32> {
    let known = |purchase: &Purchase| {
        let position = *positions.get(purchase.item as usize)?;
        (position > 0).then_some((purchase.days_since_last, position))
    };
    let mut bought: Vec<(f32, u32)> = purchases.iter().filter_map(known).collect();
    let order = |one: &(f32, u32), other: &(f32, u32)| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1));
    if bought.len() > latest && latest > 0 {
        bought.select_nth_unstable_by(latest - 1, order);
    }
    bought.truncate(latest);
    // In one order, so that the mean is the same to the last bit.
    bought.sort_unstable_by(order);
    bought.into_iter().map(|(_, position)| position).collect()
}

/// The vectors, for rows of a catalog.
#[derive(Debug)]
pub struct KnownItems {
    vectors: EmbeddingTable,
    positions: Vec<u32>,
    config: KnownItemsConfig,
}

impl KnownItems {
    /// Reads the vectors of a bundle's folder; `known` are the ids, `items` is the catalog.
    pub fn load(
        folder: &Path,
        config: KnownItemsConfig,
        known: &[ItemId],
        items: &RawTable,
    ) -> Result<Self, WeightsError> {
        let weights = Weights::read(&folder.join(KNOWN_VECTORS))?;
        Ok(Self {
            vectors: weights.embedding(TENSOR, known.len() + 1, config.width)?,
            positions: positions(known, items),
            config,
        })
    }

    /// A user's row with the mean of the vectors of what they bought lately behind its numbers; zeros where nothing of it is known.
    pub fn with_history(&self, user: &EncodedRow, purchases: &[Purchase]) -> EncodedRow {
        let lately = lately(purchases, &self.positions, self.config.latest);
        let mut mean = vec![0.0; self.config.width];
        for position in &lately {
            for (sum, value) in mean.iter_mut().zip(self.vectors.row(*position)) {
                *sum += value;
            }
        }
        let count = lately.len().max(1) as f32;
        mean.iter_mut().for_each(|sum| *sum /= count);
        with_numbers(user, &mean)
    }

    /// An item's row with its vector behind its numbers; `row` is where it stands in the catalog.
    pub fn with_vector(&self, item: &EncodedRow, row: Option<u32>) -> EncodedRow {
        let position = row.and_then(|row| self.positions.get(row as usize).copied());
        with_numbers(item, self.vectors.row(position.unwrap_or(0)))
    }
}

fn with_numbers(row: &EncodedRow, numbers: &[f32]) -> EncodedRow {
    EncodedRow {
        categorical: row.categorical.clone(),
        numeric: [&row.numeric, numbers].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(item: u32, days_since_last: f32) -> Purchase {
        Purchase {
            item,
            purchases: 1.0,
            days_since_last,
            recent_purchases: 1.0,
        }
    }

    #[test]
    fn what_was_bought_lately_is_the_latest_of_what_is_known() {
        let positions = [0, 5, 6, 7];
        let purchases = [
            bought(0, 0.5),
            bought(1, 9.0),
            bought(2, 1.0),
            bought(3, 4.0),
            bought(9, 0.1),
        ];
        assert_eq!(lately(&purchases, &positions, 2), [6, 7]);
        assert_eq!(lately(&purchases, &positions, 9), [6, 7, 5]);
        assert_eq!(lately(&purchases, &positions, 0), [0; 0]);
    }
}
