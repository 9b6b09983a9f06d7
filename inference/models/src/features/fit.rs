//! Fitting a workflow: what it learns from training rows.
//!
//! A plan says what is done to each column; fitting finds the numbers: vocabularies, fills, means and standard
//! deviations. Each operation is fitted on what the operations before it left.

use serde::{Deserialize, Serialize};

use super::columns::{CategoricalColumn, NumericColumn};
use super::operation::Operation;
use super::row::EncodedRow;
use super::table::RawTable;
use super::vocabulary::Vocabulary;
use super::workflow::{EntityWorkflow, Workflow};

/// What to do to every column of users, items and pairs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkflowPlan {
    /// Columns of users.
    pub user: EntityPlan,
    /// Columns of items.
    pub item: EntityPlan,
    /// Numeric columns of pairs, in the order in which [`super::pairs`] gives them.
    pub pair: Vec<NumericPlan>,
}

/// What to do to every column of one entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EntityPlan {
    /// Categorical columns.
    pub categorical: Vec<CategoricalPlan>,
    /// Numeric columns.
    pub numeric: Vec<NumericPlan>,
}

/// What to do to a categorical column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoricalPlan {
    /// Its name in the raw row.
    pub column: String,
    /// Values that occur less often than this share the index of the unknown.
    pub frequency_threshold: u64,
}

/// What to do to a numeric column, in this order: fill, clip, log, scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericPlan {
    /// Its name in the raw row.
    pub column: String,
    /// What replaces a missing value.
    pub fill: Fill,
    /// Lower and upper bound, if any.
    pub clip: Option<(f64, f64)>,
    /// Whether to take `ln(1 + x)`.
    pub log: bool,
    /// What becomes of the numbers' scale.
    pub scale: Scale,
}

/// What becomes of the numbers' scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// It stays.
    AsIs,
    /// The mean is subtracted and the standard deviation divides.
    Standard,
    /// The standard deviation divides, and 0 stays 0: forests rank better by columns that are mostly 0 when they stay so.
    KeepZero,
}

impl NumericPlan {
    /// The usual plan for a count or an amount: missing is 0, then logarithm, then normalized.
    pub fn amount(column: &str) -> Self {
        Self {
            column: column.to_owned(),
            fill: Fill::Constant(0.0),
            clip: None,
            log: true,
            scale: Scale::Standard,
        }
    }
}

/// What replaces a missing value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fill {
    /// This value.
    Constant(f64),
    /// The mean of the values that are there.
    Mean,
    /// The median of the values that are there.
    Median,
}

impl Workflow {
    /// Fits a plan. `pairs` holds one list of raw values (missing ones `None`) for each of the plan's pair columns.
    pub fn fit(plan: &WorkflowPlan, users: &RawTable, items: &RawTable, pairs: &[Vec<Option<f64>>]) -> Self {
        let pair_columns = plan.pair.iter().zip(pairs);
        Self {
            user: fit_entity(&plan.user, users),
            item: fit_entity(&plan.item, items),
            pair: pair_columns
                .map(|(column, values)| fit_numeric(column, values.clone()))
                .collect(),
        }
    }

    /// The row of a user of whom nothing is known.
    pub fn unknown_user(&self) -> EncodedRow {
        self.user.encode(&super::RawRow::default())
    }
}

fn fit_entity(plan: &EntityPlan, table: &RawTable) -> EntityWorkflow {
    let categorical = plan.categorical.iter().map(|plan| {
        let vocabulary = Vocabulary::fit(table.cells(&plan.column), plan.frequency_threshold);
        CategoricalColumn::of(&plan.column, vocabulary)
    });
    let numeric = plan.numeric.iter().map(|column| {
        let values = table.cells(&column.column).map(|cell| cell.as_number()).collect();
        fit_numeric(column, values)
    });
    EntityWorkflow {
        categorical: categorical.collect(),
        numeric: numeric.collect(),
    }
}

fn fit_numeric(plan: &NumericPlan, mut values: Vec<Option<f64>>) -> NumericColumn {
    let mut operations = Vec::new();
    let mut add = |operation: Operation, values: &mut Vec<Option<f64>>| {
        for value in values.iter_mut() {
            *value = operation.apply(*value);
        }
        operations.push(operation);
    };
    add(Operation::Fill(fill(plan.fill, &values)), &mut values);
    if let Some((minimum, maximum)) = plan.clip {
        add(Operation::Clip { minimum, maximum }, &mut values);
    }
    if plan.log {
        add(Operation::Log, &mut values);
    }
    let (mean, standard_deviation) = mean_and_deviation(&values);
    let mean = match plan.scale {
        Scale::AsIs => None,
        Scale::Standard => Some(mean),
        Scale::KeepZero => Some(0.0),
    };
    if let Some(mean) = mean {
        add(
            Operation::Normalize {
                mean,
                standard_deviation,
            },
            &mut values,
        );
    }
    NumericColumn::of(&plan.column, operations)
}

fn fill(fill: Fill, values: &[Option<f64>]) -> f64 {
    let mut present: Vec<f64> = values.iter().copied().flatten().collect();
    match fill {
        Fill::Constant(value) => value,
        Fill::Mean => mean_and_deviation(values).0,
        Fill::Median if present.is_empty() => 0.0,
        Fill::Median => {
            let middle = present.len() / 2;
            *present.select_nth_unstable_by(middle, f64::total_cmp).1
        }
    }
}

/// Mean and standard deviation of the values that are there; (0, 1) of none, and a deviation of 1 where they are equal.
fn mean_and_deviation(values: &[Option<f64>]) -> (f64, f64) {
    let present = || values.iter().copied().flatten();
    let count = present().count();
    if count == 0 {
        return (0.0, 1.0);
    }
    let mean = present().sum::<f64>() / count as f64;
    let variance = present().map(|value| (value - mean).powi(2)).sum::<f64>() / count as f64;
    let deviation = variance.sqrt();
    (mean, if deviation > 1e-12 { deviation } else { 1.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(fill: Fill) -> NumericPlan {
        NumericPlan {
            column: "x".into(),
            fill,
            clip: Some((0.0, 10.0)),
            log: false,
            scale: Scale::Standard,
        }
    }

    #[test]
    fn each_operation_is_fitted_on_what_the_one_before_left() {
        let column = fit_numeric(&plan(Fill::Constant(4.0)), vec![Some(0.0), None, Some(80.0)]);
        let (mean, deviation) = mean_and_deviation(&[Some(0.0), Some(4.0), Some(10.0)]);
        assert_eq!(
            column.operations,
            [
                Operation::Fill(4.0),
                Operation::Clip {
                    minimum: 0.0,
                    maximum: 10.0
                },
                Operation::Normalize {
                    mean,
                    standard_deviation: deviation
                },
            ]
        );
    }

    #[test]
    fn a_column_of_nulls_or_of_one_value_gives_zeros() {
        let nulls = fit_numeric(&plan(Fill::Median), vec![None, None]);
        assert_eq!(nulls.encode(None), 0.0);
        let equal = fit_numeric(&plan(Fill::Mean), vec![Some(3.0), Some(3.0)]);
        assert_eq!(equal.encode(Some(3.0)), 0.0);
    }
}
