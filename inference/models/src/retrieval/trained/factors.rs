//! A place of every item, and a user's place found at request time from what they bought.
//!
//! Implicit ALS (Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008): the user's place `x`
//! is the one that explains best what was bought and, with less confidence, what was not. For the items' places `Y` it solves
//! `(YᵀY + Σ (c - 1) y yᵀ + λ I) x = Σ c y` over the items bought, with the confidence `c = 1 + α log2(1 + count)`. Places that BPR made are
//! asked the same way.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Bought;
use crate::dense::{Weights, WeightsError, inner_products};

/// How a user's place is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldIn {
    /// λ: how strongly a place is held back.
    pub regularization: f32,
    /// α: how much surer one purchase makes.
    pub confidence: f32,
}

/// The places of items.
#[derive(Debug)]
pub struct Factors {
    dimension: usize,
    fold_in: FoldIn,
    /// `[items, dimension]`, row-major.
    places: Vec<f32>,
    /// `YᵀY + λ I`, `[dimension, dimension]`.
    everything: Vec<f32>,
}

impl Factors {
    /// Takes the places of items, `[items, dimension]`, row-major.
    pub fn new(places: Vec<f32>, dimension: usize, fold_in: FoldIn) -> Self {
        assert!(
            dimension > 0 && places.len().is_multiple_of(dimension),
            "places of one width"
        );
        let mut everything = gram(&places, dimension);
        add_to_diagonal(&mut everything, dimension, fold_in.regularization);
        Self {
            dimension,
            fold_in,
            places,
            everything,
        }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        self.places.len() / self.dimension
    }

    /// How a user's place is found.
    pub fn fold_in(&self) -> FoldIn {
        self.fold_in
    }

    /// The place of a user who bought these; the origin for one who bought nothing.
    pub fn place(&self, bought: &[Bought]) -> Vec<f32> {
        let width = self.dimension;
        let mut matrix = self.everything.clone();
        let mut place = vec![0.0; width];
        for bought in bought {
            let item = &self.places[bought.item as usize * width..][..width];
            let more = confidence(self.fold_in.confidence, bought.count);
            // What solves reads what is left of the diagonal alone.
            for (place, line) in matrix.chunks_exact_mut(width).enumerate() {
                let scaled = more * item[place];
                for (sum, other) in line[..=place].iter_mut().zip(item) {
                    *sum += scaled * other;
                }
            }
            for (sum, value) in place.iter_mut().zip(item) {
                *sum += (1.0 + more) * value;
            }
        }
        solve(&mut matrix, &mut place);
        place
    }

    pub(super) fn score(&self, bought: &[Bought], scores: &mut [f32]) {
        if !bought.is_empty() {
            inner_products(&self.places, &self.place(bought), scores);
        }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), WeightsError> {
        Weights::write(path, &[("places", self.places.as_slice().into())])
    }

    pub(super) fn load(weights: &Weights, items: usize, fold_in: FoldIn) -> Result<Self, WeightsError> {
        let places = weights.all_values("places")?;
        if items == 0 || places.is_empty() || !places.len().is_multiple_of(items) {
            let problem = format!("has {} values for {items} items", places.len());
            return Err(weights.wrong("places", problem));
        }
        let dimension = places.len() / items;
        Ok(Self::new(places, dimension, fold_in))
    }
}

/// How much surer it is that a user likes what they bought so often: `α log2(1 + count)`, so that one purchase counts α.
pub fn confidence(alpha: f32, count: f32) -> f32 {
    alpha * (1.0 + count.max(0.0)).log2()
}

/// `rowsᵀ rows`, `[width, width]`, of rows of this width.
pub fn gram(rows: &[f32], width: usize) -> Vec<f32> {
    let mut gram = vec![0.0; width * width];
    for row in rows.chunks_exact(width) {
        add_outer(&mut gram, row, 1.0);
    }
    gram
}

/// `matrix += value I`, `[width, width]`.
pub fn add_to_diagonal(matrix: &mut [f32], width: usize, value: f32) {
    for place in 0..width {
        matrix[place * width + place] += value;
    }
}

/// `matrix += scale * row rowᵀ`.
fn add_outer(matrix: &mut [f32], row: &[f32], scale: f32) {
    for (line, value) in matrix.chunks_exact_mut(row.len()).zip(row) {
        let scaled = scale * value;
        for (sum, other) in line.iter_mut().zip(row) {
            *sum += scaled * other;
        }
    }
}

/// The inner product of two vectors of one length, summed in lanes, so that it takes a quarter of the time or less.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (whole, rest) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (of_a, of_b) = (whole.remainder(), rest.remainder());
    for (a, b) in whole.zip(rest) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let last: f32 = of_a.iter().zip(of_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + last
}

/// Solves `matrix x = right` in the place of `right`, by Cholesky's factor of a symmetric positive definite matrix, which is lost. A
/// direction in which the matrix has no extent gives 0.
pub fn solve(matrix: &mut [f32], right: &mut [f32]) {
    let n = right.len();
    for row in 0..n {
        for column in 0..=row {
            let (above, rest) = matrix.split_at_mut(row * n);
            let of_row = &mut rest[..n];
            let of_column = if column == row {
                None
            } else {
                Some(&above[column * n..][..n])
            };
            let known: f32 = match of_column {
                Some(other) => dot(&of_row[..column], &other[..column]),
                None => dot(&of_row[..column], &of_row[..column]),
            };
            let left = of_row[column] - known;
            of_row[column] = match of_column {
                Some(other) => left * other[column],
                // The diagonal is kept as its inverse.
                None if left > f32::MIN_POSITIVE => 1.0 / left.sqrt(),
                None => 0.0,
            };
        }
    }
    for row in 0..n {
        let line = &matrix[row * n..][..n];
        let known = dot(&line[..row], &right[..row]);
        right[row] = (right[row] - known) * line[row];
    }
    for row in (0..n).rev() {
        let line = &matrix[row * n..][..n];
        let value = right[row] * line[row];
        right[row] = value;
        for (other, factor) in right[..row].iter_mut().zip(line) {
            *other -= factor * value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(item: u32, count: f32) -> Bought {
        Bought {
            item,
            count,
            days_since_last: 0.0,
        }
    }

    #[test]
    fn a_place_solves_the_equation_of_the_paper() {
        let places = vec![1.0, 0.0, 0.5, 1.0, -0.3, 0.8];
        let fold_in = FoldIn {
            regularization: 0.1,
            confidence: 4.0,
        };
        let factors = Factors::new(places.clone(), 2, fold_in);
        let bought = [bought(1, 2.0), bought(2, 1.0)];
        let x = factors.place(&bought);
        let mut matrix = gram(&places, 2);
        (matrix[0], matrix[3]) = (matrix[0] + 0.1, matrix[3] + 0.1);
        let twice = 4.0 * 3f32.log2();
        add_outer(&mut matrix, &places[2..4], twice);
        add_outer(&mut matrix, &places[4..], 4.0);
        let right = [(1.0 + twice) * 0.5 - 5.0 * 0.3, 1.0 + twice + 5.0 * 0.8];
        for (line, right) in matrix.chunks(2).zip(right) {
            let left = line[0] * x[0] + line[1] * x[1];
            assert!((left - right).abs() < 1e-4, "{left} {right}");
        }
        assert_eq!(factors.place(&[]), [0.0, 0.0]);
    }

    #[test]
    fn a_matrix_without_extent_gives_nothing_that_is_not_a_number() {
        let mut right = [1.0, 1.0];
        solve(&mut [0.0; 4], &mut right);
        assert_eq!(right, [0.0, 0.0]);
    }
}
