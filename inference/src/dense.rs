//! Dense layers for serving: plain `f32` on one thread, no allocation for a layer's work.
//!
//! Training uses candle; what is served is the same weights in these layers, and a test of each model compares the two.
//! A single row goes through [`Linear::row`], a batch of candidates through [`Linear::batch`]. Loops are compiled for
//! AVX-512, AVX2 and plain x86-64, and chosen at run time; products of matrices go to the `gemm` crate, which does the
//! same.

pub mod weights;

use multiversion::multiversion;

pub use weights::{Weights, WeightsError};

/// `y = x W + b`, with `W` as `[input, output]`, row-major.
#[derive(Clone, Debug)]
pub struct Linear {
    input: usize,
    output: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    /// Takes weights as training keeps them, `[output, input]`, and a bias of `output`.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        let output = bias.len();
        let input = weights.len() / output.max(1);
        assert_eq!(weights.len(), input * output, "weights of another shape");
        let mut transposed = vec![0.0; weights.len()];
        for (row, values) in weights.chunks_exact(input.max(1)).enumerate() {
            for (column, value) in values.iter().enumerate() {
                transposed[column * output + row] = *value;
            }
        }
        Self {
            input,
            output,
            weights: transposed,
            bias: bias.to_vec(),
        }
    }

    /// Width of what goes in.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Width of what comes out.
    pub fn output(&self) -> usize {
        self.output
    }

    /// The weights, `[input, output]`, row-major.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The bias, `[output]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// One row: `out = x W + b`.
    pub fn row(&self, x: &[f32], out: &mut [f32]) {
        out.copy_from_slice(&self.bias);
        add_product(x, &self.weights, out);
    }

    /// Many rows: `out = x W + b`, with `x` as `[rows, input]` and `out` as `[rows, output]`.
    pub fn batch(&self, rows: usize, x: &[f32], out: &mut Vec<f32>) {
        repeat(&self.bias, rows, out);
        add_matrix_product(rows, x, &self.weights, self.output, out);
    }
}

/// Linear layers with ReLU between them; none after the last.
#[derive(Clone, Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// Layers, the first first.
    pub fn new(layers: Vec<Linear>) -> Self {
        Self { layers }
    }

    /// The layers, the first first.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }

    /// Many rows, in place: `x` (`[rows, input]`) becomes the last layer's output. `spare` is a buffer to work in.
    pub fn batch(&self, rows: usize, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        for (position, layer) in self.layers.iter().enumerate() {
            if position > 0 {
                relu(x);
            }
            layer.batch(rows, x, spare);
            std::mem::swap(x, spare);
        }
    }

    /// One row, in place.
    pub fn row(&self, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        for (position, layer) in self.layers.iter().enumerate() {
            if position > 0 {
                relu(x);
            }
            spare.resize(layer.output(), 0.0);
            layer.row(x, spare);
            std::mem::swap(x, spare);
        }
    }
}

/// One vector for each index of a categorical column.
#[derive(Clone, Debug)]
pub struct EmbeddingTable {
    width: usize,
    values: Vec<f32>,
}

impl EmbeddingTable {
    /// Takes `[cardinality, width]`, row-major.
    pub fn new(width: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len() % width.max(1), 0, "values of another width");
        Self { width, values }
    }

    /// The vector of an index; that of the unknown (1) for an index past the end.
    pub fn row(&self, index: u32) -> &[f32] {
        let start = index as usize * self.width;
        let unknown = crate::features::vocabulary::UNKNOWN as usize * self.width;
        self.values
            .get(start..start + self.width)
            .unwrap_or_else(|| &self.values[unknown..unknown + self.width])
    }
}

/// Fills `out` with `rows` copies of `row`.
pub fn repeat(row: &[f32], rows: usize, out: &mut Vec<f32>) {
    out.clear();
    out.reserve(rows * row.len());
    for _ in 0..rows {
        out.extend_from_slice(row);
    }
}

/// `max(x, 0)`, in place.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn relu(values: &mut [f32]) {
    for value in values {
        *value = value.max(0.0);
    }
}

/// `out += x W`, with `W` as `[x, out]`, row-major.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn add_product(x: &[f32], weights: &[f32], out: &mut [f32]) {
    for (x, row) in x.iter().zip(weights.chunks_exact(out.len().max(1))) {
        // Encoded rows have many zeros, and a pair of strangers has nothing else.
        if *x != 0.0 {
            for (out, weight) in out.iter_mut().zip(row) {
                *out += x * weight;
            }
        }
    }
}

