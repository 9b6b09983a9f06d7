//! A linear scorer: a weight for some columns of the item and of the pair, and the sum is the score.
//!
//! It has no file beside `scorer.json`, and can be written by hand: `{"item.count_7d_purchased": 1}` is a list of what sells. A column
//! of much smaller weight decides among items that are alike in those before it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CandidateBatch, ScoreError, Scorer, check_numbers};
use crate::features::{EncodedRow, EncodedTable, Layout};

/// What a column's values, as the workflow gives them, count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearConfig {
    /// Weights by the names of inputs: numeric ones of the item or of the pair.
    pub weights: BTreeMap<String, f32>,
}

/// Why a linear scorer can't be loaded.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum LinearError {
    /// A column that can't have a weight.
    #[error(
        "{column:?} has a weight, but only numeric columns of the item and of the pair can have one; use some of {known:?}"
    )]
    Column {
        /// The column.
        column: String,
        /// Those that can have one.
        known: Vec<String>,
    },
    /// A weight that is no number.
    #[error("the weight of {column:?} is {weight}; give a finite number")]
    Weight {
        /// The column.
        column: String,
        /// The weight.
        weight: f32,
    },
    /// Nothing has a weight.
    #[error("no column has a weight, so that all candidates would be alike; give one to some of {known:?}")]
    NoWeight {
        /// The columns that can have one.
        known: Vec<String>,
    },
}

/// A linear scorer, by the positions of its columns.
#[derive(Debug)]
pub struct LinearScorer {
    item: Vec<Weighted>,
    pair: Vec<Weighted>,
}

/// A column and its weight.
#[derive(Clone, Copy, Debug)]
struct Weighted {
    column: usize,
    weight: f32,
}

impl LinearScorer {
    /// Finds the columns of the weights among the inputs.
    pub fn new(config: &LinearConfig, layout: &Layout) -> Result<Self, LinearError> {
        let known = || {
            let item = layout.item_numeric.iter().map(|column| format!("item.{column}"));
            let pair = layout.pair.iter().map(|column| format!("pair.{column}"));
            item.chain(pair).collect::<Vec<String>>()
        };
        if config.weights.is_empty() {
            return Err(LinearError::NoWeight { known: known() });
        }
        let mut scorer = Self {
            item: Vec::new(),
            pair: Vec::new(),
        };
        for (name, weight) in &config.weights {
            if !weight.is_finite() {
                let (column, weight) = (name.clone(), *weight);
                return Err(LinearError::Weight { column, weight });
            }
            let of = |entity: &str, columns: &[String]| {
                let name = name.strip_prefix(entity)?;
                columns.iter().position(|column| column == name)
            };
            let weighted = |column| Weighted {
                column,
                weight: *weight,
            };
            if let Some(column) = of("item.", &layout.item_numeric) {
                scorer.item.push(weighted(column));
            } else if let Some(column) = of("pair.", &layout.pair) {
                scorer.pair.push(weighted(column));
            } else {
                return Err(LinearError::Column {
                    column: name.clone(),
                    known: known(),
                });
            }
        }
        Ok(scorer)
    }
}

impl Scorer for LinearScorer {
    /// The item's part of the sum.
    fn block_width(&self) -> usize {
        1
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        assert_eq!(out.len(), items.rows(), "one block per item");
        for (row, sum) in out.iter_mut().enumerate() {
            *sum = weigh(&self.item, items.numeric(row));
        }
    }

    fn score(
        &self,
        _user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        let CandidateBatch {
            blocks,
            pairs,
            pair_width,
        } = *candidates;
        scores.clear();
        let sums = blocks.iter().enumerate();
        scores.extend(sums.map(|(row, block)| {
            let pair = &pairs[row * pair_width..][..pair_width];
            block[0] + weigh(&self.pair, pair)
        }));
        check_numbers(scores)
    }
}

fn weigh(weights: &[Weighted], values: &[f32]) -> f32 {
    weights
        .iter()
        .map(|Weighted { column, weight }| weight * values[*column])
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Layout {
            user_numeric: names(&["age"]),
            item_categorical: names(&["color"]),
            item_numeric: names(&["price", "sold"]),
            pair: names(&["purchases", "days_since_last"]),
            ..Layout::default()
        }
    }

    fn config(weights: &[(&str, f32)]) -> LinearConfig {
        let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight));
        LinearConfig {
            weights: weights.collect(),
        }
    }

    #[test]
    fn a_score_is_the_sum_of_the_weighted_columns() {
        let weights = config(&[
            ("item.sold", 10.0),
            ("pair.purchases", 2.0),
            ("pair.days_since_last", -1.0),
        ]);
        let scorer = LinearScorer::new(&weights, &layout()).unwrap();
        let mut items = EncodedTable::new(1, 2);
        for sold in [0.5, 0.25] {
            items.push(&EncodedRow {
                categorical: vec![1],
                numeric: vec![9.0, sold],
            });
        }
        let mut blocks = vec![0.0; 2];
        scorer.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks(1).collect();
        let candidates = CandidateBatch {
            blocks: &blocks,
            pairs: &[1.0, 3.0, 2.0, 0.5],
            pair_width: 2,
        };
        let mut scores = vec![7.0];
        scorer
            .score(&EncodedRow::default(), &candidates, &mut scores)
            .unwrap();
        assert_eq!(scores, [4.0, 6.0]);
    }

    #[test]
    fn weights_of_what_no_number_can_be_summed_of_are_refused_with_those_that_can() {
        for column in ["user.age", "item.color", "item.size", "sold"] {
            let refused = LinearScorer::new(&config(&[(column, 1.0)]), &layout()).unwrap_err();
            let message = refused.to_string();
            assert!(
                message.contains(column) && message.contains("\"item.price\""),
                "{message}"
            );
        }
        let infinite = LinearScorer::new(&config(&[("item.sold", f32::INFINITY)]), &layout());
        assert!(matches!(infinite, Err(LinearError::Weight { .. })));
        assert!(matches!(
            LinearScorer::new(&config(&[]), &layout()),
            Err(LinearError::NoWeight { .. })
        ));
    }
}
