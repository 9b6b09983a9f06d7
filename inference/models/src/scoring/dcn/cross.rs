//! Cross layers: `y = x_0 * inner(x) + x`, where `*` is element by element.
//!
//! | kind | inner(x) | weights below `cross.{layer}` |
//! |---|---|---|
//! | full (DCN v2) | `W x + b` | `weight` `[width, width]`, `bias` `[width]` |
//! | low rank (DCN v2) | `U (V x) + b` | `v.weight` `[rank, width]`, `u.weight` `[width, rank]`, `u.bias` `[width]` |
//! | vector (DCN v1) | `w . x`, and `b` is added to y | `weight` `[1, width]`, `bias` `[width]` |

use candle_core::{Result as CandleResult, Tensor};
use candle_nn::{Init, Linear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::dense::{self, Matrix, Weights, WeightsError};

/// What cross layers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cross {
    /// DCN v2: a full matrix.
    Full,
    /// DCN v2: a matrix of this rank.
    LowRank(usize),
    /// DCN v1: a vector.
    Vector,
}

/// A layer that trains.
pub enum CrossLayer {
    /// `W` and `b`.
    Full(Linear),
    /// `V`, then `U` and `b`.
    LowRank(Linear, Linear),
    /// `w` and `b`.
    Vector(Linear, Tensor),
}

impl CrossLayer {
    /// A layer of this width, with weights from `vb`.
    pub fn new(cross: Cross, width: usize, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(match cross {
            Cross::Full => Self::Full(candle_nn::linear(width, width, vb)?),
            Cross::LowRank(rank) => Self::LowRank(
                candle_nn::linear_no_bias(width, rank, vb.pp("v"))?,
                candle_nn::linear(rank, width, vb.pp("u"))?,
            ),
            Cross::Vector => Self::Vector(
                candle_nn::linear_no_bias(width, 1, vb.clone())?,
                vb.get_with_hints(width, "bias", Init::Const(0.0))?,
            ),
        })
    }

    fn forward(&self, x_0: &Tensor, x: &Tensor) -> CandleResult<Tensor> {
        self.finish(&self.map().forward(x)?, x_0, x)
    }

    /// The linear map that comes first, to the layer's inner width.
    pub(super) fn map(&self) -> &Linear {
        match self {
            Self::Full(map) | Self::LowRank(map, _) | Self::Vector(map, _) => map,
        }
    }

    /// The layer's output; `inner` is what the linear map makes of `x`.
    fn finish(&self, inner: &Tensor, x_0: &Tensor, x: &Tensor) -> CandleResult<Tensor> {
        match self {
            Self::Full(_) => (x_0 * inner)? + x,
            Self::LowRank(_, u) => (x_0 * u.forward(inner)?)? + x,
            Self::Vector(_, bias) => x_0.broadcast_mul(inner)?.broadcast_add(bias)? + x,
        }
    }
}

/// Runs layers after one another, from `x_0` (`[batch, width]`).
pub fn run(layers: &[CrossLayer], x_0: &Tensor) -> CandleResult<Tensor> {
    let mut x = x_0.clone();
    for layer in layers {
        x = layer.forward(x_0, &x)?;
    }
    Ok(x)
}

/// Runs layers after one another, where `inner` is what the linear map of the first makes of `x_0`.
pub(super) fn run_from(layers: &[CrossLayer], inner: &Tensor, x_0: &Tensor) -> CandleResult<Tensor> {
    let mut x = layers[0].finish(inner, x_0, x_0)?;
    for layer in &layers[1..] {
        x = layer.forward(x_0, &x)?;
    }
    Ok(x)
}

/// The same weights, for serving: a layer is a linear map to its inner width, and what is made of that.
pub(super) struct ServedLayer {
    /// The linear map, `[width, inner width]`, and its bias.
    pub(super) map: dense::Linear,
    pub(super) rest: Rest,
}

/// What follows the linear map.
pub(super) enum Rest {
    Full,
    LowRank(dense::Linear),
    Vector(Vec<f32>),
}

