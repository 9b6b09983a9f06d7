//! What the neural families have in common, each thing once.
//!
//! | file | what |
//! |---|---|
//! | [`shape`] | how many inputs of each kind a model reads, and where they are side by side |
//! | [`loss`] | what training makes small |
//! | [`embeddings`] | embeddings of the user's and the item's columns: layers that train, tables that serve |
//! | [`split`] | serving of models whose first layer reads all inputs side by side |
//! | [`parts`] | the same for many users at once, in tensors |
//!
//! A family is a candle network that trains ([`Network`]), the same layers taken apart for a GPU ([`parts::Parts`]) and a scorer
//! that serves the same weights on the processor; a test of each family compares the three.

pub mod embeddings;
pub mod loss;
pub(crate) mod parts;
pub mod shape;
pub mod split;
#[cfg(test)]
pub(crate) mod tests;

use candle_core::{Result as CandleResult, Tensor};

pub use loss::{binary_cross_entropy, lambda_rank};
pub use shape::InputShape;

/// A network that trains.
pub trait Network {
    /// Logits, `[batch]`.
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor>;
}

/// Pairs of a user and an item, as tensors.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Indexes of the user's categories, `[batch, columns]` of `u32`.
    pub user_categorical: Tensor,
    /// The user's numbers, `[batch, columns]` of `f32`.
    pub user_numeric: Tensor,
    /// Indexes of the item's categories, `[batch, columns]` of `u32`.
    pub item_categorical: Tensor,
    /// The item's numbers, `[batch, columns]` of `f32`.
    pub item_numeric: Tensor,
    /// Features of the pair, `[batch, columns]` of `f32`.
    pub pair: Tensor,
}

impl Batch {
    /// All numbers side by side, `[batch, columns]`: the user's, the item's, the pair's.
    pub fn numeric(&self) -> CandleResult<Tensor> {
        Tensor::cat(&[&self.user_numeric, &self.item_numeric, &self.pair], 1)
    }
}