/// The inner product of two vectors of one length.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0f32; LANES];
    let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_lanes
        .remainder()
        .iter()
        .zip(b_lanes.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_lanes.zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// `out[i, j] = a[i] . b[i, j]`: each of `rows` vectors with each of its own `per_row` vectors, all of one `width`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw+avx512dq+fma", "x86_64+avx2+fma"))]
pub fn row_products(rows: usize, per_row: usize, width: usize, a: &[f32], b: &[f32], out: &mut Vec<f32>) {
    const LANES: usize = 16;
    out.clear();
    for row in 0..rows {
        let a = &a[row * width..][..width];
        for other in 0..per_row {
            let b = &b[(row * per_row + other) * width..][..width];
            let mut sums = [0.0f32; LANES];
            let (a_lanes, b_lanes) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
            let rest: f32 = a_lanes
                .remainder()
                .iter()
                .zip(b_lanes.remainder())
                .map(|(a, b)| a * b)
                .sum();
            for (a, b) in a_lanes.zip(b_lanes) {
                for lane in 0..LANES {
                    sums[lane] += a[lane] * b[lane];
                }
            }
            out.push(sums.iter().sum::<f32>() + rest);
        }
    }
}

/// `out += x W`, with `x` as `[rows, x.len() / rows]`, `W` as `[.., columns]` and `out` as `[rows, columns]`, all row-major.
pub fn add_matrix_product(rows: usize, x: &[f32], weights: &[f32], columns: usize, out: &mut [f32]) {
    let inner = weights.len() / columns.max(1);
    assert_eq!(x.len(), rows * inner, "a matrix of another shape");
    assert_eq!(out.len(), rows * columns, "an output of another shape");
    multiply(
        Shape { rows, inner, columns },
        Operand {
            values: x,
            row_stride: inner,
            column_stride: 1,
        },
        Operand {
            values: weights,
            row_stride: columns,
            column_stride: 1,
        },
        Some(1.0),
        out,
    );
}

/// `out = a bᵀ`, with `a` as `[rows, width]`, `b` as `[columns, width]` and `out` as `[rows, columns]`, all row-major.
pub fn products_with(rows: usize, a: &[f32], b: &[f32], width: usize, out: &mut Vec<f32>) {
    let columns = b.len() / width.max(1);
    assert_eq!(a.len(), rows * width, "a matrix of another shape");
    out.clear();
    out.resize(rows * columns, 0.0);
    multiply(
        Shape {
            rows,
            inner: width,
            columns,
        },
        Operand {
            values: a,
            row_stride: width,
            column_stride: 1,
        },
        Operand {
            values: b,
            row_stride: 1,
            column_stride: width,
        },
        None,
        out,
    );
}

struct Shape {
    rows: usize,
    inner: usize,
    columns: usize,
}

struct Operand<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

/// `out = keep * out + a b`, on this thread.
fn multiply(shape: Shape, a: Operand<'_>, b: Operand<'_>, keep: Option<f32>, out: &mut [f32]) {
    if shape.rows == 0 || shape.inner == 0 || shape.columns == 0 {
        return;
    }
    // SAFETY: the callers checked that `a` is rows x inner, `b` inner x columns and `out` rows x columns with these
    // strides, so that every element that `gemm` touches lies in its slice; `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            shape.rows,
            shape.columns,
            shape.inner,
            out.as_mut_ptr(),
            1,
            shape.columns as isize,
            keep.is_some(),
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            keep.unwrap_or(0.0),
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
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
        let mlp = Mlp::new(vec![
            Linear::new(&weights, &bias),
            Linear::new(&weights[..21], &bias[..3]),
        ]);
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
    fn products_are_sums_of_products() {
        let a: Vec<f32> = (0..34).map(|i| i as f32 / 10.0).collect();
        let expected: f32 = a[..17].iter().zip(&a[17..]).map(|(a, b)| a * b).sum();
        assert!((inner_product(&a[..17], &a[17..]) - expected).abs() < 1e-3);
        let mut out = Vec::new();
        products_with(2, &a, &a, 17, &mut out);
        assert!((out[1] - expected).abs() < 1e-3 && out[1] == out[2]);
        row_products(1, 2, 17, &a[..17], &a, &mut out);
        assert!((out[1] - expected).abs() < 1e-3);
    }

    #[test]
    fn an_index_past_the_end_is_the_unknown() {
        let table = EmbeddingTable::new(2, vec![0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(table.row(2), [2.0, 2.0]);
        assert_eq!(table.row(3), [1.0, 1.0]);
    }
}
