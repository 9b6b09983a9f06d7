//! Rows after the workflow: what models read.

use serde::{Deserialize, Serialize};

/// One row after the workflow: what models read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedRow {
    /// An index into each categorical column's vocabulary, in workflow order.
    pub categorical: Vec<u32>,
    /// Each numeric column's value after its operations, in workflow order; never NaN.
    pub numeric: Vec<f32>,
}

/// Many encoded rows of one entity, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedTable {
    rows: usize,
    categorical_width: usize,
    numeric_width: usize,
    categorical: Vec<u32>,
    numeric: Vec<f32>,
}

impl EncodedTable {
    /// A table without rows, for rows of these widths.
    pub fn new(categorical_width: usize, numeric_width: usize) -> Self {
        Self {
            categorical_width,
            numeric_width,
            ..Self::default()
        }
    }

    /// So many rows of zeros, to be filled column by column.
    pub(super) fn of_zeros(rows: usize, categorical_width: usize, numeric_width: usize) -> Self {
        Self {
            rows,
            categorical_width,
            numeric_width,
            categorical: vec![0; rows * categorical_width],
            numeric: vec![0.0; rows * numeric_width],
        }
    }

    /// Fills a categorical column.
    pub(super) fn set_categorical(&mut self, column: usize, values: &[u32]) {
        let places = self
            .categorical
            .iter_mut()
            .skip(column)
            .step_by(self.categorical_width);
        places.zip(values).for_each(|(place, value)| *place = *value);
    }

    /// Fills a numeric column.
    pub(super) fn set_numeric(&mut self, column: usize, values: &[f32]) {
        let places = self.numeric.iter_mut().skip(column).step_by(self.numeric_width);
        places.zip(values).for_each(|(place, value)| *place = *value);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of categorical columns.
    pub fn categorical_width(&self) -> usize {
        self.categorical_width
    }

    /// Number of numeric columns.
    pub fn numeric_width(&self) -> usize {
        self.numeric_width
    }

    /// The categorical indexes of `row`. Panics past the last row, as a slice does.
    pub fn categorical(&self, row: usize) -> &[u32] {
        &self.categorical[row * self.categorical_width..][..self.categorical_width]
    }

    /// The numeric values of `row`. Panics past the last row, as a slice does.
    pub fn numeric(&self, row: usize) -> &[f32] {
        &self.numeric[row * self.numeric_width..][..self.numeric_width]
    }

    /// Appends a row; its widths must be the table's.
    pub fn push(&mut self, row: &EncodedRow) {
        assert_eq!(
            row.categorical.len(),
            self.categorical_width,
            "a row of another workflow"
        );
        assert_eq!(row.numeric.len(), self.numeric_width, "a row of another workflow");
        self.categorical.extend_from_slice(&row.categorical);
        self.numeric.extend_from_slice(&row.numeric);
        self.rows += 1;
    }

    /// A copy of one row.
    pub fn row(&self, row: usize) -> EncodedRow {
        EncodedRow {
            categorical: self.categorical(row).to_vec(),
            numeric: self.numeric(row).to_vec(),
        }
    }
}

/// The names of all inputs of a model, in the order in which every model of this project reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Categorical columns of the user.
    pub user_categorical: Vec<String>,
    /// Numeric columns of the user.
    pub user_numeric: Vec<String>,
    /// Categorical columns of the item.
    pub item_categorical: Vec<String>,
    /// Numeric columns of the item.
    pub item_numeric: Vec<String>,
    /// Numeric columns of the pair of user and item.
    pub pair: Vec<String>,
}

impl Layout {
    /// Every input as `user.x`, `item.x` or `pair.x`, in order.
    pub fn inputs(&self) -> Vec<String> {
        let named = |entity: &'static str, columns: &[String]| {
            columns
                .iter()
                .map(|column| format!("{entity}.{column}"))
                .collect::<Vec<_>>()
        };
        [
            named("user", &self.user_categorical),
            named("user", &self.user_numeric),
            named("item", &self.item_categorical),
            named("item", &self.item_numeric),
            named("pair", &self.pair),
        ]
        .concat()
    }
}

/// The size of each categorical column's vocabulary (null and unknown included), in workflow order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardinalities {
    /// Of the user's columns.
    pub user: Vec<usize>,
    /// Of the item's columns.
    pub item: Vec<usize>,
}
