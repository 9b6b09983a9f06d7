//! DLRM: embeddings and dense features that meet in pairwise products.
//!
//! ```text
//! numeric (user, item, pair) -> bottom MLP, ReLU after each layer -> b [batch, dim]
//! each categorical column    -> embedding                         -> e [batch, dim]
//! top input = [b, all products v_r . v_c with r > c, where v = (b, e of the user's columns, e of the item's columns)]
//! logit     = top MLP, ReLU between layers
//! ```
//!
//! Products are in the order of the lower triangle, row by row. Naumov et al., "Deep learning recommendation model for
//! personalization and recommendation systems", 2019.
//!
//! [`Dlrm`] is the candle network that trains. [`DlrmScorer`] serves the same weights: see [`serving`] for how it avoids
//! doing a user's or an item's part of the work for every candidate.

pub mod serving;
mod values;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Embedding, Linear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::retrieval::tower::{linear_layers, run_layers, small_embedding};

pub use serving::DlrmScorer;

/// The shape of a DLRM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DlrmConfig {
    /// Width of every embedding and of the bottom MLP's output.
    pub embedding_dim: usize,
    /// Widths of the bottom MLP's hidden layers; a layer to `embedding_dim` follows.
    pub bottom: Vec<usize>,
    /// Widths of the top MLP's hidden layers; a layer to the logit follows.
    pub top: Vec<usize>,
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

impl DlrmConfig {
    /// Widths of the bottom MLP, from its input to `embedding_dim`.
    fn bottom_widths(&self) -> Vec<usize> {
        let input = self.user_numeric + self.item_numeric + self.pair;
        [&[input], self.bottom.as_slice(), &[self.embedding_dim]].concat()
    }

    /// Number of vectors that meet: the bottom's output and all embeddings.
    fn vectors(&self) -> usize {
        1 + self.user_categorical.len() + self.item_categorical.len()
    }

    /// Widths of the top MLP, from its input to the logit.
    fn top_widths(&self) -> Vec<usize> {
        let vectors = self.vectors();
        let input = self.embedding_dim + vectors * (vectors - 1) / 2;
        [&[input], self.top.as_slice(), &[1]].concat()
    }
}

/// The network that trains. Weights: `embedding.user.{column}.weight`, `embedding.item.{column}.weight`,
/// `bottom.{position}.weight` and `.bias`, `top.{position}.weight` and `.bias`.
pub struct Dlrm {
    user: Vec<Embedding>,
    item: Vec<Embedding>,
    bottom: Vec<Linear>,
    top: Vec<Linear>,
    /// Positions of the lower triangle in a flattened square of the vectors.
    triangle: Tensor,
}

impl Dlrm {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &DlrmConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let embeddings = |entity: &str, cardinalities: &[usize]| {
            let vb = vb.pp("embedding").pp(entity);
            let sizes = cardinalities.iter().enumerate();
            sizes
                .map(|(column, size)| small_embedding(*size, config.embedding_dim, vb.pp(column)))
                .collect::<CandleResult<Vec<_>>>()
        };
        let vectors = config.vectors() as u32;
        let triangle: Vec<u32> = (0..vectors)
            .flat_map(|r| (0..r).map(move |c| r * vectors + c))
            .collect();
        Ok(Self {
            user: embeddings("user", &config.user_categorical)?,
            item: embeddings("item", &config.item_categorical)?,
            bottom: linear_layers(&config.bottom_widths(), &vb.pp("bottom"))?,
            top: linear_layers(&config.top_widths(), &vb.pp("top"))?,
            triangle: Tensor::new(triangle, vb.device())?,
        })
    }

    /// Logits, `[batch]`. Categorical inputs are `[batch, columns]` of `u32`, numeric ones `[batch, columns]` of `f32`.
    pub fn forward(
        &self,
        user_categorical: &Tensor,
        user_numeric: &Tensor,
        item_categorical: &Tensor,
        item_numeric: &Tensor,
        pair: &Tensor,
    ) -> CandleResult<Tensor> {
        let numeric = Tensor::cat(&[user_numeric, item_numeric, pair], 1)?;
        let bottom = run_layers(&self.bottom, numeric)?.relu()?;
        let mut vectors = vec![bottom.clone()];
        for (embeddings, indexes) in [(&self.user, user_categorical), (&self.item, item_categorical)] {
            for (column, embedding) in embeddings.iter().enumerate() {
                vectors.push(embedding.forward(&indexes.narrow(1, column, 1)?.squeeze(1)?.contiguous()?)?);
            }
        }
        let stacked = Tensor::stack(&vectors, 1)?;
        let products = stacked.matmul(&stacked.transpose(1, 2)?)?.flatten_from(1)?;
        let products = products.index_select(&self.triangle, 1)?;
        run_layers(&self.top, Tensor::cat(&[&bottom, &products], 1)?)?.squeeze(1)
    }
}

/// The mean binary cross-entropy of logits and labels of 0 or 1, both `[batch]`.
///
/// Written as `max(z, 0) - z y + ln(1 + e^-|z|)`, which stays finite for every logit; candle's own takes the logarithm of
/// a sigmoid and does not.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor) -> CandleResult<Tensor> {
    let softplus = (logits.abs()?.neg()?.exp()? + 1.0)?.log()?;
    ((logits.relu()? - (logits * labels)?)? + softplus)?.mean_all()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn the_loss_is_finite_for_every_logit() {
        let logits = Tensor::new(&[-100f32, -17.0, 0.0, 17.0, 100.0], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1f32, 0.0, 1.0, 1.0, 0.0], &Device::Cpu).unwrap();
        let loss: f32 = binary_cross_entropy(&logits, &labels)
            .unwrap()
            .to_scalar()
            .unwrap();
        assert!((loss - (200.0 + 2f32.ln()) / 5.0).abs() < 1e-4, "{loss}");
    }
}
