//! A matrix that rows are multiplied with, packed for the registers of the processor.
//!
//! Columns are stored in panels of 16, `[panel][input][16]`, the last one filled up with zeros: whatever the width of its
//! registers, a kernel reads weights in order, keeps a tile of sums in registers over the whole inner dimension, and writes
//! each sum once. One kernel (`Job::tile`) is compiled for AVX-512 (12 rows x 32 columns), AVX2 (6 x 16) and any processor
//! (2 x 16); which one runs is chosen at run time. They add in the same order and differ by rounding alone.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{InstructionSet, Kernel, LANES, Portable};

/// A matrix `[inputs, outputs]`.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    /// `[panel][input]`.
    panels: Vec<[f32; LANES]>,
}

/// What sums start from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// The same values for every row.
    Row(&'a [f32]),
    /// What is in the output.
    Output,
}

/// What is done with sums before they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
}

/// Rows in a buffer: row `i` begins at `i * stride`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The buffer.
    pub values: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
}

/// Rows to write in a buffer: row `i` begins at `i * stride`.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The buffer.
    pub values: &'a mut [f32],
    /// From one row to the next.
    pub stride: usize,
}

impl Matrix {
    /// Packs `[inputs, outputs]`, row-major.
    pub fn new(inputs: usize, outputs: usize, weights: &[f32]) -> Self {
        assert_eq!(weights.len(), inputs * outputs, "weights of another shape");
        let mut matrix = Self::default();
        matrix.pack(inputs, outputs, |input, output| weights[input * outputs + output]);
        matrix
    }

    /// Packs `[outputs, inputs]`, row-major: how training keeps a layer, with one vector per output.
    pub fn transposed(inputs: usize, outputs: usize, weights: &[f32]) -> Self {
        let mut matrix = Self::default();
        matrix.pack_transposed(inputs, outputs, weights);
        matrix
    }

    /// Replaces the matrix as [`Matrix::transposed`] makes it; allocates only if it grows.
    pub fn pack_transposed(&mut self, inputs: usize, outputs: usize, weights: &[f32]) {
        assert_eq!(weights.len(), inputs * outputs, "weights of another shape");
        self.pack(inputs, outputs, |input, output| weights[output * inputs + input]);
    }

    fn pack(&mut self, inputs: usize, outputs: usize, weight: impl Fn(usize, usize) -> f32) {
        (self.inputs, self.outputs) = (inputs, outputs);
        self.panels.clear();
        for first in (0..outputs).step_by(LANES) {
            for input in 0..inputs {
                let in_panel = |lane| {
                    if first + lane < outputs {
                        weight(input, first + lane)
                    } else {
                        0.0
                    }
                };
                self.panels.push(std::array::from_fn(in_panel));
            }
        }
    }

    /// The matrix of some of the inputs, in the order given.
    pub fn of_inputs(&self, picked: impl IntoIterator<Item = usize>) -> Self {
        let picked: Vec<usize> = picked.into_iter().collect();
        let mut matrix = Self::default();
        matrix.pack(picked.len(), self.outputs, |position, output| {
            self.weight(picked[position], output)
        });
        matrix
    }

    /// The matrix of these outputs, and behind them those of another matrix of the same inputs.
    pub fn side_by_side(&self, other: &Self) -> Self {
        assert_eq!(self.inputs, other.inputs, "a matrix of other inputs");
        let mut matrix = Self::default();
        matrix.pack(
            self.inputs,
            self.outputs + other.outputs,
            |input, output| match output.checked_sub(self.outputs) {
                None => self.weight(input, output),
                Some(output) => other.weight(input, output),
            },
        );
        matrix
    }

    fn weight(&self, input: usize, output: usize) -> f32 {
        self.panels[(output / LANES) * self.inputs + input][output % LANES]
    }

    /// Width of what goes in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of what comes out.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = activation(start + x W)` for `rows` rows. Allocates nothing.
    pub fn multiply(
        &self,
        rows: usize,
        x: Rows<'_>,
        start: Start<'_>,
        activation: Activation,
        out: RowsMut<'_>,
    ) {
        self.check(rows, &x, start, &out);
        let job = Job {
            matrix: self,
            rows,
            x,
            start,
            activation,
            out,
        };
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(avx512) = Avx512::detect() {
                return avx512.run(Wide(job));
            }
            if let Some(avx2) = Avx2::detect() {
                return avx2.run(Medium(job));
            }
        }
        Narrow(job).run(Portable);
    }

    /// `out += x W` for one row.
    pub fn add_row(&self, x: &[f32], out: &mut [f32]) {
        let x = Rows {
            values: x,
            stride: self.inputs,
        };
        let out = RowsMut {
            values: out,
            stride: self.outputs,
        };
        self.multiply(1, x, Start::Output, Activation::None, out);
    }

    /// Refuses buffers of other shapes, by names that help more than those of an index.
    fn check(&self, rows: usize, x: &Rows<'_>, start: Start<'_>, out: &RowsMut<'_>) {
        let needed = |stride: usize, width: usize| match rows {
            0 => Some(0),
            _ => (rows - 1).checked_mul(stride)?.checked_add(width),
        };
        let fits = |stride, width, length| needed(stride, width).is_some_and(|needed| needed <= length);
        assert!(
            fits(x.stride, self.inputs, x.values.len()),
            "rows of another shape"
        );
        assert!(
            fits(out.stride, self.outputs, out.values.len()),
            "an output of another shape"
        );
        if let Start::Row(values) = start {
            assert_eq!(values.len(), self.outputs, "a start of another width");
        }
        let panels = self.outputs.div_ceil(LANES);
        assert_eq!(self.panels.len(), panels * self.inputs, "packed so");
    }
}

