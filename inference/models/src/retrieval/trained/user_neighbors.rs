//! UserKNN: what those bought who bought the same (Resnick et al. 1994, for purchases).
//!
//! Two users are as near as the cosine of the angle between what they bought; a score is the sum of the similarities of the nearest
//! users who bought the item.

use std::cell::RefCell;
use std::path::Path;

use super::Bought;
use crate::dense::{Weights, WeightsError};
use crate::features::groups::Groups;

/// Of an item that more users bought, so many are asked, spread evenly: that somebody bought it says little of who they are.
const ASKED: usize = 20_000;

/// What users bought, by user and by item.
#[derive(Debug)]
pub struct UserNeighbors {
    items: usize,
    neighbors: usize,
    bought: Groups<u32>,
    buyers: Groups<u32>,
}

thread_local! {
    /// How many items each user has in common with the one who asks, and who has any.
    static COMMON: RefCell<(Vec<u32>, Vec<u32>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

impl UserNeighbors {
    /// Takes what each user bought, each item once, of `items` items; `neighbors` users are asked. Panics on an item that is not there.
    pub fn new(items: usize, neighbors: usize, bought: Vec<Vec<u32>>) -> Self {
        let users = bought.len();
        let rows = (0..)
            .zip(bought)
            .flat_map(|(user, items)| items.into_iter().map(move |item| (user, item)));
        Self::of(items, neighbors, Groups::new(users, rows.collect()))
    }

    fn of(items: usize, neighbors: usize, bought: Groups<u32>) -> Self {
        let users = 0..bought.count() as u32;
        let pairs = users.flat_map(|user| bought.of(user as usize).iter().map(move |item| (*item, user)));
        let mut pairs: Vec<(u32, u32)> = pairs.collect();
        pairs.sort_unstable();
        Self {
            items,
            neighbors,
            buyers: Groups::new(items, pairs),
            bought,
        }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        self.items
    }

    /// How many users are asked.
    pub fn neighbors(&self) -> usize {
        self.neighbors
    }

    pub(super) fn score(&self, bought: &[Bought], scores: &mut [f32]) {
        for (user, similarity) in self.nearest(bought) {
            for item in self.bought.of(user as usize) {
                super::add(&mut scores[*item as usize], similarity);
            }
        }
    }

    /// The users who are nearest to one who bought these.
    fn nearest(&self, bought: &[Bought]) -> Vec<(u32, f32)> {
        COMMON.with_borrow_mut(|(common, touched)| {
            common.resize(self.bought.count().max(common.len()), 0);
            for bought in bought {
                let buyers = self.buyers.of(bought.item as usize);
                for user in buyers.iter().step_by(1 + buyers.len() / ASKED) {
                    if common[*user as usize] == 0 {
                        touched.push(*user);
                    }
                    common[*user as usize] += 1;
                }
            }
            let similar = |user: u32| {
                let both = self.bought.of(user as usize).len() * bought.len();
                (user, common[user as usize] as f32 / (both as f32).sqrt())
            };
            let mut near: Vec<(u32, f32)> = touched.iter().map(|user| similar(*user)).collect();
            for user in touched.drain(..) {
                common[user as usize] = 0;
            }
            let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0));
            if near.len() > self.neighbors {
                near.select_nth_unstable_by(self.neighbors - 1, order);
                near.truncate(self.neighbors);
            }
            near
        })
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), WeightsError> {
        Weights::write(
            path,
            &[
                ("starts", self.bought.starts().into()),
                ("items", self.bought.values().into()),
            ],
        )
    }

    pub(super) fn load(weights: &Weights, items: usize, neighbors: usize) -> Result<Self, WeightsError> {
        let starts = weights.all_numbers("starts")?;
        let count = starts.last().map_or(0, |end| *end as usize);
        let bought = weights.numbers_below("items", count, items)?;
        let bought = Groups::of_starts(starts, bought).ok_or_else(|| {
            weights.wrong(
                "starts",
                "does not rise from 0 to the number of purchases".to_owned(),
            )
        })?;
        Ok(Self::of(items, neighbors.max(1), bought))
    }
}
