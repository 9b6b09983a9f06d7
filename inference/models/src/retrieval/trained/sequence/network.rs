//! The network that trains: many users at once, in candle.

use std::collections::HashMap;

use candle_core::{D, DType, Result as CandleResult, Tensor};
use candle_nn::ops::{layer_norm_slow, softmax};

use super::block::EPSILON;
use super::{PLACES, POSITIONS, SequenceShape};

/// What makes a look vanish in a softmax.
const NEVER: f64 = -1e9;

/// A sequence tower over tensors by their names.
pub struct SequenceNetwork {
    shape: SequenceShape,
    tensors: HashMap<String, Tensor>,
    /// `[length, length]`: 0 where a position may look, far below where it would look ahead.
    ahead: Tensor,
}

impl SequenceNetwork {
    /// A network of every tensor of [`SequenceShape::tensors`]; fails where one is missing.
    pub fn new(shape: SequenceShape, tensors: HashMap<String, Tensor>) -> CandleResult<Self> {
        let positions = named(&tensors, POSITIONS)?;
        let length = shape.length;
        let places = 0..length * length;
        let ahead = places.map(|place| {
            if place % length > place / length {
                NEVER as f32
            } else {
                0.0
            }
        });
        let ahead: Vec<f32> = ahead.collect();
        Ok(Self {
            ahead: Tensor::from_vec(ahead, (length, length), positions.device())?,
            shape,
            tensors,
        })
    }

    /// The place of every item, `[items, width]`.
    pub fn places(&self) -> CandleResult<&Tensor> {
        named(&self.tensors, PLACES)
    }

    /// The places of what comes next at every position, `[batch, length, width]`. `items` is `[batch, length]` of `u32`, the latest at the
    /// last position; `there` is `[batch, length]` of `f32`, 1 where a position has an item and 0 before the first. `drop` is given what
    /// training may spoil, so that the network leans on no single value.
    pub fn forward(
        &self,
        items: &Tensor,
        there: &Tensor,
        drop: &mut dyn FnMut(Tensor) -> CandleResult<Tensor>,
    ) -> CandleResult<Tensor> {
        let (batch, length) = items.dims2()?;
        let width = self.shape.width;
        let places = self.places()?.index_select(&items.flatten_all()?, 0)?;
        let places = (places.reshape((batch, length, width))? * (width as f64).sqrt())?;
        let mut x = drop(places.broadcast_add(named(&self.tensors, POSITIONS)?)?)?;
        let absent = ((there - 1.0)? * -NEVER)?.reshape((batch, 1, 1, length))?;
        let hidden = absent.broadcast_add(&self.ahead)?;
        for number in 0..self.shape.blocks {
            let name = |layer: &str| format!("block.{number}.{layer}");
            let attended = self.attend(&self.norm(&name("attention.norm"), &x)?, &hidden, number)?;
            x = (x + drop(attended)?)?;
            let layers = self.linear(&name("layers.0"), &self.norm(&name("layers.norm"), &x)?)?;
            x = (x + drop(self.linear(&name("layers.1"), &layers.relu()?)?)?)?;
        }
        self.norm("norm", &x)
    }

    /// What every position sees; `hidden` is added to how much it looks at each.
    fn attend(&self, x: &Tensor, hidden: &Tensor, number: usize) -> CandleResult<Tensor> {
        let (batch, length, width) = x.dims3()?;
        let heads = self.shape.heads;
        let inputs = self.linear(&format!("block.{number}.attention.input"), x)?;
        let part = |kind: usize| {
            let part = inputs.narrow(D::Minus1, kind * width, width)?;
            let heads = part.reshape((batch, length, heads, width / heads))?;
            heads.transpose(1, 2)?.contiguous()
        };
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let looks = (queries.matmul(&keys.t()?)? / ((width / heads) as f64).sqrt())?;
        let looks = softmax(&looks.broadcast_add(hidden)?, D::Minus1)?;
        let seen = looks
            .matmul(&values)?
            .transpose(1, 2)?
            .reshape((batch, length, width))?;
        self.linear(&format!("block.{number}.attention.output"), &seen)
    }

    fn norm(&self, name: &str, x: &Tensor) -> CandleResult<Tensor> {
        let [weight, bias] = self.layer(name)?;
        // The quick kernel has no gradient.
        layer_norm_slow(x, weight, bias, EPSILON)
    }

    fn linear(&self, name: &str, x: &Tensor) -> CandleResult<Tensor> {
        let [weight, bias] = self.layer(name)?;
        let (batch, length, width) = x.dims3()?;
        let rows = x.reshape((batch * length, width))?.matmul(&weight.t()?)?;
        rows.broadcast_add(bias)?.reshape((batch, length, ()))
    }

    fn layer(&self, name: &str) -> CandleResult<[&Tensor; 2]> {
        let of = |part: &str| named(&self.tensors, &format!("{name}.{part}"));
        Ok([of("weight")?, of("bias")?])
    }
}

fn named<'a>(tensors: &'a HashMap<String, Tensor>, name: &str) -> CandleResult<&'a Tensor> {
    match tensors.get(name) {
        Some(tensor) if tensor.dtype() == DType::F32 => Ok(tensor),
        _ => candle_core::bail!("tensor {name} is missing, or not of F32"),
    }
}
