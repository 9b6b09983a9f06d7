//! Random values with the distributions of a shop's.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SEED: u64 = 11;

/// A generator for one purpose, so that a change to one part leaves the others as they are.
pub(super) fn rng(purpose: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(SEED + purpose)
}

/// Mean 0, deviation 1.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let (radius, angle): (f32, f32) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()
}

/// `count` normal values of this deviation.
pub(super) fn normals(rng: &mut ChaCha8Rng, count: usize, deviation: f32) -> Vec<f32> {
    (0..count).map(|_| normal(rng) * deviation).collect()
}

/// Mean 40, deviation 28: a gamma distribution, as amounts and counts have it.
pub(super) fn amount(rng: &mut ChaCha8Rng) -> f64 {
    let exponential = |rng: &mut ChaCha8Rng| -(1.0 - rng.random::<f64>()).ln();
    20.0 * (exponential(rng) + exponential(rng))
}

/// One of `values`: few of them are frequent.
pub(super) fn category(rng: &mut ChaCha8Rng, values: usize) -> usize {
    let pareto = (1.0 - rng.random::<f64>()).powf(-1.0 / 1.1) - 1.0;
    ((pareto * values as f64 * 0.08) as usize).min(values - 1)
}

/// Vectors of length 1 in `centres` clusters, which are in a subspace of `intrinsic` dimensions spanned by `basis`
/// (`[intrinsic, dimension]`).
pub(super) fn clustered(
    rng: &mut ChaCha8Rng,
    count: usize,
    basis: &[f32],
    intrinsic: usize,
    centres: usize,
) -> Vec<f32> {
    let dimension = basis.len() / intrinsic;
    let centres: Vec<Vec<f32>> = (0..centres).map(|_| normals(rng, intrinsic, 1.0)).collect();
    let mut inner = Vec::with_capacity(count * intrinsic);
    for _ in 0..count {
        let center = &centres[rng.random_range(0..centres.len())];
        inner.extend(center.iter().map(|value| value + 0.55 * normal(rng)));
    }
    let mut vectors = normals(rng, count * dimension, 0.05);
    for (vector, inner) in vectors
        .chunks_exact_mut(dimension)
        .zip(inner.chunks_exact(intrinsic))
    {
        for (x, direction) in inner.iter().zip(basis.chunks_exact(dimension)) {
            vector
                .iter_mut()
                .zip(direction)
                .for_each(|(value, step)| *value += x * step);
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vectors
}

/// Rows of length about 1, `[intrinsic, dimension]`.
pub(super) fn basis(intrinsic: usize, dimension: usize) -> Vec<f32> {
    normals(
        &mut rng(100),
        intrinsic * dimension,
        1.0 / (dimension as f32).sqrt(),
    )
}