impl ServedLayer {
    /// Reads the weights that [`CrossLayer`] left under `name`.
    pub(super) fn load(
        weights: &Weights,
        name: &str,
        cross: Cross,
        width: usize,
    ) -> Result<Self, WeightsError> {
        let unbiased = |name: &str, outputs: usize| {
            let values = weights.tensor(&format!("{name}.weight"), &[outputs, width])?;
            Ok(dense::Linear::of(
                Matrix::transposed(width, outputs, &values),
                vec![0.0; outputs],
            ))
        };
        Ok(match cross {
            Cross::Full => Self {
                map: weights.linear(name, width, width)?,
                rest: Rest::Full,
            },
            Cross::LowRank(rank) => Self {
                map: unbiased(&format!("{name}.v"), rank)?,
                rest: Rest::LowRank(weights.linear(&format!("{name}.u"), rank, width)?),
            },
            Cross::Vector => Self {
                map: unbiased(name, 1)?,
                rest: Rest::Vector(weights.tensor(&format!("{name}.bias"), &[width])?),
            },
        })
    }

    /// Turns `x` into the layer's output; `inner` is what the linear map makes of it, `[rows, inner width]`.
    /// `x_0` and `x` are `[rows, width]`.
    pub(super) fn finish(&self, inner: &[f32], spare: &mut Vec<f32>, x_0: &[f32], x: &mut [f32]) {
        let width = self.map.input().max(1);
        match &self.rest {
            Rest::Full => add_products(inner, x_0, x),
            Rest::LowRank(u) => {
                u.batch(x.len() / width, inner, spare);
                add_products(spare, x_0, x);
            }
            Rest::Vector(bias) => {
                let rows = x.chunks_exact_mut(width).zip(x_0.chunks_exact(width));
                for ((x, x_0), factor) in rows.zip(inner.iter()) {
                    for ((x, x_0), bias) in x.iter_mut().zip(x_0).zip(bias) {
                        *x += x_0 * factor + bias;
                    }
                }
            }
        }
    }
}

/// The last layer and the logit `l . y` of its output `y`, as a linear layer of `x_0`: it gives a vector and, behind it, a number,
/// and the logit is the number and the product of the vector with the layer's input `x`.
///
/// With `W` for the product of a layer's matrices, `l . y = x . (x_0 diag(l) W + l) + x_0 . (l * b)`: a matrix is in the way of `x_0`,
/// which splits between user, item and pair, and none in the way of `x`, which does not. In version 1 all rows of `W` are `w`, and
/// `l . b` is a number.
pub(super) fn last_with_logit(
    weights: &Weights,
    name: &str,
    cross: Cross,
    logit: &[f32],
) -> Result<dense::Linear, WeightsError> {
    let width = logit.len();
    let tensor = |part: &str, shape: [usize; 2]| weights.tensor(&format!("{name}.{part}"), &shape);
    let vector = |part: &str| weights.tensor(&format!("{name}.{part}"), &[width]);
    let (matrix, multiplied, added) = match cross {
        Cross::Full => (tensor("weight", [width, width])?, vector("bias")?, 0.0),
        Cross::LowRank(rank) => {
            let (v, u) = (
                tensor("v.weight", [rank, width])?,
                tensor("u.weight", [width, rank])?,
            );
            (product(&u, &v, rank, width), vector("u.bias")?, 0.0)
        }
        Cross::Vector => {
            let (row, bias) = (tensor("weight", [1, width])?, vector("bias")?);
            (row.repeat(width), vec![0.0; width], dot(logit, &bias))
        }
    };
    let mut of_x_0 = Vec::with_capacity(width * (width + 1));
    for ((row, bias), l) in matrix.chunks_exact(width).zip(&multiplied).zip(logit) {
        of_x_0.extend(row.iter().chain([bias]).map(|weight| l * weight));
    }
    let start = logit.iter().copied().chain([added]).collect();
    Ok(dense::Linear::of(Matrix::new(width, width + 1, &of_x_0), start))
}

