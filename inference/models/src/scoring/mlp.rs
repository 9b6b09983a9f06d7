//! MLP: all inputs side by side through linear layers, without any explicit interaction.
//!
//! ```text
//! x     = [user's embeddings and numbers, item's embeddings and numbers, pair features]   [batch, width]
//! logit = MLP(x), ReLU between layers
//! ```
//!
//! The baseline that shows what the interactions of other families are worth. [`Mlp`] is the candle network that trains,
//! [`MlpScorer`] serves the same weights: of the first layer only the pair's part is left for every candidate, see
//! [`split`](super::neural::split). [`MlpParts`] does the same for many users at once, in the layers that trained.

use std::path::Path;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Linear, VarBuilder};
use serde::{Deserialize, Serialize};

use super::neural::embeddings::{EmbeddingTables, Embeddings};
use super::neural::parts::{Pairs, Parts, Rows, SplitLinear, run_after};
use super::neural::split::{Chunk, FirstLayer, Head, HeadBuffers, SplitScorer};
use super::neural::{Batch, InputShape, Network};
use crate::dense::{self, Activation, Weights, WeightsError};
use crate::features::EncodedTable;
use crate::retrieval::tower::{linear_layers, run_layers};

/// The shape of an MLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MlpConfig {
    /// Width of every embedding.
    pub embedding_dim: usize,
    /// Widths of the hidden layers; a layer to the logit follows.
    pub hidden: Vec<usize>,
    /// Its inputs.
    #[serde(flatten)]
    pub shape: InputShape,
}

impl MlpConfig {
    /// Widths of all layers, from the inputs to the logit.
    fn widths(&self) -> Vec<usize> {
        let input = self.shape.width(self.embedding_dim);
        [&[input], self.hidden.as_slice(), &[1]].concat()
    }
}

/// The network that trains. Weights: embeddings, and `layer.{position}.weight` and `.bias`.
pub struct Mlp {
    embeddings: Embeddings,
    layers: Vec<Linear>,
}

impl Mlp {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &MlpConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self {
            embeddings: Embeddings::new(&config.shape, config.embedding_dim, &vb)?,
            layers: linear_layers(&config.widths(), &vb.pp("layer"))?,
        })
    }
}

impl Network for Mlp {
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        run_layers(&self.layers, self.embeddings.side_by_side(batch)?)?.squeeze(1)
    }
}

/// The network, taken apart for many users at once. A user and an item bring their parts of the first layer.
pub(crate) struct MlpParts {
    embeddings: Embeddings,
    first: SplitLinear,
    rest: Vec<Linear>,
}

impl Mlp {
    /// Takes the network apart.
    pub(crate) fn into_parts(self, config: &MlpConfig) -> CandleResult<MlpParts> {
        let widths = config.shape.widths(config.embedding_dim);
        Ok(MlpParts {
            first: SplitLinear::of(&self.layers[0], widths)?,
            rest: self.layers[1..].to_vec(),
            embeddings: self.embeddings,
        })
    }
}

impl Parts for MlpParts {
    fn users(&self, rows: &Rows) -> CandleResult<Tensor> {
        self.first
            .of_users(self.embeddings.user_inputs(rows)?.as_ref(), rows.len)
    }

    fn items(&self, rows: &Rows) -> CandleResult<Tensor> {
        self.first
            .of_items(self.embeddings.item_inputs(rows)?.as_ref(), rows.len)
    }

    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let both = (&pairs.user + &pairs.item)?;
        run_after(&self.rest, self.first.add_pairs(both, pairs.features.as_ref())?)?.squeeze(1)
    }
}

/// An MLP that serves.
pub type MlpScorer = SplitScorer<dense::Mlp>;

impl MlpScorer {
    /// Reads the weights that [`Mlp`] left.
    pub fn load(path: &Path, config: &MlpConfig) -> Result<Self, WeightsError> {
        let weights = Weights::read(path)?;
        let MlpConfig {
            embedding_dim, shape, ..
        } = config;
        let tables = EmbeddingTables::load(&weights, "", shape, *embedding_dim)?;
        let layers = weights.layers("layer", &config.widths())?;
        let (first, rest) = FirstLayer::of_mlp(layers, shape, *embedding_dim);
        let rest = dense::Mlp::new(rest, Activation::None);
        Ok(Self::new(shape.clone(), tables, first, rest))
    }
}

/// The layers after the first need nothing but its output.
impl Head for dense::Mlp {
    fn block_width(&self) -> usize {
        0
    }

    fn prepare(&self, _: &EncodedTable, _: usize, _: &[f32], _: &mut [f32]) {}

    fn logits(&self, chunk: Chunk<'_>, hidden: &mut Vec<f32>, head_buffers: &mut HeadBuffers) {
        self.batch(chunk.len(), hidden, &mut head_buffers.first);
    }
}

#[cfg(test)]
mod tests {
    use super::super::neural::tests::{check_refused, check_serving, shape};
    use super::*;

    fn small() -> MlpConfig {
        MlpConfig {
            embedding_dim: 8,
            hidden: vec![24, 12],
            shape: shape(),
        }
    }

    #[track_caller]
    fn check(config: MlpConfig) {
        let load = |path: &Path| MlpScorer::load(path, &config);
        check_serving(
            &config.shape,
            |vb| Mlp::new(&config, vb),
            |network| network.into_parts(&config),
            load,
        );
    }

    #[test]
    fn serving_gives_what_training_gave() {
        let config = small();
        check(config.clone());
        check(MlpConfig {
            hidden: vec![],
            ..config.clone()
        });
        check(MlpConfig {
            embedding_dim: 5,
            hidden: vec![33],
            shape: InputShape { pair: 0, ..shape() },
        });
    }

    #[test]
    fn weights_that_cannot_serve_are_refused_by_name() {
        let wider = MlpConfig {
            hidden: vec![25, 12],
            ..small()
        };
        let none = MlpConfig {
            embedding_dim: 0,
            ..small()
        };
        let network = |vb: VarBuilder<'_>| Mlp::new(&small(), vb).map(drop);
        let nan = Some(("layer.1.bias", f32::NAN));
        let load = |config: MlpConfig| move |path: &Path| MlpScorer::load(path, &config).map(drop);
        check_refused(
            network,
            nan,
            load(small()),
            "tensor layer.1.bias has NaN at position 0",
        );
        check_refused(
            network,
            None,
            load(wider),
            "tensor layer.0.weight is F32 of [24, ",
        );
        check_refused(network, None, load(none), "embedding.user.0.weight has width 0");
    }
}
