//! DCN, taken apart for many users at once.
//!
//! The first cross layer's linear map and the first deep layer are one layer, side by side, as in [`serving`](super::serving). What
//! a user and an item bring is `[their part of that layer, their inputs]`.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Linear, Module};

use super::cross::{CrossLayer, run_from};
use super::{Dcn, DcnConfig};
use crate::scoring::neural::embeddings::Embeddings;
use crate::scoring::neural::parts::{Pairs, Parts, Rows, SplitLinear, relu, run_after};

/// The network, taken apart.
pub(crate) struct DcnParts {
    embeddings: Embeddings,
    first: SplitLinear,
    /// Width of what the first cross layer's linear map gives.
    inner_width: usize,
    /// Width of the first deep layer's output; 0 without any deep layer.
    deep_width: usize,
    cross: Vec<CrossLayer>,
    /// The deep layers after the first.
    rest: Vec<Linear>,
    logit: Linear,
}

impl Dcn {
    /// Takes the network apart.
    pub(crate) fn into_parts(self, config: &DcnConfig) -> CandleResult<DcnParts> {
        let (map, deep) = (self.cross[0].map(), self.deep.first());
        let width = |layer: &Linear| layer.weight().dim(0);
        Ok(DcnParts {
            inner_width: width(map)?,
            deep_width: deep.map_or(Ok(0), width)?,
            first: SplitLinear::of(&both(map, deep)?, config.shape.widths(config.embedding_dim))?,
            rest: self.deep.iter().skip(1).cloned().collect(),
            embeddings: self.embeddings,
            cross: self.cross,
            logit: self.logit,
        })
    }
}

/// One layer that gives what one gives, and behind it what another does that reads the same.
fn both(one: &Linear, other: Option<&Linear>) -> CandleResult<Linear> {
    let layers: Vec<&Linear> = [one].into_iter().chain(other).collect();
    let weights: Vec<&Tensor> = layers.iter().map(|layer| layer.weight()).collect();
    let bias = |layer: &&Linear| match layer.bias() {
        Some(bias) => Ok(bias.clone()),
        None => {
            let weight = layer.weight();
            Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device())
        }
    };
    let biases = layers.iter().map(bias).collect::<CandleResult<Vec<_>>>()?;
    Ok(Linear::new(
        Tensor::cat(&weights, 0)?,
        Some(Tensor::cat(&biases, 0)?),
    ))
}

/// The first layer's part, and behind it the inputs.
fn before(first: Tensor, inputs: Option<Tensor>) -> CandleResult<Tensor> {
    match inputs {
        Some(inputs) => Tensor::cat(&[first, inputs], 1),
        None => Ok(first),
    }
}

impl DcnParts {
    /// Width of the first layer's output.
    fn first_width(&self) -> usize {
        self.inner_width + self.deep_width
    }

    /// All inputs of each pair side by side, `[pairs, width]`: the user's and the item's stand behind their parts of the first layer.
    fn inputs(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let first = self.first_width();
        let mut inputs = Vec::with_capacity(3);
        for part in [&pairs.user, &pairs.item] {
            let width = part.dim(1)? - first;
            if width > 0 {
                inputs.push(part.narrow(1, first, width)?);
            }
        }
        inputs.extend(pairs.features.clone());
        Tensor::cat(&inputs, 1)
    }
}

impl Parts for DcnParts {
    fn users(&self, rows: &Rows) -> CandleResult<Tensor> {
        let inputs = self.embeddings.user_inputs(rows)?;
        let first = self.first.of_users(inputs.as_ref(), rows.len)?;
        before(first, inputs)
    }

    fn items(&self, rows: &Rows) -> CandleResult<Tensor> {
        let inputs = self.embeddings.item_inputs(rows)?;
        let first = self.first.of_items(inputs.as_ref(), rows.len)?;
        before(first, inputs)
    }

    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let first = |part: &Tensor| part.narrow(1, 0, self.first_width());
        let both = (first(&pairs.user)? + first(&pairs.item)?)?;
        let hidden = self.first.add_pairs(both, pairs.features.as_ref())?;
        let x_0 = self.inputs(pairs)?;
        let inner = hidden.narrow(1, 0, self.inner_width)?.contiguous()?;
        let mut parts = vec![run_from(&self.cross, &inner, &x_0)?];
        if self.deep_width > 0 {
            let deep = hidden
                .narrow(1, self.inner_width, self.deep_width)?
                .contiguous()?;
            parts.push(relu(&run_after(&self.rest, deep)?)?);
        }
        self.logit.forward(&Tensor::cat(&parts, 1)?)?.squeeze(1)
    }
}
