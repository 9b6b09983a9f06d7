//! Pair features: what a user's purchases say about a candidate.
//!
//! Four kinds of columns, distinguished by their names: `purchases` (how often the user bought the candidate),
//! `recent_purchases` (the same, with old ones counted less), `days_since_last` (missing if never) and `affinity_<item column>` (how many of the user's purchases share the
//! candidate's value in that column; 0 where it is null). The same code runs in training and in serving.

use std::cell::RefCell;

use super::columns::{CategoricalColumn, KnownIndexes, NumericColumn};
use super::history::Purchase;
use super::row::EncodedTable;
use super::workflow::Workflow;

/// The prefix of columns that count purchases with an attribute in common.
pub const AFFINITY: &str = "affinity_";

/// A pair column that this code can't compute.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error(
    "there is no pair feature {column:?}; use purchases, recent_purchases, days_since_last, or affinity_ and a categorical item column of {known:?}"
)]
pub struct UnknownPairColumn {
    /// The column's name.
    pub column: String,
    /// The categorical item columns of the workflow.
    pub known: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum PairColumn {
    Purchases,
    RecentPurchases,
    DaysSinceLast,
    /// Position of the item's categorical column.
    Affinity(usize),
}

/// Computes the pair features of one user and many candidates.
#[derive(Debug)]
pub struct PairFeatures {
    columns: Vec<PairColumn>,
    encoders: Vec<NumericColumn>,
    /// The vocabulary size of each of the item's categorical columns.
    cardinalities: Vec<usize>,
    /// Which indexes of each of them are of values.
    known: Vec<KnownIndexes>,
}

thread_local! {
    /// Purchases by category, one list a column; all zero between calls.
    static COUNTS: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

impl PairFeatures {
    /// The pair features that the workflow's models read.
    pub fn of(workflow: &Workflow) -> Result<Self, UnknownPairColumn> {
        let names: Vec<&str> = workflow
            .pair
            .iter()
            .map(|column| column.column.as_str())
            .collect();
        Self::new(&names, workflow.pair.clone(), workflow)
    }

    /// Pair features by name, without encoding: what the workflow is fitted on.
    pub fn raw(names: &[&str], workflow: &Workflow) -> Result<Self, UnknownPairColumn> {
        let encoders = names.iter().map(|name| NumericColumn::of(name, vec![]));
        Self::new(names, encoders.collect(), workflow)
    }

    fn new(
        names: &[&str],
        encoders: Vec<NumericColumn>,
        workflow: &Workflow,
    ) -> Result<Self, UnknownPairColumn> {
        let item_columns = workflow.layout().item_categorical;
        let columns = names
            .iter()
            .map(|name| parse(name, &item_columns))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            columns,
            encoders,
            cardinalities: workflow.cardinalities().item,
            known: workflow
                .item
                .categorical
                .iter()
                .map(CategoricalColumn::known)
                .collect(),
        })
    }

