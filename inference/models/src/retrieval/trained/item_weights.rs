//! What having bought one item says of another: a sparse table, items by items.
//!
//! A score is the sum of what all of a user's items say of a candidate. EASE^R (Steck 2019), SLIM (Ning and Karypis 2011), RP3beta
//! (Paudel et al. 2017) and ItemKNN (Sarwar et al. 2001) differ in how the table is made, not in how it is asked.

use std::path::Path;

use super::Bought;
use crate::dense::{Weights, WeightsError};
use crate::features::groups::Groups;

/// What one item says of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// The other item.
    pub item: u32,
    /// How much having bought the one adds to the other's score.
    pub weight: f32,
}

/// The table: for each item what it says of others.
#[derive(Debug)]
pub struct ItemWeights {
    items: usize,
    of: Groups<Weight>,
}

impl ItemWeights {
    /// Takes what each item says of others, in the order of the items. Panics on a weight of an item that is not there.
    pub fn new(said: Vec<Vec<Weight>>) -> Self {
        let items = said.len();
        let rows = (0..)
            .zip(said)
            .flat_map(|(item, weights)| weights.into_iter().map(move |weight| (item, weight)));
        let rows: Vec<(u32, Weight)> = rows.collect();
        assert!(
            rows.iter().all(|(_, weight)| (weight.item as usize) < items),
            "a weight of an item that is not there"
        );
        Self {
            items,
            of: Groups::new(items, rows),
        }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        self.items
    }

    /// What an item says of others.
    pub fn of(&self, item: u32) -> &[Weight] {
        self.of.of(item as usize)
    }

    pub(super) fn score(&self, bought: &[Bought], scores: &mut [f32]) {
        for bought in bought {
            for weight in self.of(bought.item) {
                super::add(&mut scores[weight.item as usize], weight.weight);
            }
        }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let all = self.of.values();
        let items: Vec<u32> = all.iter().map(|weight| weight.item).collect();
        let weights: Vec<f32> = all.iter().map(|weight| weight.weight).collect();
        Weights::write(
            path,
            &[
                ("starts", self.of.starts().into()),
                ("items", items.as_slice().into()),
                ("weights", weights.as_slice().into()),
            ],
        )
    }

    pub(super) fn load(weights: &Weights, items: usize) -> Result<Self, WeightsError> {
        let starts = weights.numbers("starts", items + 1)?;
        let count = starts.last().map_or(0, |end| *end as usize);
        let others = weights.numbers_below("items", count, items)?;
        let values = weights.tensor("weights", &[count])?;
        let all = others.into_iter().zip(values);
        let all = all.map(|(item, weight)| Weight { item, weight }).collect();
        let of = Groups::of_starts(starts, all).ok_or_else(|| {
            weights.wrong(
                "starts",
                "does not rise from 0 to the number of weights".to_owned(),
            )
        })?;
        Ok(Self { items, of })
    }
}