/// One product.
struct Job<'a> {
    matrix: &'a Matrix,
    rows: usize,
    x: Rows<'a>,
    start: Start<'a>,
    activation: Activation,
    out: RowsMut<'a>,
}

impl Job<'_> {
    /// Where the outputs of a panel are in a row; the last panel may be less than whole.
    fn columns(&self, panel: usize) -> std::ops::Range<usize> {
        panel * LANES..self.matrix.outputs.min((panel + 1) * LANES)
    }

    /// `R` rows from `row` with `N` panels from `panel`.
    #[inline(always)]
    fn tile<I: InstructionSet, const R: usize, const N: usize>(&mut self, set: I, row: usize, panel: usize) {
        let (inputs, first) = (self.matrix.inputs, panel * LANES);
        let widths: [usize; N] = std::array::from_fn(|n| self.columns(panel + n).len());
        let mut sums = [[set.splat(0.0); N]; R];
        for (r, sums) in sums.iter_mut().enumerate() {
            for (n, sum) in sums.iter_mut().enumerate() {
                let column = first + n * LANES;
                let start = match self.start {
                    Start::Row(values) => (values, column),
                    Start::Output => (&*self.out.values, (row + r) * self.out.stride + column),
                };
                // SAFETY: `check` found a start of all outputs, and every row of the output inside its buffer.
                *sum = set.load_first(unsafe { start.0.get_unchecked(start.1..start.1 + widths[n]) });
            }
        }
        let x = RowTile::<R>::of(self.x, row, inputs);
        let weights: [&[[f32; LANES]]; N] =
            std::array::from_fn(|n| &self.matrix.panels[(panel + n) * inputs..][..inputs]);
        #[expect(
            clippy::needless_range_loop,
            reason = "an input's weights are in every panel, and its values in every row"
        )]
        for input in 0..inputs {
            let columns: [I::Lanes; N] = std::array::from_fn(|n| set.load(&weights[n][input]));
            for (r, sums) in sums.iter_mut().enumerate() {
                let value = set.splat(x.value(r, input));
                for (column, sum) in columns.iter().zip(sums) {
                    *sum = set.multiply_add(value, *column, *sum);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let sum = match self.activation {
                    Activation::None => sum,
                    Activation::Relu => set.relu(sum),
                };
                let at = (row + r) * self.out.stride + first + n * LANES;
                // SAFETY: `check` found every row of the output inside its buffer.
                set.store_first(sum, unsafe {
                    self.out.values.get_unchecked_mut(at..at + widths[n])
                });
            }
        }
    }
}

/// `R` rows of a buffer. One pointer for all of them: with a slice for each, the pointers of twelve rows would not fit
/// into registers, and be read again for every input.
struct RowTile<'a, const R: usize> {
    values: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a, const R: usize> RowTile<'a, R> {
    /// The first `width` values of the rows from `row`.
    #[inline(always)]
    fn of(rows: Rows<'a>, row: usize, width: usize) -> Self {
        let values = &rows.values[row * rows.stride..][..(R - 1) * rows.stride + width];
        Self {
            values,
            stride: rows.stride,
            width,
        }
    }

    /// A value of a row.
    #[inline(always)]
    fn value(&self, r: usize, position: usize) -> f32 {
        assert!(r < R && position < self.width, "a value outside its row");
        // SAFETY: `of` took values up to the end of the last row, and no row before it ends later.
        unsafe { *self.values.get_unchecked(r * self.stride + position) }
    }
}

