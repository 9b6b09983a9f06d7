//! A factorization machine: every input has a weight and a place, and each two of them meet in the product of their places.
//!
//! ```text
//! logit = sum w_i x_i + sum over pairs i < j of (v_i . v_j) x_i x_j
//!       = L + (|S|^2 - Q) / 2,   L = sum w_i x_i,   S = sum v_i x_i,   Q = sum |v_i|^2 x_i^2
//! ```
//!
//! Inputs are categories (`x = 1`), numbers, and one that is always 1. The second line takes as many steps as there are inputs, and `L`, `S`
//! and `Q` are sums, which split exactly into what the user, the item and the pair bring. Rendle, "Factorization machines", ICDM 2010.
//!
//! [`FactorizationMachine`] is the candle network that trains, [`FactorizationMachineScorer`] serves the same weights, and [`parts`] does so
//! for many users at once.

mod parts;
mod serving;

use candle_core::{D, Result as CandleResult, Tensor};
use candle_nn::{Linear, Module, VarBuilder};
use serde::{Deserialize, Serialize};

use super::neural::embeddings::Embeddings;
use super::neural::{Batch, InputShape, Network};

pub use serving::FactorizationMachineScorer;

/// The shape of a factorization machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorizationMachineConfig {
    /// Width of the places.
    pub dimension: usize,
    /// Its inputs.
    #[serde(flatten)]
    pub shape: InputShape,
}

impl FactorizationMachineConfig {
    /// Width of an input's place with its weight behind it.
    fn width(&self) -> usize {
        self.dimension + 1
    }
}

/// The network that trains. Of each input the place is kept with the weight behind it: `embedding.user.{column}.weight` and
/// `embedding.item.{column}.weight` (`[cardinality, dimension + 1]`), `number.weight` (`[dimension + 1, numbers]`), and `number.bias`
/// (`[dimension + 1]`) for the input that is always 1.
pub struct FactorizationMachine {
    dimension: usize,
    embeddings: Embeddings,
    numbers: Linear,
}

impl FactorizationMachine {
    /// A network of this shape, with weights from `vb`.
    pub fn new(config: &FactorizationMachineConfig, vb: VarBuilder<'_>) -> CandleResult<Self> {
        Ok(Self {
            dimension: config.dimension,
            embeddings: Embeddings::new(&config.shape, config.width(), &vb)?,
            numbers: candle_nn::linear(config.shape.numeric(), config.width(), vb.pp("number"))?,
        })
    }
}

impl Network for FactorizationMachine {
    fn forward(&self, batch: &Batch) -> CandleResult<Tensor> {
        let numbers = batch.numeric()?;
        let norms = norms(&self.numbers, self.dimension)?;
        let mut sum = self.numbers.forward(&numbers)?;
        let mut squares = numbers.sqr()?.broadcast_mul(&norms.numbers)?.sum_keepdim(1)?;
        squares = squares.broadcast_add(&norms.always)?;
        for vector in self.embeddings.vectors(batch)? {
            squares = (squares + square(&vector, self.dimension)?)?;
            sum = (sum + vector)?;
        }
        logits(&sum, &squares, self.dimension)
    }
}

/// `|v|^2` of the places of numbers, `[1, numbers]`, and of the input that is always 1, `[1, 1]`.
struct Norms {
    numbers: Tensor,
    always: Tensor,
}

fn norms(numbers: &Linear, dimension: usize) -> CandleResult<Norms> {
    let places = numbers.weight().narrow(0, 0, dimension)?;
    let always = match numbers.bias() {
        Some(bias) => bias.clone(),
        None => numbers.weight().narrow(1, 0, 1)?.zeros_like()?,
    };
    Ok(Norms {
        numbers: places.sqr()?.sum_keepdim(0)?,
        always: always
            .narrow(0, 0, dimension)?
            .sqr()?
            .sum_all()?
            .reshape((1, 1))?,
    })
}

/// `|v|^2` of rows of a place and a weight, `[rows, 1]`.
fn square(rows: &Tensor, dimension: usize) -> CandleResult<Tensor> {
    rows.narrow(1, 0, dimension)?.sqr()?.sum_keepdim(D::Minus1)
}

/// `L + (|S|^2 - Q) / 2`, `[rows]`, of `[S, L]` and `Q` (`[rows, 1]`).
fn logits(sum: &Tensor, squares: &Tensor, dimension: usize) -> CandleResult<Tensor> {
    let pairs = ((square(sum, dimension)? - squares)? * 0.5)?;
    (sum.narrow(1, dimension, 1)? + pairs)?.squeeze(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::{DType, Device};

    use super::*;

    /// Two numbers of the user, a category of the item, and the input that is always 1, each pair by itself as the paper writes it.
    #[test]
    fn it_gives_the_sum_over_all_pairs_of_inputs() {
        let config = FactorizationMachineConfig {
            dimension: 2,
            shape: InputShape {
                item_categorical: vec![3],
                user_numeric: 2,
                ..InputShape::default()
            },
        };
        let tensor =
            |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
        let category = [0.3, -0.2, 0.7];
        let table = [[0.0; 3], [0.0; 3], category].concat();
        let weights = HashMap::from([
            ("embedding.item.0.weight".to_owned(), tensor(&table, &[3, 3])),
            (
                "number.weight".to_owned(),
                tensor(&[0.5, -0.4, 0.1, 0.6, 0.2, -0.9], &[3, 2]),
            ),
            ("number.bias".to_owned(), tensor(&[0.8, 0.05, -0.3], &[3])),
        ]);
        let builder = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
        let batch = Batch {
            user_categorical: Tensor::zeros((1, 0), DType::U32, &Device::Cpu).unwrap(),
            user_numeric: tensor(&[1.5, -2.0], &[1, 2]),
            item_categorical: Tensor::new(&[[2u32]], &Device::Cpu).unwrap(),
            item_numeric: tensor(&[], &[1, 0]),
            pair: tensor(&[], &[1, 0]),
        };
        let network = FactorizationMachine::new(&config, builder).unwrap();
        let logit = network.forward(&batch).unwrap().to_vec1::<f32>().unwrap()[0];

        // A place, a weight and a value of each input.
        let inputs = [
            ([0.5, 0.1], 0.2, 1.5),
            ([-0.4, 0.6], -0.9, -2.0),
            ([0.3, -0.2], 0.7, 1.0),
            ([0.8, 0.05], -0.3, 1.0),
        ];
        let mut wanted: f32 = inputs.iter().map(|(_, weight, x)| weight * x).sum();
        for (number, (a, _, x)) in inputs.iter().enumerate() {
            for (b, _, y) in &inputs[number + 1..] {
                wanted += (a[0] * b[0] + a[1] * b[1]) * x * y;
            }
        }
        assert!((logit - wanted).abs() < 1e-5, "{logit} is not {wanted}");
    }
}
