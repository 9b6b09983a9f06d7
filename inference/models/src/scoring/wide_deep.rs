//! Wide & Deep: a linear model that remembers, and an MLP that generalises, trained together.
//!
//! ```text
//! wide  = a weight for each category + w . numbers + b + a weight for each declared cross of categories   [batch]
//! deep  = MLP([user's embeddings and numbers, item's embeddings and numbers, pair features])              [batch]
//! logit = wide + deep
//! ```
//!
//! Crosses are hashed into one table, see [`crosses`]. Cheng et al., "Wide & deep learning for recommender systems", 2016.
//!
//! [`WideDeep`] is the candle network that trains, [`WideDeepScorer`] serves the same weights. The deep part is served as an
//! MLP is ([`split`](super::neural::split)); of the wide part, the item's sum and its share of each cross's hash are kept in
//! the item's block. [`parts`] does the same for many users at once, in the layers that trained.

pub mod crosses;
mod parts;
mod serving;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Embedding, Linear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::neural::embeddings::Embeddings;
use super::neural::{Batch, InputShape, Network};
use crate::retrieval::tower::{linear_layers, run_layers, small_embedding};
use crosses::Crosses;

pub use serving::WideDeepScorer;

/// The shape of a Wide & Deep model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WideDeepConfig {
    /// Width of every embedding of the deep part.
    pub embedding_dim: usize,
    /// Widths of the deep part's hidden layers; a layer to the logit follows.
    pub hidden: Vec<usize>,
    /// The crosses of the wide part.
    pub crosses: Crosses,
    /// Its inputs.
    #[serde(flatten)]
    pub shape: InputShape,
}

impl WideDeepConfig {
    /// Widths of the deep part's layers, from the inputs to the logit.
    fn widths(&self) -> Vec<usize> {
        let input = self.shape.width(self.embedding_dim);
        [&[input], self.hidden.as_slice(), &[1]].concat()
    }
}

/// The network that trains. Weights of the deep part as those of [`Mlp`](super::mlp::Mlp); of the wide part
/// `wide.embedding.user.{column}.weight` and `wide.embedding.item.{column}.weight` (`[cardinality, 1]`),
/// `wide.linear.weight` (`[1, numbers]`) and `.bias`, and `wide.embedding.cross.weight` (`[buckets, 1]`).
pub struct WideDeep {
    wide: Wide,
    embeddings: Embeddings,
    layers: Vec<Linear>,
}

/// The wide part.
struct Wide {
    categories: Embeddings,
    numbers: Linear,
    cross_weights: Option<Embedding>,
    crosses: Crosses,
}

impl WideDeep {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &WideDeepConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self {
            wide: Wide::new(config, vb.pp("wide"))?,
            embeddings: Embeddings::new(&config.shape, config.embedding_dim, &vb)?,
            layers: linear_layers(&config.widths(), &vb.pp("layer"))?,
        })
    }
}

impl Network for WideDeep {
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        let deep = run_layers(&self.layers, self.embeddings.side_by_side(batch)?)?;
        (self.wide.forward(batch)? + deep)?.squeeze(1)
    }
}

impl Wide {
    fn new(config: &WideDeepConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let crosses = config.crosses.clone();
        let cross_weights = match crosses.pairs.is_empty() {
            true => None,
            false => Some(small_embedding(
                crosses.buckets,
                1,
                vb.pp("embedding").pp("cross"),
            )?),
        };
        Ok(Self {
            categories: Embeddings::new(&config.shape, 1, &vb)?,
            numbers: candle_nn::linear(config.shape.numeric(), 1, vb.pp("linear"))?,
            cross_weights,
            crosses,
        })
    }

    /// `[batch, 1]`.
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        let mut sum = self.numbers.forward(&batch.numeric()?)?;
        for weight in self.categories.vectors(batch)? {
            sum = (sum + weight)?;
        }
        match &self.cross_weights {
            None => Ok(sum),
            Some(weights) => sum + weights.forward(&self.buckets(batch)?)?.sum(1)?,
        }
    }

    /// The bucket of each cross, `[batch, crosses]`.
    fn buckets(&self, batch: &Batch) -> CandleResult<Tensor> {
        let user: Vec<Vec<u32>> = batch.user_categorical.to_vec2()?;
        let item: Vec<Vec<u32>> = batch.item_categorical.to_vec2()?;
        let crosses = self.crosses.pairs.len();
        let mut buckets = Vec::with_capacity(user.len() * crosses);
        for (user, item) in user.iter().zip(&item) {
            self.crosses.push_buckets(user, item, &mut buckets);
        }
        Tensor::from_vec(buckets, (user.len(), crosses), batch.user_categorical.device())
    }
}
