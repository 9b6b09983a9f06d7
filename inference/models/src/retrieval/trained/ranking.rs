//! The same list for everybody: a model's items are in the order of the list.

use super::Candidate;

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking {
    items: usize,
}

impl Ranking {
    /// The list of all items, in their order.
    pub fn of_all(items: usize) -> Self {
        Self { items }
    }

    /// How many items it has.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The place of an item, from 1.
    pub(super) fn place(&self, item: u32) -> Option<usize> {
        let position = item as usize;
        (position < self.items).then_some(position + 1)
    }

    /// The first `k` of those that `may` be named; a score falls from 1 by the place.
    pub(super) fn first(&self, k: usize, may: impl Fn(u32) -> bool) -> Vec<Candidate> {
        let named = (0..self.items as u32).filter(|item| may(*item));
        let scored = named.map(|item| Candidate {
            item,
            score: 1.0 / (item as f32 + 1.0),
        });
        scored.take(k).collect()
    }
}
