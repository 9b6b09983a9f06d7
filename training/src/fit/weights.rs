//! Seeded first weights, so that the same seed gives the same model.
//!
//! candle's generator on the processor can't be seeded, so the weights that a network was made with are
//! replaced.

use candle_core::{Result as CandleResult, Tensor, Var};
use candle_nn::VarMap;
use rand::distr::{Distribution, Uniform};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Standard deviation of a fresh embedding.
const EMBEDDING_DEVIATION: f64 = 0.05;

/// Replaces every weight: embeddings by small normal numbers, linear layers by uniform ones within `1 /
/// sqrt(inputs)`.
pub(super) fn seed(weights: &VarMap, seed: u64) -> CandleResult<()> {
    let variables = weights
        .data()
        .lock()
        .expect("no thread panicked with the weights in hand");
    let mut names: Vec<&String> = variables.keys().collect();
    names.sort();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for name in names {
        let variable = &variables[name];
        let count = variable.elem_count();
        let values: Vec<f32> = if name.contains("embedding") {
            (0..count)
                .map(|_| (normal(&mut rng) * EMBEDDING_DEVIATION) as f32)
                .collect()
        } else {
            let inputs = fan_in(&variables, name) as f32;
            let bound = 1.0 / inputs.max(1.0).sqrt();
            let uniform = Uniform::new_inclusive(-bound, bound).expect("the bounds are finite and in order");
            (0..count).map(|_| uniform.sample(&mut rng)).collect()
        };
        variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
    }
    Ok(())
}

/// All weights, in the order of their names.
pub(super) fn in_order(weights: &VarMap) -> Vec<Var> {
    let variables = weights
        .data()
        .lock()
        .expect("no thread panicked with the weights in hand");
    let mut named: Vec<(&String, &Var)> = variables.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    named.into_iter().map(|(_, variable)| variable.clone()).collect()
}

/// Number of inputs of the layer that a weight or a bias belongs to.
fn fan_in(variables: &std::collections::HashMap<String, Var>, name: &str) -> usize {
    let weight = name
        .strip_suffix(".bias")
        .map_or(name.to_owned(), |layer| format!("{layer}.weight"));
    variables
        .get(&weight)
        .and_then(|weight| weight.dims().last().copied())
        .unwrap_or(1)
}

/// A normal number, by Box and Muller.
fn normal(rng: &mut impl rand::Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}
