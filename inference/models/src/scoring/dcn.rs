//! DCN: layers that cross all inputs with themselves, in parallel with an MLP.
//!
//! ```text
//! x_0     = [user's embeddings and numbers, item's embeddings and numbers, pair features]   [batch, width]
//! x_(l+1) = x_0 * (what layer l makes of x_l) + x_l, element by element; see [`cross`]
//! deep    = MLP(x_0), ReLU after each layer
//! logit   = w . [x_L, deep] + b
//! ```
//!
//! Each layer raises the degree of the products of inputs by one. Wang et al., "DCN V2: improved deep & cross network and
//! practical lessons for web-scale learning to rank systems", 2021; version 1 is of 2017.
//!
//! [`Dcn`] is the candle network that trains, [`DcnScorer`] serves the same weights. What the first cross layer makes of
//! x_0 and the first deep layer are both linear in x_0, so that both split exactly: see [`serving`], and [`parts`] for many users
//! at once.

pub mod cross;
mod parts;
mod serving;

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Linear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::neural::embeddings::Embeddings;
use super::neural::{Batch, InputShape, Network};
use crate::retrieval::tower::{linear_layers, run_layers};
use cross::{Cross, CrossLayer};

pub use serving::DcnScorer;

/// The shape of a DCN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DcnConfig {
    /// Width of every embedding.
    pub embedding_dim: usize,
    /// What cross layers do.
    pub cross: Cross,
    /// Number of cross layers, 1 at least.
    pub cross_layers: usize,
    /// Widths of the deep part's layers; none for a model of cross layers alone.
    pub hidden: Vec<usize>,
    /// Its inputs.
    #[serde(flatten)]
    pub shape: InputShape,
}

impl DcnConfig {
    /// Width of all inputs side by side.
    fn width(&self) -> usize {
        self.shape.width(self.embedding_dim)
    }

    /// Widths of the deep part, from the inputs on.
    fn deep_widths(&self) -> Vec<usize> {
        [&[self.width()], self.hidden.as_slice()].concat()
    }
}

/// The network that trains. Weights: embeddings, `cross.{layer}` as [`cross`] says, `deep.{position}.weight` and `.bias`,
/// `logit.weight` (`[1, width + deep]`) and `.bias`.
pub struct Dcn {
    embeddings: Embeddings,
    cross: Vec<CrossLayer>,
    deep: Vec<Linear>,
    logit: Linear,
}

impl Dcn {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &DcnConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        let width = config.width();
        let cross = (0..config.cross_layers)
            .map(|layer| CrossLayer::new(config.cross, width, vb.pp("cross").pp(layer)));
        let deep = config.hidden.last().copied().unwrap_or(0);
        Ok(Self {
            embeddings: Embeddings::new(&config.shape, config.embedding_dim, &vb)?,
            cross: cross.collect::<CandleResult<_>>()?,
            deep: linear_layers(&config.deep_widths(), &vb.pp("deep"))?,
            logit: candle_nn::linear(width + deep, 1, vb.pp("logit"))?,
        })
    }
}

impl Network for Dcn {
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        let x_0 = self.embeddings.side_by_side(batch)?;
        let mut parts = vec![cross::run(&self.cross, &x_0)?];
        if !self.deep.is_empty() {
            parts.push(run_layers(&self.deep, x_0)?.relu()?);
        }
        self.logit.forward(&Tensor::cat(&parts, 1)?)?.squeeze(1)
    }
}
