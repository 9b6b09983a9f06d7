//! Which items are bought by the same users, counted over everything that is known.

use gondola_models::features::neighbors::nearest_first;
use gondola_models::features::{History, Neighbor, Neighbors};

/// Neighbors that are kept of each item: what follows is near to everything.
const KEPT: usize = 50;
/// Items that fewer users bought together are no neighbors, but chance.
const MIN_COMMON: u32 = 2;

/// The nearest neighbors of every item, by the cosine of their buyers.
pub fn nearest(history: &History, users: usize, items: usize) -> Neighbors {
    let buyers = buyers(history, users, items);
    let mut rows = Vec::new();
    let mut common = vec![0u32; items];
    for (item, buyers_of_item) in buyers.iter().enumerate() {
        let mut touched = Vec::new();
        for user in buyers_of_item {
            for purchase in history.of(*user as usize) {
                let count = &mut common[purchase.item as usize];
                if *count == 0 {
                    touched.push(purchase.item);
                }
                *count += 1;
            }
        }
        let similarity = |other: u32| {
            let both = (buyers_of_item.len() * buyers[other as usize].len()) as f32;
            common[other as usize] as f32 / both.sqrt()
        };
        let mut near: Vec<Neighbor> = touched
            .iter()
            .filter(|other| **other as usize != item && common[**other as usize] >= MIN_COMMON)
            .map(|other| Neighbor {
                item: *other,
                similarity: similarity(*other),
            })
            .collect();
        near.sort_unstable_by(nearest_first);
        rows.extend(
            near.into_iter()
                .take(KEPT)
                .map(|neighbor| (item as u32, neighbor)),
        );
        for other in touched {
            common[other as usize] = 0;
        }
    }
    Neighbors::new(items, rows)
}

/// Who bought each item.
fn buyers(history: &History, users: usize, items: usize) -> Vec<Vec<u32>> {
    let mut buyers = vec![Vec::new(); items];
    for user in 0..users {
        for purchase in history.of(user) {
            buyers[purchase.item as usize].push(user as u32);
        }
    }
    buyers
}

#[cfg(test)]
mod tests {
    use gondola_models::features::Purchase;

    use super::*;

    #[test]
    fn items_are_near_by_the_share_of_their_buyers_that_they_have_in_common() {
        let bought = |item| Purchase {
            item,
            purchases: 1.0,
            days_since_last: 1.0,
            recent_purchases: 1.0,
        };
        // Items 0 and 1 have two of three and two of two buyers in common; 2 has one in common with each.
        let rows = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 2), (0, 2)];
        let history = History::new(3, rows.map(|(user, item)| (user, bought(item))).into());
        let found = nearest(&history, 3, 3);
        let near: Vec<u32> = found.of(1).iter().map(|neighbor| neighbor.item).collect();
        assert_eq!(near, [0], "one common buyer is chance");
        assert!((found.of(1)[0].similarity - 2.0 / 6f32.sqrt()).abs() < 1e-6);
        assert_eq!(found.of(0).len(), 2);
    }
}
