//! The walk of many rows through many trees.
//!
//! **Nodes** have 8 bytes. The low half is the threshold (`f32`), or the place and size of a category set, or for a leaf a
//! NaN that carries the leaf's number. The high half has the feature (11 bits), the kind of test (3), the left child (18);
//! the right child is its neighbor, so a step is `node = left + (value > threshold)`. Nodes are stored breadth-first. A leaf is
//! its own left child, and nothing is greater than NaN: rows that have arrived stay where they are, so that a group of
//! rows takes the same number of steps without a branch on data.
//!
//! **Values** are 32 bits: an `f32`, or a category's number where the forest splits a feature by category
//! ([`Columns`]). Thresholds are rounded down to `f32`, which decides every `f32` value as the `f64` does.
//!
//! **Paths**: AVX-512 gathers, and portable code that walks several rows at once; they add the same `f64` leaf values in the
//! same order, so their sums are equal bit for bit. Forests for which zero is missing, and rows with NaN in forests for
//! which NaN is missing, take the portable code with the tests for that. The gathers of AVX2 are no quicker than loads one
//! by one on the processors that have no AVX-512 (Zen 3: measured), and so are not used.

use std::ops::Range;

mod ahead;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod nodes;
mod portable;

pub use nodes::{Columns, TooLarge};
pub(crate) use nodes::{Test, Trees, Unpacked};

/// How many rows a matrix is padded to a multiple of: the width of the widest path.
const PAD: usize = 16;

/// Rows of values, ready to walk: `[rows, columns]`, row-major, padded with rows of zero.
#[derive(Debug, Default)]
pub struct Matrix {
    values: Vec<u32>,
    columns: usize,
    rows: usize,
}

impl Matrix {
    /// The most rows of a walk. Larger inputs go in parts; values then stay near the core.
    pub(crate) const MAX_ROWS: usize = 1024;

    /// Makes the matrix `rows` rows of zero; at most [`Matrix::MAX_ROWS`].
    pub(crate) fn reset(&mut self, rows: usize, columns: usize) {
        assert!(
            rows <= Self::MAX_ROWS && columns <= Trees::MAX_FEATURES,
            "checked by the callers"
        );
        self.values.clear();
        self.values.resize(rows.next_multiple_of(PAD) * columns, 0);
        self.columns = columns;
        self.rows = rows;
    }

    /// The values of one row.
    pub fn row_mut(&mut self, row: usize) -> &mut [u32] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// Copies the first `width` values of the first of `rows` into the others.
    pub fn repeat_start(&mut self, rows: Range<usize>, width: usize) {
        if rows.is_empty() || width == 0 {
            return;
        }
        let values = &mut self.values[rows.start * self.columns..rows.end * self.columns];
        let (first, others) = values.split_at_mut(self.columns);
        for row in others.chunks_exact_mut(self.columns) {
            row[..width].copy_from_slice(&first[..width]);
        }
    }

    /// Whether a number, or what stands for a category, is NaN. The bits of categories never look so.
    fn has_nan(&self) -> bool {
        self.values
            .iter()
            .fold(false, |found, bits| found | f32::from_bits(*bits).is_nan())
    }

    fn padded_rows(&self) -> usize {
        self.rows.next_multiple_of(PAD)
    }
}

/// A way to walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// 16 rows a register.
    Avx512,
    /// 8 rows a register where a forest is asked part by part; a walk is the portable one.
    Avx2,
    /// One row after the other, several on their way.
    Portable,
}

impl Path {
    /// Every path that this processor can take, fastest first.
    pub fn available() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                paths.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") {
                paths.push(Self::Avx2);
            }
        }
        paths.push(Self::Portable);
        paths
    }

    /// The fastest path on this processor.
    pub fn best() -> Self {
        Self::available()[0]
    }
}

impl Trees {
    /// Puts what all trees make together into `sums` (cleared first), one for each row of `matrix`.
    pub(crate) fn sum(&self, matrix: &Matrix, path: Path, sums: &mut Vec<f64>) {
        assert_eq!(matrix.columns, self.columns().len(), "a matrix of another forest");
        sums.clear();
        sums.resize(matrix.padded_rows(), self.start);
        match path {
            _ if self.zero_is_missing() || (self.nan_is_missing() && matrix.has_nan()) => {
                portable::sum::<true>(self, matrix, sums);
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                assert!(is_x86_feature_detected!("avx512f"));
                // SAFETY: the processor has AVX-512F.
                unsafe { avx512::sum(self, matrix, sums) }
            }
            _ => portable::sum::<false>(self, matrix, sums),
        }
        sums.truncate(matrix.rows);
    }
}
