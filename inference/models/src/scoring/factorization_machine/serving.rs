//! A factorization machine as it is served.
//!
//! `S` and `L` are a linear layer of all inputs side by side, so that they split as the first layer of an MLP does; behind its share of them,
//! an item's block has its share of `Q`.

use std::path::Path;

use super::FactorizationMachineConfig;
use crate::dense::{Activation, Matrix, Weights, WeightsError};
use crate::features::EncodedTable;
use crate::scoring::neural::InputShape;
use crate::scoring::neural::embeddings::EmbeddingTables;
use crate::scoring::neural::split::{Chunk, FirstLayer, Head, HeadBuffers, SplitScorer};

/// A factorization machine that serves.
pub type FactorizationMachineScorer = SplitScorer<Squares>;

/// `Q`, and what makes a logit of the three sums.
pub struct Squares {
    dimension: usize,
    /// `|v|^2` of each of the user's numbers, the item's and the pair's.
    user: Vec<f32>,
    item: Vec<f32>,
    pair: Vec<f32>,
    /// `|v|^2` of the input that is always 1.
    always: f32,
    user_columns: usize,
    item_columns: usize,
}

impl FactorizationMachineScorer {
    /// Reads the weights that [`super::FactorizationMachine`] left.
    pub fn load(path: &Path, config: &FactorizationMachineConfig) -> Result<Self, WeightsError> {
        let weights = Weights::read(path)?;
        let (shape, width) = (&config.shape, config.width());
        if config.dimension == 0 {
            let problem = "has places of width 0 by its configuration".to_owned();
            return Err(weights.wrong("number.weight", problem));
        }
        let tables = EmbeddingTables::load(&weights, "", shape, width)?;
        let numbers = weights.tensor("number.weight", &[width, shape.numeric()])?;
        let always = weights.tensor("number.bias", &[width])?;
        let sums = FirstLayer::split(
            &sums(shape, width, &numbers),
            &always,
            shape,
            width,
            Activation::None,
        );
        let squares = Squares::new(config, &numbers, &always);
        Ok(Self::new(shape.clone(), tables, sums, squares))
    }
}

/// The layer that gives `[S, L]` of all inputs side by side: a category's vector as it is, a number's times the number.
fn sums(shape: &InputShape, width: usize, numbers: &[f32]) -> Matrix {
    let mut rows = Vec::new();
    let mut number = 0;
    let mut push_numbers = |count: usize, rows: &mut Vec<f32>| {
        for at in number..number + count {
            rows.extend((0..width).map(|output| numbers[output * shape.numeric() + at]));
        }
        number += count;
    };
    let push_categories = |columns: usize, rows: &mut Vec<f32>| {
        for place in 0..columns * width {
            rows.extend((0..width).map(|output| if output == place % width { 1.0 } else { 0.0 }));
        }
    };
    push_categories(shape.user_categorical.len(), &mut rows);
    push_numbers(shape.user_numeric, &mut rows);
    push_categories(shape.item_categorical.len(), &mut rows);
    push_numbers(shape.item_numeric + shape.pair, &mut rows);
    Matrix::new(shape.width(width), width, &rows)
}

impl Squares {
    fn new(config: &FactorizationMachineConfig, numbers: &[f32], always: &[f32]) -> Self {
        let FactorizationMachineConfig { dimension, shape } = config;
        let count = shape.numeric();
        let norm = |number: usize| -> f32 {
            (0..*dimension)
                .map(|output| numbers[output * count + number].powi(2))
                .sum()
        };
        let norms: Vec<f32> = (0..count).map(norm).collect();
        let (user, others) = norms.split_at(shape.user_numeric);
        let (item, pair) = others.split_at(shape.item_numeric);
        Self {
            dimension: *dimension,
            user: user.to_vec(),
            item: item.to_vec(),
            pair: pair.to_vec(),
            always: square(&always[..*dimension]),
            user_columns: shape.user_categorical.len(),
            item_columns: shape.item_categorical.len(),
        }
    }

    /// `Q` of some columns' vectors and the numbers behind them, side by side.
    fn of(&self, input: &[f32], columns: usize, norms: &[f32]) -> f32 {
        let width = self.dimension + 1;
        let (vectors, numbers) = input.split_at(columns * width);
        let places = vectors
            .chunks_exact(width)
            .map(|vector| &vector[..self.dimension]);
        places.map(square).sum::<f32>() + of_numbers(numbers, norms)
    }
}

impl Head for Squares {
    fn block_width(&self) -> usize {
        1
    }

    fn prepare(&self, _: &EncodedTable, _: usize, input: &[f32], out: &mut [f32]) {
        out[0] = self.of(input, self.item_columns, &self.item);
    }

    fn logits(&self, chunk: Chunk<'_>, hidden: &mut Vec<f32>, head_buffers: &mut HeadBuffers) {
        let user = self.always + self.of(chunk.user_input, self.user_columns, &self.user);
        let logits = &mut head_buffers.first;
        logits.clear();
        let sums = hidden.chunks_exact(self.dimension + 1);
        for (sums, (block, features)) in sums.zip(chunk.candidates()) {
            let squares = user + block[0] + of_numbers(features, &self.pair);
            let (places, weights) = sums.split_at(self.dimension);
            logits.push(weights[0] + 0.5 * (square(places) - squares));
        }
        std::mem::swap(hidden, logits);
    }
}

/// `|v|^2`.
fn square(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum()
}

/// `Q` of numbers by the norms of their places.
fn of_numbers(numbers: &[f32], norms: &[f32]) -> f32 {
    let pairs = numbers.iter().zip(norms);
    pairs.map(|(number, norm)| number * number * norm).sum()
}

#[cfg(test)]
mod tests {
    use candle_nn::VarBuilder;

    use super::super::FactorizationMachine;
    use super::*;
    use crate::scoring::neural::tests::{check_refused, check_serving, shape};

    fn small() -> FactorizationMachineConfig {
        FactorizationMachineConfig {
            dimension: 8,
            shape: shape(),
        }
    }

    #[track_caller]
    fn check(config: FactorizationMachineConfig) {
        let load = |path: &Path| FactorizationMachineScorer::load(path, &config);
        check_serving(
            &config.shape,
            |vb| FactorizationMachine::new(&config, vb),
            |network| network.into_parts(&config),
            load,
        );
    }

    #[test]
    fn serving_gives_what_training_gave() {
        check(small());
        check(FactorizationMachineConfig {
            dimension: 1,
            shape: InputShape { pair: 0, ..shape() },
        });
    }

    #[test]
    fn weights_that_cannot_serve_are_refused_by_name() {
        let network = |vb: VarBuilder<'_>| FactorizationMachine::new(&small(), vb).map(drop);
        let load = |dimension: usize| {
            move |path: &Path| {
                let config = FactorizationMachineConfig { dimension, ..small() };
                FactorizationMachineScorer::load(path, &config).map(drop)
            }
        };
        let nan = Some(("number.bias", f32::NAN));
        check_refused(network, nan, load(8), "tensor number.bias has NaN at position 0");
        check_refused(network, None, load(9), "tensor embedding.user.0.weight is F32 of");
        check_refused(network, None, load(0), "has places of width 0");
    }
}
