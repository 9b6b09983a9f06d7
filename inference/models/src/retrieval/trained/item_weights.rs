//! What having bought one item says of another: a sparse table, items by items.
//!
//! A score is the sum of what all of a user's items say of a candidate. EASE^R (Steck 2019), SLIM (Ning and Karypis 2011), RP3beta
//! (Paudel et al. 2017) and ItemKNN (Sarwar et al. 2001) differ in how the table is made, not in how it is asked. Two things of ours may
//! be added: that older purchases say less, and what is bought by everybody lately.

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
    of: Groups<Weight>,
    half_life_days: Option<f32>,
    /// What every user's scores begin with, an item each; empty where they begin with nothing.
    start: Vec<f32>,
}

impl ItemWeights {
    /// Takes what each item says of others, in the order of the items. Panics on a weight of an item that is not there.
    pub fn new(said: Vec<Vec<Weight>>) -> Self {
        let items = said.len();
        let rows = (0..).zip(said);
        let rows = rows.flat_map(|(item, weights)| weights.into_iter().map(move |weight| (item, weight)));
        let rows: Vec<(u32, Weight)> = rows.collect();
        assert!(
            rows.iter().all(|(_, weight)| (weight.item as usize) < items),
            "a weight of an item that is not there"
        );
        Self {
            of: Groups::new(items, rows),
            half_life_days: None,
            start: Vec::new(),
        }
    }

    /// The same, where a purchase says half as much after so many days.
    pub fn with_half_life(self, half_life_days: Option<f32>) -> Self {
        Self {
            half_life_days,
            ..self
        }
    }

    /// The same, where scores begin with these, an item each.
    pub fn with_start(self, start: Vec<f32>) -> Self {
        assert_eq!(start.len(), self.items(), "a start of each item");
        Self { start, ..self }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        self.of.count()
    }

    /// Days after which a purchase says half as much.
    pub fn half_life_days(&self) -> Option<f32> {
        self.half_life_days
    }

    /// What an item says of others.
    pub fn of(&self, item: u32) -> &[Weight] {
        self.of.of(item as usize)
    }

    pub(super) fn score(&self, bought: &[Bought], scores: &mut [f32]) {
        for (score, start) in scores.iter_mut().zip(&self.start) {
            if *start > 0.0 {
                *score = *start;
            }
        }
        for bought in bought {
            let age = bought.days_since_last.max(0.0);
            let counts = self
                .half_life_days
                .map_or(1.0, |half_life| (-age / half_life).exp2());
            for weight in self.of(bought.item) {
                super::add(&mut scores[weight.item as usize], counts * weight.weight);
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
                ("start_scores", self.start.as_slice().into()),
            ],
        )
    }

    pub(super) fn load(
        weights: &Weights,
        items: usize,
        half_life_days: Option<f32>,
    ) -> Result<Self, WeightsError> {
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
        let start = weights.all_values("start_scores")?;
        if !start.is_empty() && start.len() != items {
            let problem = format!("has {} values for {items} items", start.len());
            return Err(weights.wrong("start_scores", problem));
        }
        Ok(Self {
            of,
            half_life_days,
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_purchases_say_less_and_scores_begin_with_what_everybody_buys() {
        let weight = |item, weight| Weight { item, weight };
        let said = vec![vec![weight(2, 1.0)], vec![weight(2, 0.5)], Vec::new(), Vec::new()];
        let table = ItemWeights::new(said)
            .with_half_life(Some(10.0))
            .with_start(vec![0.0, 0.0, 0.25, 0.125]);
        let bought = |item, days_since_last| Bought {
            item,
            count: 1.0,
            days_since_last,
        };
        let mut scores = vec![f32::NEG_INFINITY; 4];
        table.score(&[bought(0, 10.0), bought(1, 0.0)], &mut scores);
        assert_eq!(scores, [f32::NEG_INFINITY, f32::NEG_INFINITY, 1.25, 0.125]);
    }
}