    /// Number of features a pair.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Appends the encoded features of each candidate (`[candidates, width]`, row-major) to `out`.
    ///
    /// `history` is ordered by item row; `categories` gives an item row's categorical indexes.
    pub fn encode<'a>(
        &self,
        history: &[Purchase],
        candidates: &[u32],
        categories: impl Fn(u32) -> &'a [u32],
        out: &mut Vec<f32>,
    ) {
        self.each(history, candidates, categories, |column, value| {
            out.push(self.encoders[column].encode(value));
        });
    }

    /// The first feature of encoded candidates (as [`PairFeatures::encode`] gives them) that models can't be given.
    pub fn first_not_admitted(&self, encoded: &[f32]) -> Option<&str> {
        let columns = self.encoders.iter().cycle();
        let mut values = columns.zip(encoded);
        values
            .find(|(column, value)| !column.admits(**value))
            .map(|(column, _)| column.column.as_str())
    }

    /// The raw features of each candidate, one list a column: what the workflow is fitted on.
    pub fn values(
        &self,
        history: &[Purchase],
        candidates: &[u32],
        items: &EncodedTable,
    ) -> Vec<Vec<Option<f64>>> {
        let mut values = vec![Vec::with_capacity(candidates.len()); self.width()];
        let categories = |row: u32| items.categorical(row as usize);
        self.each(history, candidates, categories, |column, value| {
            values[column].push(value)
        });
        values
    }

    fn each<'a>(
        &self,
        history: &[Purchase],
        candidates: &[u32],
        categories: impl Fn(u32) -> &'a [u32],
        mut take: impl FnMut(usize, Option<f64>),
    ) {
        COUNTS.with_borrow_mut(|counts| {
            self.count(history, &categories, counts);
            for candidate in candidates {
                let bought = history
                    .binary_search_by_key(candidate, |purchase| purchase.item)
                    .ok()
                    .map(|position| &history[position]);
                for (position, column) in self.columns.iter().enumerate() {
                    let value = match column {
                        PairColumn::Purchases => {
                            Some(bought.map_or(0.0, |bought| f64::from(bought.purchases)))
                        }
                        PairColumn::RecentPurchases => {
                            Some(bought.map_or(0.0, |bought| f64::from(bought.recent_purchases)))
                        }
                        PairColumn::DaysSinceLast => bought.map(|bought| f64::from(bought.days_since_last)),
                        PairColumn::Affinity(column) => Some(f64::from(
                            counts[position][categories(*candidate)[*column] as usize],
                        )),
                    };
                    take(position, value);
                }
            }
            self.clear(history, &categories, counts);
        });
    }

    fn count<'a>(
        &self,
        history: &[Purchase],
        categories: &impl Fn(u32) -> &'a [u32],
        counts: &mut Vec<Vec<f32>>,
    ) {
        if counts.len() < self.columns.len() {
            counts.resize_with(self.columns.len(), Vec::new);
        }
        for (column, count) in self.affinities(counts) {
            if count.len() < self.cardinalities[column] {
                count.resize(self.cardinalities[column], 0.0);
            }
            for purchase in history {
                let category = categories(purchase.item)[column];
                if self.known[column].is_value(category) {
                    count[category as usize] += purchase.purchases;
                }
            }
        }
    }

    fn clear<'a>(
        &self,
        history: &[Purchase],
        categories: &impl Fn(u32) -> &'a [u32],
        counts: &mut [Vec<f32>],
    ) {
        for (column, count) in self.affinities(counts) {
            for purchase in history {
                count[categories(purchase.item)[column] as usize] = 0.0;
            }
        }
    }

    /// The item column and the counts of each affinity.
    fn affinities<'a>(
        &'a self,
        counts: &'a mut [Vec<f32>],
    ) -> impl Iterator<Item = (usize, &'a mut Vec<f32>)> {
        self.columns
            .iter()
            .zip(counts)
            .filter_map(|(column, count)| match column {
                PairColumn::Affinity(column) => Some((*column, count)),
                PairColumn::Purchases | PairColumn::RecentPurchases | PairColumn::DaysSinceLast => None,
            })
    }
}

fn parse(name: &str, item_columns: &[String]) -> Result<PairColumn, UnknownPairColumn> {
    let affinity = |name: &str| {
        let column = name.strip_prefix(AFFINITY)?;
        item_columns
            .iter()
            .position(|other| other == column)
            .map(PairColumn::Affinity)
    };
    match name {
        "purchases" => Ok(PairColumn::Purchases),
        "recent_purchases" => Ok(PairColumn::RecentPurchases),
        "days_since_last" => Ok(PairColumn::DaysSinceLast),
        other => affinity(other).ok_or_else(|| UnknownPairColumn {
            column: other.to_owned(),
            known: item_columns.to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::EncodedRow;
    use super::super::table::Cell;
    use super::super::vocabulary::Vocabulary;
    use super::*;

    fn workflow() -> Workflow {
        let vocabulary = Vocabulary::fit(["cheese", "wine"].map(Cell::Text).into_iter(), 1);
        let mut workflow = Workflow::default();
        let column = CategoricalColumn::of("type", vocabulary);
        workflow.item.categorical.push(column);
        workflow
    }

    /// Items 0 and 1 are cheese, 2 is wine, 3 is null.
    fn items() -> EncodedTable {
        let mut items = EncodedTable::new(1, 0);
        for category in [2, 2, 3, 0] {
            items.push(&EncodedRow {
                categorical: vec![category],
                numeric: vec![],
            });
        }
        items
    }

    #[test]
    fn purchases_recency_and_affinity_come_from_the_history() {
        let bought = |item, purchases, days_since_last| Purchase {
            item,
            purchases,
            days_since_last,
            recent_purchases: purchases / 2.0,
        };
        let history = [bought(0, 3.0, 10.0), bought(3, 5.0, 1.0)];
        let names = [
            "purchases",
            "days_since_last",
            "affinity_type",
            "recent_purchases",
        ];
        let pairs = PairFeatures::raw(&names, &workflow()).unwrap();
        for _ in 0..2 {
            let values = pairs.values(&history, &[0, 1, 2, 3], &items());
            assert_eq!(values[0], [Some(3.0), Some(0.0), Some(0.0), Some(5.0)]);
            assert_eq!(values[1], [Some(10.0), None, None, Some(1.0)]);
            assert_eq!(
                values[2],
                [Some(3.0), Some(3.0), Some(0.0), Some(0.0)],
                "null shares nothing"
            );
            assert_eq!(values[3], [Some(1.5), Some(0.0), Some(0.0), Some(2.5)]);
        }
    }

    #[test]
    fn an_unknown_pair_feature_is_refused_by_name() {
        let error = PairFeatures::raw(&["affinity_colour"], &workflow()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no pair feature \"affinity_colour\"; use purchases, recent_purchases, days_since_last, or affinity_ and a categorical item column of [\"type\"]"
        );
    }
}