/// The product of `[width, rank]` and `[rank, width]`, row-major.
fn product(u: &[f32], v: &[f32], rank: usize, width: usize) -> Vec<f32> {
    let mut product = vec![0.0; width * width];
    for (row, u) in product.chunks_exact_mut(width).zip(u.chunks_exact(rank)) {
        for (u, v) in u.iter().zip(v.chunks_exact(width)) {
            row.iter_mut().zip(v).for_each(|(sum, v)| *sum += u * v);
        }
    }
    product
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `x += a * b`, element by element.
fn add_products(a: &[f32], b: &[f32], x: &mut [f32]) {
    for ((x, a), b) in x.iter_mut().zip(a).zip(b) {
        *x += a * b;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use candle_core::{DType, Device};

    use super::*;
    use crate::scoring::neural::tests::{expected, fixture};

    /// The samples' weights of three layers under our names; biases are common to all kinds.
    fn layers(
        kind: &str,
        rename: impl Fn(usize, &str, &Tensor) -> Vec<(String, Tensor)>,
    ) -> HashMap<String, Tensor> {
        let samples = candle_core::safetensors::load(fixture("dcn.safetensors"), &Device::Cpu).unwrap();
        let mut renamed = HashMap::new();
        for (name, tensor) in &samples {
            let parts: Vec<&str> = name.split('.').collect();
            match parts[..] {
                [found, layer] | [found, layer, _] if found == kind || found == "b" => {
                    let part = if found == "b" { "b" } else { parts[2] };
                    renamed.extend(rename(layer.parse().unwrap(), part, tensor));
                }
                _ => {}
            }
        }
        renamed
    }

    /// Both the layers that train and those that serve give what the samples say.
    #[track_caller]
    fn check(cross: Cross, kind: &str, output: &str, rename: impl Fn(&str) -> &'static str) {
        let weights = layers(kind, |layer, part, tensor| {
            let name = format!("cross.{layer}.{}", rename(part));
            // v1's weights are columns in the samples.
            let tensor = match (cross, part) {
                (Cross::Vector, "w") => tensor.t().unwrap().contiguous().unwrap(),
                _ => tensor.clone(),
            };
            vec![(name, tensor)]
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        candle_core::safetensors::save(&weights, &path).unwrap();

        let samples = candle_core::safetensors::load(fixture("dcn.safetensors"), &Device::Cpu).unwrap();
        let (rows, width) = samples["x"].dims2().unwrap();
        let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let trained: Vec<CrossLayer> = (0..3)
            .map(|layer| CrossLayer::new(cross, width, vb.pp("cross").pp(layer)).unwrap())
            .collect();
        let trained = run(&trained, &samples["x"]).unwrap();
        close(&trained.flatten_all().unwrap().to_vec1().unwrap(), output);
        let x_0: Vec<f32> = samples["x"].flatten_all().unwrap().to_vec1().unwrap();
        close(&serve(&path, cross, rows, width, &x_0), output);
    }

    fn serve(path: &Path, cross: Cross, rows: usize, width: usize, x_0: &[f32]) -> Vec<f32> {
        let weights = Weights::read(path).unwrap();
        let (mut x, mut inner, mut spare) = (x_0.to_vec(), Vec::new(), Vec::new());
        for layer in 0..3 {
            let layer = ServedLayer::load(&weights, &format!("cross.{layer}"), cross, width).unwrap();
            layer.map.batch(rows, &x, &mut inner);
            layer.finish(&inner, &mut spare, x_0, &mut x);
        }
        x
    }

    #[track_caller]
    fn close(found: &[f32], output: &str) {
        let rows = expected()["dcn"][output].as_array().unwrap().clone();
        let wanted: Vec<f64> = rows
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .map(|value| value.as_f64().unwrap())
            .collect();
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            let difference = (f64::from(*found) - wanted).abs();
            assert!(
                difference < 1e-6 * wanted.abs().max(1.0),
                "{found} is not {wanted}"
            );
        }
    }

    #[test]
    fn cross_layers_give_what_torch_gave() {
        check(Cross::Full, "v2", "v2_full", |part| match part {
            "w" => "weight",
            _ => "bias",
        });
        check(Cross::LowRank(4), "v2lr", "v2_lowrank", |part| match part {
            "u" => "u.weight",
            "v" => "v.weight",
            _ => "u.bias",
        });
        check(Cross::Vector, "v1", "v1", |part| match part {
            "w" => "weight",
            _ => "bias",
        });
    }
}
