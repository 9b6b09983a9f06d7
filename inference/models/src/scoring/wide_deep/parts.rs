//! Wide & Deep, taken apart for many users at once.
//!
//! What a user and an item bring is `[their part of the first deep layer, their sum of the wide part]`, so that both are added at
//! once. Crosses are hashed on the processor: tensors know no operations on bits.

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Embedding, Linear, Module};

use super::crosses::Crosses;
use super::{WideDeep, WideDeepConfig};
use crate::scoring::neural::embeddings::Embeddings;
use crate::scoring::neural::parts::{Pairs, Parts, Rows, SplitLinear, run_after};

/// The network, taken apart.
pub(crate) struct WideDeepParts {
    embeddings: Embeddings,
    first: SplitLinear,
    /// Width of the first deep layer.
    deep_width: usize,
    rest: Vec<Linear>,
    categories: Embeddings,
    numbers: SplitLinear,
    cross_weights: Option<Embedding>,
    crosses: Crosses,
}

impl WideDeep {
    /// Takes the network apart.
    pub(crate) fn into_parts(self, config: &WideDeepConfig) -> CandleResult<WideDeepParts> {
        let shape = &config.shape;
        Ok(WideDeepParts {
            first: SplitLinear::of(&self.layers[0], shape.widths(config.embedding_dim))?,
            deep_width: self.layers[0].weight().dim(0)?,
            rest: self.layers[1..].to_vec(),
            embeddings: self.embeddings,
            numbers: SplitLinear::of(&self.wide.numbers, shape.numeric_widths())?,
            categories: self.wide.categories,
            cross_weights: self.wide.cross_weights,
            crosses: self.wide.crosses,
        })
    }
}

/// Adds the weights of categories, `[rows, 1]` each.
fn add_all(mut sum: Tensor, weights: Vec<Tensor>) -> CandleResult<Tensor> {
    for weight in weights {
        sum = (sum + weight)?;
    }
    Ok(sum)
}

impl Parts for WideDeepParts {
    fn users(&self, rows: &Rows) -> CandleResult<Tensor> {
        let inputs = self.embeddings.user_inputs(rows)?;
        let deep = self.first.of_users(inputs.as_ref(), rows.len)?;
        let numbers = self.numbers.of_users(rows.numeric.as_ref(), rows.len)?;
        let wide = add_all(numbers, self.categories.of_users(rows)?)?;
        Tensor::cat(&[deep, wide], 1)
    }

    fn items(&self, rows: &Rows) -> CandleResult<Tensor> {
        let inputs = self.embeddings.item_inputs(rows)?;
        let deep = self.first.of_items(inputs.as_ref(), rows.len)?;
        let numbers = self.numbers.of_items(rows.numeric.as_ref(), rows.len)?;
        let wide = add_all(numbers, self.categories.of_items(rows)?)?;
        Tensor::cat(&[deep, wide], 1)
    }

    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor> {
        let both = (&pairs.user + &pairs.item)?;
        let features = pairs.features.as_ref();
        let hidden = both.narrow(1, 0, self.deep_width)?.contiguous()?;
        let deep = run_after(&self.rest, self.first.add_pairs(hidden, features)?)?;
        let wide = both.narrow(1, self.deep_width, 1)?.contiguous()?;
        let mut logits = (deep + self.numbers.add_pairs(wide, features)?)?;
        if let (Some(weights), Some(buckets)) = (&self.cross_weights, &pairs.places) {
            logits = (logits + weights.forward(buckets)?.sum(1)?)?;
        }
        logits.squeeze(1)
    }

    fn push_places(&self, user: &[u32], item: &[u32], out: &mut Vec<u32>) {
        self.crosses.push_buckets(user, item, out);
    }
}
