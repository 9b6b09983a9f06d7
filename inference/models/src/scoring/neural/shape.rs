//! How many inputs of each kind a neural model reads.

use serde::{Deserialize, Serialize};

use crate::features::{Cardinalities, EncodedRow, EncodedTable, Layout};
use crate::scoring::{CandidateBatch, ScoreError, check_user};

/// How many inputs of each kind a model reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShape {
    /// The vocabulary size of each of the user's categorical columns.
    pub user_categorical: Vec<usize>,
    /// The vocabulary size of each of the item's categorical columns.
    pub item_categorical: Vec<usize>,
    /// Number of the user's numeric columns.
    pub user_numeric: usize,
    /// Number of the item's numeric columns.
    pub item_numeric: usize,
    /// Number of pair features.
    pub pair: usize,
}

impl InputShape {
    /// What a workflow gives.
    pub fn of(layout: &Layout, cardinalities: &Cardinalities) -> Self {
        Self {
            user_categorical: cardinalities.user.clone(),
            item_categorical: cardinalities.item.clone(),
            user_numeric: layout.user_numeric.len(),
            item_numeric: layout.item_numeric.len(),
            pair: layout.pair.len(),
        }
    }

    /// The number of columns of each kind, in the order of [`Layout`].
    pub fn columns(&self) -> [usize; 5] {
        [
            self.user_categorical.len(),
            self.user_numeric,
            self.item_categorical.len(),
            self.item_numeric,
            self.pair,
        ]
    }

    /// The number of columns of each kind that a layout has.
    pub fn columns_of(layout: &Layout) -> [usize; 5] {
        [
            layout.user_categorical.len(),
            layout.user_numeric.len(),
            layout.item_categorical.len(),
            layout.item_numeric.len(),
            layout.pair.len(),
        ]
    }

    /// Number of numeric inputs of all kinds.
    pub fn numeric(&self) -> usize {
        self.user_numeric + self.item_numeric + self.pair
    }

    /// Width of the user's embeddings and numbers side by side.
    pub fn user_width(&self, embedding_dim: usize) -> usize {
        self.user_categorical.len() * embedding_dim + self.user_numeric
    }

    /// Width of the item's embeddings and numbers side by side.
    pub fn item_width(&self, embedding_dim: usize) -> usize {
        self.item_categorical.len() * embedding_dim + self.item_numeric
    }

    /// Width of all inputs side by side: the user's, the item's, the pair's.
    pub fn width(&self, embedding_dim: usize) -> usize {
        self.user_width(embedding_dim) + self.item_width(embedding_dim) + self.pair
    }

    /// How many inputs the user, the item and the pair bring, side by side as [`Self::width`] counts them.
    pub(crate) fn widths(&self, embedding_dim: usize) -> [usize; 3] {
        [
            self.user_width(embedding_dim),
            self.item_width(embedding_dim),
            self.pair,
        ]
    }

    /// How many numbers the user, the item and the pair bring.
    pub(crate) fn numeric_widths(&self) -> [usize; 3] {
        [self.user_numeric, self.item_numeric, self.pair]
    }

    /// Refuses a user's row of another workflow; panics for pair features of one, as [`Self::check_items`] does.
    pub(crate) fn check_request(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
    ) -> Result<(), ScoreError> {
        assert_eq!(
            candidates.pair_width, self.pair,
            "pair features of another workflow"
        );
        check_user(user, self.user_categorical.len(), self.user_numeric)
    }

    /// Panics for items of another workflow, which nobody can have loaded beside this model.
    pub(crate) fn check_items(&self, items: &EncodedTable) {
        let found = (items.categorical_width(), items.numeric_width());
        let wanted = (self.item_categorical.len(), self.item_numeric);
        assert_eq!(found, wanted, "items of another workflow");
    }
}
