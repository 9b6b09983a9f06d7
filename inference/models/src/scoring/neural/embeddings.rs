//! Embeddings of the user's and the item's categorical columns, all of one width.
//!
//! Weights: `embedding.user.{column}.weight` and `embedding.item.{column}.weight`, each `[cardinality, width]`.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Embedding, Module, VarBuilder};

use super::parts::{Rows, side_by_side};
use super::{Batch, InputShape};
use crate::dense::{EmbeddingTable, Weights, WeightsError};
use crate::features::{EncodedRow, EncodedTable};
use crate::retrieval::tower::small_embedding;

/// Whose column it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    User,
    Item,
}

impl Side {
    /// The name of a column's table.
    pub(crate) fn table(self, column: usize) -> String {
        match self {
            Self::User => format!("embedding.user.{column}"),
            Self::Item => format!("embedding.item.{column}"),
        }
    }
}

/// The layers that train.
pub(crate) struct Embeddings {
    user: Vec<Embedding>,
    item: Vec<Embedding>,
}

impl Embeddings {
    /// A layer a column, with weights from `vb`.
    pub(crate) fn new(shape: &InputShape, width: usize, vb: &VarBuilder<'_>) -> CandleResult<Self> {
        Self::named(shape, width, vb, |side, column| side.table(column))
    }

    /// A layer a column, with weights that `name` names.
    pub(crate) fn named(
        shape: &InputShape,
        width: usize,
        vb: &VarBuilder<'_>,
        name: impl Fn(Side, usize) -> String,
    ) -> CandleResult<Self> {
        let layers = |side: Side, cardinalities: &[usize]| {
            let sizes = cardinalities.iter().enumerate();
            sizes
                .map(|(column, size)| small_embedding(*size, width, vb.pp(name(side, column))))
                .collect::<CandleResult<Vec<_>>>()
        };
        Ok(Self {
            user: layers(Side::User, &shape.user_categorical)?,
            item: layers(Side::Item, &shape.item_categorical)?,
        })
    }

    /// The vector of each column, `[batch, width]` each, the user's first.
    pub(crate) fn vectors(&self, batch: &Batch) -> CandleResult<Vec<Tensor>> {
        let user = look_up(&self.user, &batch.user_categorical)?;
        let item = look_up(&self.item, &batch.item_categorical)?;
        Ok([user, item].concat())
    }

    /// The vector of each of the users' columns, `[rows, width]` each.
    pub(crate) fn of_users(&self, rows: &Rows) -> CandleResult<Vec<Tensor>> {
        look_up_rows(&self.user, rows)
    }

    /// The vector of each of the items' columns, `[rows, width]` each.
    pub(crate) fn of_items(&self, rows: &Rows) -> CandleResult<Vec<Tensor>> {
        look_up_rows(&self.item, rows)
    }

    /// The users' embeddings side by side, `[rows, columns * width]`.
    pub(crate) fn user_embeddings(&self, rows: &Rows) -> CandleResult<Option<Tensor>> {
        side_by_side(&self.of_users(rows)?)
    }

    /// The items' embeddings side by side, `[rows, columns * width]`.
    pub(crate) fn item_embeddings(&self, rows: &Rows) -> CandleResult<Option<Tensor>> {
        side_by_side(&self.of_items(rows)?)
    }

    /// The users' embeddings and numbers side by side, `[rows, InputShape::user_width]`.
    pub(crate) fn user_inputs(&self, rows: &Rows) -> CandleResult<Option<Tensor>> {
        side_by_side(&[self.of_users(rows)?, rows.numeric.iter().cloned().collect()].concat())
    }

    /// The items' embeddings and numbers side by side, `[rows, InputShape::item_width]`.
    pub(crate) fn item_inputs(&self, rows: &Rows) -> CandleResult<Option<Tensor>> {
        side_by_side(&[self.of_items(rows)?, rows.numeric.iter().cloned().collect()].concat())
    }

    /// All inputs side by side, `[batch, InputShape::width]`: the user's embeddings and numbers, the item's, the pair's.
    pub(crate) fn side_by_side(&self, batch: &Batch) -> CandleResult<Tensor> {
        let mut inputs = look_up(&self.user, &batch.user_categorical)?;
        inputs.push(batch.user_numeric.clone());
        inputs.extend(look_up(&self.item, &batch.item_categorical)?);
        inputs.extend([batch.item_numeric.clone(), batch.pair.clone()]);
        Tensor::cat(&inputs, 1)
    }
}

fn look_up(layers: &[Embedding], indexes: &Tensor) -> CandleResult<Vec<Tensor>> {
    let columns = layers.iter().enumerate();
    columns
        .map(|(column, layer)| layer.forward(&indexes.narrow(1, column, 1)?.squeeze(1)?.contiguous()?))
        .collect()
}

fn look_up_rows(layers: &[Embedding], rows: &Rows) -> CandleResult<Vec<Tensor>> {
    match &rows.categorical {
        Some(indexes) => look_up(layers, indexes),
        None => Ok(Vec::new()),
    }
}

/// The same weights, as tables that serve.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddingTables {
    pub(crate) user: Vec<EmbeddingTable>,
    pub(crate) item: Vec<EmbeddingTable>,
}

impl EmbeddingTables {
    /// Reads what [`Embeddings`] left; `prefix` is what stands before `embedding`.
    pub(crate) fn load(
        weights: &Weights,
        prefix: &str,
        shape: &InputShape,
        width: usize,
    ) -> Result<Self, WeightsError> {
        Self::named(weights, shape, width, |side, column| {
            format!("{prefix}{}", side.table(column))
        })
    }

    /// Reads tables that `name` names.
    pub(crate) fn named(
        weights: &Weights,
        shape: &InputShape,
        width: usize,
        name: impl Fn(Side, usize) -> String,
    ) -> Result<Self, WeightsError> {
        let tables = |side: Side, cardinalities: &[usize]| {
            let sizes = cardinalities.iter().enumerate();
            sizes
                .map(|(column, size)| weights.embedding(&name(side, column), *size, width))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            user: tables(Side::User, &shape.user_categorical)?,
            item: tables(Side::Item, &shape.item_categorical)?,
        })
    }

    /// Adds the user's embeddings to `out`, and behind them the user's numbers.
    pub(crate) fn push_user(&self, user: &EncodedRow, out: &mut Vec<f32>) {
        push(&self.user, &user.categorical, &user.numeric, out);
    }

    /// Adds an item's embeddings to `out`, and behind them the item's numbers.
    pub(crate) fn push_item(&self, items: &EncodedTable, row: usize, out: &mut Vec<f32>) {
        push(&self.item, items.categorical(row), items.numeric(row), out);
    }
}

fn push(tables: &[EmbeddingTable], indexes: &[u32], numeric: &[f32], out: &mut Vec<f32>) {
    for (table, index) in tables.iter().zip(indexes) {
        out.extend_from_slice(table.row(*index));
    }
    out.extend_from_slice(numeric);
}
