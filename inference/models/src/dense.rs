//! Dense layers for serving: plain `f32` on one thread, no allocation for a layer's work.
//!
//! Training uses candle; what is served is the same weights in these layers, and a test of each model compares the two.
//! A single row goes through [`Linear::row`], a batch of candidates through [`Linear::batch`]; both are products with a
//! [`Matrix`], whose kernels are compiled for AVX-512, AVX2 and any processor, and chosen at run time.

mod lanes;
pub mod matrix;
mod products;
pub mod weights;

pub use matrix::{Activation, Matrix, Rows, RowsMut, Start};
pub use products::{inner_products, inner_products_at, sum_vectors_at};
pub use weights::{Weights, WeightsError};

/// `y = x W + b`, with `W` as `[input, output]`.
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Matrix,
    bias: Vec<f32>,
}

impl Linear {
    /// Takes weights as training keeps them, `[output, input]`, and a bias of `output`.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let output = bias.len();
        let input = weights.len() / output.max(1);
        Self {
            weights: Matrix::transposed(input, output, weights),
            bias: bias.to_vec(),
        }
    }

    /// Takes a packed matrix and a bias as wide as what comes out.
    pub fn of(weights: Matrix, bias: Vec<f32>) -> Self {
        assert_eq!(weights.outputs(), bias.len(), "a bias of another width");
        Self { weights, bias }
    }

    /// One layer that gives what this one gives, and behind it what another does that reads the same.
    pub fn side_by_side(&self, other: &Self) -> Self {
        Self {
            weights: self.weights.side_by_side(&other.weights),
            bias: [self.bias(), other.bias()].concat(),
        }
    }

    /// Width of what goes in.
    pub fn input(&self) -> usize {
        self.weights.inputs()
    }

    /// Width of what comes out.
    pub fn output(&self) -> usize {
        self.weights.outputs()
    }

    /// The weights, `[input, output]`.
    pub fn weights(&self) -> &Matrix {
        &self.weights
    }

    /// The bias, `[output]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// One row: `out = x W + b`.
    pub fn row(&self, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), self.input(), "a row of another width");
        self.run(1, x, Activation::None, out);
    }

    /// Many rows: `out = x W + b`, with `x` as `[rows, input]` and `out` as `[rows, output]`.
    pub fn batch(&self, rows: usize, x: &[f32], out: &mut Vec<f32>) {
        out.resize(rows * self.output(), 0.0);
        self.run(rows, x, Activation::None, out);
    }

    fn run(&self, rows: usize, x: &[f32], activation: Activation, out: &mut [f32]) {
        let x = Rows {
            values: x,
            stride: self.input(),
        };
        let out = RowsMut {
            values: out,
            stride: self.output(),
        };
        self.weights
            .multiply(rows, x, Start::Row(&self.bias), activation, out);
    }
}

/// Linear layers with ReLU between them.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
    last: Activation,
}

impl Mlp {
    /// Layers, the first first, and what follows the last.
    pub fn new(layers: Vec<Linear>, last: Activation) -> Self {
        Self { layers, last }
    }

    /// The layers, the first first.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }

    /// Many rows, in place: `x` (`[rows, input]`) becomes the last layer's output. `spare` is a buffer to work in.
    pub fn batch(&self, rows: usize, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        for (position, layer) in self.layers.iter().enumerate() {
            let last = position + 1 == self.layers.len();
            spare.resize(rows * layer.output(), 0.0);
            layer.run(rows, x, if last { self.last } else { Activation::Relu }, spare);
            std::mem::swap(x, spare);
        }
    }

    /// One row, in place.
    pub fn row(&self, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        self.batch(1, x, spare);
    }
}

/// One vector for each index of a categorical column.
#[derive(Clone, Debug)]
pub struct EmbeddingTable {
    width: usize,
    values: Vec<f32>,
}

impl EmbeddingTable {
    /// Takes `[cardinality, width]`, row-major, with vectors for null and the unknown at least.
    pub fn new(width: usize, values: Vec<f32>) -> Self {
        assert!(
            values.len().is_multiple_of(width.max(1)),
            "values of another width"
        );
        assert!(values.len() >= 2 * width, "no vectors for null and the unknown");
        Self { width, values }
    }

    /// Number of indexes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a table always has rows for null and the unknown"
    )]
    pub fn len(&self) -> usize {
        self.values.len() / self.width.max(1)
    }

    /// The vector of an index; that of the unknown (1) for an index past the end.
    pub fn row(&self, index: u32) -> &[f32] {
        let start = index as usize * self.width;
        let unknown = crate::features::vocabulary::UNKNOWN as usize * self.width;
        self.values
            .get(start..start + self.width)
            .unwrap_or_else(|| &self.values[unknown..unknown + self.width])
    }

    /// Asks the processor to fetch the vector of an index, which will be needed soon.
    pub fn prefetch(&self, index: u32) {
        prefetch(self.row(index));
    }
}

/// Asks the processor to fetch values that will be needed soon: they may be anywhere in memory.
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(64 / size_of::<T>()) {
        // SAFETY: a hint that reads nothing; every x86-64 processor has it.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-5, "{a} is not {b}");
        }
    }

    #[test]
    fn a_batch_is_its_rows() {
        let weights: Vec<f32> = (0..7 * 19).map(|i| ((i * 37) % 11) as f32 / 11.0 - 0.4).collect();
        let bias: Vec<f32> = (0..7).map(|i| i as f32 / 7.0).collect();
        let layers = vec![
            Linear::new(&weights, &bias),
            Linear::new(&weights[..21], &bias[..3]),
        ];
        let mlp = Mlp::new(layers, Activation::None);
        let x: Vec<f32> = (0..5 * 19).map(|i| ((i * 13) % 17) as f32 / 17.0).collect();
        let (mut all, mut spare) = (x.clone(), Vec::new());
        mlp.batch(5, &mut all, &mut spare);
        for row in 0..5 {
            let mut one = x[row * 19..][..19].to_vec();
            mlp.row(&mut one, &mut spare);
            close(&one, &all[row * 3..][..3]);
        }
    }

    #[test]
    fn an_index_past_the_end_is_the_unknown() {
        let table = EmbeddingTable::new(2, vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(table.row(2), [2.0, 2.0]);
        assert_eq!(table.row(3), [1.0, 1.0]);
    }
}
