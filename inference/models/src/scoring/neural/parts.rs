//! Networks taken apart by who brings their inputs, as tensors: how many users' candidates are scored at once.
//!
//! A first layer is a sum over its inputs, so that it splits exactly, as [`split`](super::split) splits it for one user on the
//! processor: what a user brings is worked out once for all of their candidates, what an item brings once for all users, and
//! both are gathered for each pair. The layers are those of the network that trained.
//!
//! A tensor without columns is `None`: a GPU has no memory of no size.

use candle_core::{Device, Result as CandleResult, Tensor, WithDType};
use candle_nn::{Linear, Module};

use crate::features::vocabulary::UNKNOWN;

/// A network that scores pairs of many users and many items.
pub(crate) trait Parts: Send + Sync {
    /// What each user brings, `[users, width]`.
    fn users(&self, rows: &Rows) -> CandleResult<Tensor>;

    /// What each item brings, `[items, width]`.
    fn items(&self, rows: &Rows) -> CandleResult<Tensor>;

    /// The logit of each pair, `[pairs]`.
    fn logits(&self, pairs: &Pairs) -> CandleResult<Tensor>;

    /// Adds to `out` what a pair needs that tensors can't compute: places in a table, `u32`, of the categories of its user and
    /// its item.
    fn push_places(&self, _user: &[u32], _item: &[u32], _out: &mut Vec<u32>) {}
}

/// Encoded rows of users or of items.
pub(crate) struct Rows {
    /// How many there are.
    pub(crate) len: usize,
    /// Indexes of their categories, `[rows, columns]` of `u32`.
    pub(crate) categorical: Option<Tensor>,
    /// Their numbers, `[rows, columns]` of `f32`.
    pub(crate) numeric: Option<Tensor>,
}

impl Rows {
    /// Brings rows of categories and numbers to a device, filled up to `len` with rows of zeros. A category past the end of its
    /// vocabulary is the unknown.
    pub(crate) fn upload<'a>(
        rows: impl Iterator<Item = (&'a [u32], &'a [f32])>,
        len: usize,
        vocabularies: &[usize],
        device: &Device,
    ) -> CandleResult<Self> {
        let (mut categories, mut numbers, mut width) = (Vec::new(), Vec::new(), 0);
        for (categorical, numeric) in rows {
            let columns = categorical.iter().zip(vocabularies);
            categories.extend(columns.map(|(index, size)| match (*index as usize) < *size {
                true => *index,
                false => UNKNOWN,
            }));
            numbers.extend_from_slice(numeric);
            width = numeric.len();
        }
        categories.resize(len * vocabularies.len(), 0);
        numbers.resize(len * width, 0.0);
        Ok(Self {
            len,
            categorical: upload(categories, len, device)?,
            numeric: upload(numbers, len, device)?,
        })
    }
}

/// Pairs of a user and an item.
pub(crate) struct Pairs {
    /// What the user of each brings, `[pairs, width]`.
    pub(crate) user: Tensor,
    /// What the item of each brings, `[pairs, width]`.
    pub(crate) item: Tensor,
    /// Their features, `[pairs, columns]`.
    pub(crate) features: Option<Tensor>,
    /// What [`Parts::push_places`] gave for each, `[pairs, places]`.
    pub(crate) places: Option<Tensor>,
}

/// Brings `rows` rows of values to a device.
pub(crate) fn upload<T: WithDType>(
    values: Vec<T>,
    rows: usize,
    device: &Device,
) -> CandleResult<Option<Tensor>> {
    match values.len() / rows.max(1) {
        0 => Ok(None),
        columns => Tensor::from_vec(values, (rows, columns), device).map(Some),
    }
}

/// Tensors of as many rows side by side.
pub(crate) fn side_by_side(parts: &[Tensor]) -> CandleResult<Option<Tensor>> {
    match parts.is_empty() {
        true => Ok(None),
        false => Tensor::cat(parts, 1).map(Some),
    }
}

/// Runs the layers that follow one whose output is `x`, with ReLU between all of them.
pub(crate) fn run_after(layers: &[Linear], mut x: Tensor) -> CandleResult<Tensor> {
    for layer in layers {
        x = layer.forward(&relu(&x)?)?;
    }
    Ok(x)
}

/// `max(x, 0)`; what is no number stays none, as in the processor's kernels, where candle's own makes 0 of it: a user or an item of
/// which no number can be made must be told.
pub(crate) fn relu(x: &Tensor) -> CandleResult<Tensor> {
    (x + x.abs()?)? * 0.5
}

/// A layer, a matrix for each group of its inputs, each `[inputs, outputs]`.
pub(crate) struct SplitLinear {
    user: Option<Tensor>,
    item: Option<Tensor>,
    pair: Option<Tensor>,
    /// `[outputs]`.
    bias: Tensor,
}

impl SplitLinear {
    /// Splits a layer. `widths` are the numbers of its inputs that the user, the item and the pair bring, in this order.
    pub(crate) fn of(layer: &Linear, widths: [usize; 3]) -> CandleResult<Self> {
        let weight = layer.weight();
        let part = |first: usize, width: usize| match width {
            0 => Ok(None),
            _ => weight.narrow(1, first, width)?.t()?.contiguous().map(Some),
        };
        let [user, item, pair] = widths;
        Ok(Self {
            user: part(0, user)?,
            item: part(user, item)?,
            pair: part(user + item, pair)?,
            bias: match layer.bias() {
                Some(bias) => bias.clone(),
                None => Tensor::zeros(weight.dim(0)?, weight.dtype(), weight.device())?,
            },
        })
    }

    /// What users bring, and the bias, `[rows, outputs]`, of their inputs (`[rows, inputs]`).
    pub(crate) fn of_users(&self, inputs: Option<&Tensor>, rows: usize) -> CandleResult<Tensor> {
        self.product(self.user.as_ref(), inputs, rows)?
            .broadcast_add(&self.bias)
    }

    /// What items bring, `[rows, outputs]`, of their inputs (`[rows, inputs]`).
    pub(crate) fn of_items(&self, inputs: Option<&Tensor>, rows: usize) -> CandleResult<Tensor> {
        self.product(self.item.as_ref(), inputs, rows)
    }

    /// Adds what pairs bring by their features to what their users and items do.
    pub(crate) fn add_pairs(&self, sum: Tensor, features: Option<&Tensor>) -> CandleResult<Tensor> {
        match (&self.pair, features) {
            (Some(weight), Some(features)) => sum + features.matmul(weight)?,
            _ => Ok(sum),
        }
    }

    fn product(&self, weight: Option<&Tensor>, inputs: Option<&Tensor>, rows: usize) -> CandleResult<Tensor> {
        match (weight, inputs) {
            (Some(weight), Some(inputs)) => inputs.matmul(weight),
            _ => Tensor::zeros((rows, self.bias.dim(0)?), self.bias.dtype(), self.bias.device()),
        }
    }
}