/// A kernel: all rows and panels of a product, in tiles of at most `$rows` rows (of nearly equal size: a small last tile would wait
/// for its own sums) and `$panels` panels.
macro_rules! kernel {
    ($name:ident, $rows:literal: [$($count:literal)+], $panels:literal) => {
        struct $name<'a>(Job<'a>);

        impl Kernel for $name<'_> {
            #[inline(always)]
            fn run<I: InstructionSet>(self, set: I) {
                let mut job = self.0;
                let rows = job.rows;
                let (tiles, panels) = (rows.div_ceil($rows), job.matrix.outputs.div_ceil(LANES));
                let mut panel = 0;
                while panel < panels {
                    let count = if panels - panel >= $panels { $panels } else { 1 };
                    for tile_number in 0..tiles {
                        let row = tile_number * rows / tiles;
                        let end = (tile_number + 1) * rows / tiles;
                        match (end - row, count) {
                            $(
                                ($count, 1) => job.tile::<I, $count, 1>(set, row, panel),
                                ($count, _) => job.tile::<I, $count, $panels>(set, row, panel),
                            )+
                            _ => unreachable!("tiles have 1 to {} rows", $rows),
                        }
                    }
                    panel += count;
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(Wide, 12: [1 2 3 4 5 6 7 8 9 10 11 12], 2);
#[cfg(target_arch = "x86_64")]
kernel!(Medium, 6: [1 2 3 4 5 6], 1);
kernel!(Narrow, 2: [1 2], 1);

#[cfg(test)]
mod tests {
    use super::*;

    type RunJob = Box<dyn Fn(Job<'_>)>;

    /// Every kernel that this processor can run.
    fn kernels() -> Vec<RunJob> {
        let mut kernels: Vec<RunJob> = vec![Box::new(|job| Narrow(job).run(Portable))];
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(avx2) = Avx2::detect() {
                kernels.push(Box::new(move |job| avx2.run(Medium(job))));
            }
            if let Some(avx512) = Avx512::detect() {
                kernels.push(Box::new(move |job| avx512.run(Wide(job))));
            }
        }
        kernels
    }

    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * step) % 19) as f32 / 19.0 - 0.5)
            .collect()
    }

    #[track_caller]
    fn check(rows: usize, inputs: usize, outputs: usize) {
        let (x_stride, out_stride) = (inputs + 3, outputs + 5);
        let (x, weights) = (values(rows * x_stride, 7), values(inputs * outputs, 11));
        let (bias, before) = (values(outputs, 5), values(rows * out_stride, 3));
        let matrix = Matrix::new(inputs, outputs, &weights);
        for kernel in kernels() {
            for (start, activation) in [
                (Start::Row(&bias[..]), Activation::Relu),
                (Start::Output, Activation::None),
            ] {
                let mut out = before.clone();
                let (x_rows, out_rows) = (
                    Rows {
                        values: &x,
                        stride: x_stride,
                    },
                    RowsMut {
                        values: &mut out,
                        stride: out_stride,
                    },
                );
                matrix.check(rows, &x_rows, start, &out_rows);
                kernel(Job {
                    matrix: &matrix,
                    rows,
                    x: x_rows,
                    start,
                    activation,
                    out: out_rows,
                });
                for (position, (found, before)) in out.iter().zip(&before).enumerate() {
                    let (row, column) = (position / out_stride, position % out_stride);
                    if column >= outputs {
                        assert_eq!(found, before, "a value outside of the output was written");
                        continue;
                    }
                    let products = (0..inputs).map(|i| x[row * x_stride + i] * weights[i * outputs + column]);
                    let wanted = match start {
                        Start::Row(bias) => (bias[column] + products.sum::<f32>()).max(0.0),
                        Start::Output => before + products.sum::<f32>(),
                    };
                    assert!(
                        (found - wanted).abs() < 1e-4,
                        "[{row}, {column}]: {found} is not {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_kernel_gives_the_product_and_writes_nothing_else() {
        for rows in [0, 1, 2, 5, 7, 12, 13, 29] {
            for (inputs, outputs) in [(1, 1), (3, 16), (17, 12), (0, 5), (64, 33), (31, 64), (5, 0)] {
                check(rows, inputs, outputs);
            }
        }
    }

    #[test]
    fn no_kernel_turns_nan_into_a_number() {
        let matrix = Matrix::new(2, 17, &values(2 * 17, 7));
        for kernel in kernels() {
            let mut out = [0.0; 17];
            let x = Rows {
                values: &[1.0, f32::NAN],
                stride: 2,
            };
            let out_rows = RowsMut {
                values: &mut out,
                stride: 17,
            };
            kernel(Job {
                matrix: &matrix,
                rows: 1,
                x,
                start: Start::Output,
                activation: Activation::Relu,
                out: out_rows,
            });
            assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
        }
    }

    #[test]
    fn some_inputs_make_a_matrix_of_their_own() {
        let matrix = Matrix::new(3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let picked = matrix.of_inputs([2, 0]);
        let mut out = [0.0; 2];
        let x = Rows {
            values: &[1.0, 10.0],
            stride: 2,
        };
        picked.multiply(
            1,
            x,
            Start::Output,
            Activation::None,
            RowsMut {
                values: &mut out,
                stride: 2,
            },
        );
        assert_eq!(out, [15.0, 26.0]);
    }
}
