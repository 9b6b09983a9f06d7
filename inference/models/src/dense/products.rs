//! Inner products of one vector with many, and sums of many: vectors that are in memory one after the other, or those at some
//! positions of such a buffer.

use super::lanes::{InstructionSet, Kernel, LANES, run_on_best};

/// `out[i] = vectors[i] . with`, for `out.len()` vectors of the width of `with`, row-major; those behind are not read.
pub fn inner_products(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    assert!(
        out.len() * with.len() <= vectors.len(),
        "fewer vectors than products"
    );
    run_on_best(Products {
        vectors,
        positions: 0..out.len(),
        with,
        out,
    });
}

/// `out[i] = vectors[positions[i]] . with`, for vectors of the width of `with`, row-major.
pub fn inner_products_at(vectors: &[f32], positions: &[u32], with: &[f32], out: &mut [f32]) {
    check_positions(vectors, positions, with.len());
    assert_eq!(positions.len(), out.len(), "one product a position");
    let positions = positions.iter().map(|position| *position as usize);
    run_on_best(Products {
        vectors,
        positions,
        with,
        out,
    });
}

/// `out = start +` the sum of `vectors[positions[i]]`, for vectors of the width of `start` and `out`, row-major.
pub fn sum_vectors_at(start: &[f32], vectors: &[f32], positions: &[u32], out: &mut [f32]) {
    check_positions(vectors, positions, out.len());
    assert_eq!(start.len(), out.len(), "a start of another width");
    run_on_best(Sum {
        start,
        vectors,
        positions,
        out,
    });
}

fn check_positions(vectors: &[f32], positions: &[u32], width: usize) {
    let end = positions.iter().max().map_or(0, |last| *last as usize + 1);
    assert!(end * width <= vectors.len(), "a position without a vector");
}

struct Products<'a, P> {
    vectors: &'a [f32],
    positions: P,
    with: &'a [f32],
    out: &'a mut [f32],
}

impl<P: Iterator<Item = usize>> Kernel for Products<'_, P> {
    #[inline(always)]
    fn run<I: InstructionSet>(self, set: I) {
        let width = self.with.len();
        let (with, with_rest) = self.with.as_chunks::<LANES>();
        for (position, out) in self.positions.zip(self.out) {
            let vector = &self.vectors[position * width..][..width];
            let (groups, rest) = vector.as_chunks::<LANES>();
            let mut sums = set.splat(0.0);
            for (group, with) in groups.iter().zip(with) {
                sums = set.multiply_add(set.load(group), set.load(with), sums);
            }
            if !rest.is_empty() {
                sums = set.multiply_add(set.load_first(rest), set.load_first(with_rest), sums);
            }
            *out = set.sum(sums);
        }
    }
}

struct Sum<'a> {
    start: &'a [f32],
    vectors: &'a [f32],
    positions: &'a [u32],
    out: &'a mut [f32],
}

impl Sum<'_> {
    /// `N` groups of the output from its value `first`; only the last group may be less than whole.
    #[inline(always)]
    fn groups<I: InstructionSet, const N: usize>(&mut self, set: I, first: usize) {
        let width = self.out.len();
        let end = width.min(first + N * LANES);
        let group = |n: usize| first + n * LANES..end.min(first + (n + 1) * LANES);
        let mut sums: [I::Lanes; N] = std::array::from_fn(|n| set.load_first(&self.start[group(n)]));
        for position in self.positions {
            let vector = &self.vectors[*position as usize * width..][..width];
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = set.add(set.load_first(&vector[group(n)]), *sum);
            }
        }
        for (n, sum) in sums.into_iter().enumerate() {
            set.store_first(sum, &mut self.out[group(n)]);
        }
    }
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    fn run<I: InstructionSet>(mut self, set: I) {
        // So many registers of sums that the positions are read seldom, for every instruction set.
        const AT_ONCE: usize = 4;
        let width = self.out.len();
        let whole = width / (AT_ONCE * LANES) * (AT_ONCE * LANES);
        for first in (0..whole).step_by(AT_ONCE * LANES) {
            self.groups::<I, AT_ONCE>(set, first);
        }
        for first in (whole..width).step_by(LANES) {
            self.groups::<I, 1>(set, first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    use crate::dense::lanes::Avx2;
    use crate::dense::lanes::Portable;

    #[track_caller]
    fn check(width: usize, count: usize) {
        let vectors: Vec<f32> = (0..count * width)
            .map(|i| ((i * 7) % 13) as f32 / 13.0 - 0.4)
            .collect();
        let with: Vec<f32> = (0..width).map(|i| ((i * 5) % 11) as f32 / 11.0 - 0.4).collect();
        let wanted: Vec<f32> = (0..count)
            .map(|i| {
                vectors[i * width..][..width]
                    .iter()
                    .zip(&with)
                    .map(|(a, b)| a * b)
                    .sum()
            })
            .collect();
        let near = |found: &[f32]| {
            found
                .iter()
                .zip(&wanted)
                .for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} is not {b}"));
        };
        let mut out = vec![9.0; count];
        inner_products(&vectors, &with, &mut out);
        near(&out);
        let positions: Vec<u32> = (0..count as u32).collect();
        inner_products_at(&vectors, &positions, &with, &mut out);
        near(&out);
        let mut kernel = |run: &dyn Fn(Products<'_, std::ops::Range<usize>>)| {
            out.fill(9.0);
            let (vectors, with) = (&vectors[..], &with[..]);
            run(Products {
                vectors,
                positions: 0..count,
                with,
                out: &mut out,
            });
            near(&out);
        };
        kernel(&|products| products.run(Portable));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            kernel(&|products| avx2.run(products));
        }
    }

    #[track_caller]
    fn check_sum(width: usize) {
        let vectors: Vec<f32> = (0..9 * width).map(|i| ((i * 7) % 13) as f32).collect();
        let positions = [8, 0, 3, 3];
        let wanted: Vec<f32> = (0..width)
            .map(|i| {
                100.0
                    + positions
                        .iter()
                        .map(|at| vectors[*at as usize * width + i])
                        .sum::<f32>()
            })
            .collect();
        let kernel = |run: &dyn Fn(Sum<'_>)| {
            let (start, mut out) = (vec![100.0; width], vec![9.0; width]);
            let (start, vectors, positions) = (&start[..], &vectors[..], &positions[..]);
            run(Sum {
                start,
                vectors,
                positions,
                out: &mut out,
            });
            assert_eq!(out, wanted);
        };
        kernel(&|sum| sum_vectors_at(sum.start, sum.vectors, sum.positions, sum.out));
        kernel(&|sum| sum.run(Portable));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            kernel(&|sum| avx2.run(sum));
        }
    }

    #[test]
    fn every_instruction_set_gives_the_sum_of_vectors() {
        for width in [0, 1, 16, 20, 64, 65, 128, 150] {
            check_sum(width);
        }
    }

    #[test]
    #[should_panic(expected = "a position without a vector")]
    fn a_position_past_the_end_is_refused() {
        inner_products_at(&[1.0; 8], &[0, 2], &[1.0; 4], &mut [0.0; 2]);
    }

    #[test]
    fn every_instruction_set_gives_the_sums_of_products() {
        for (width, count) in [(1, 3), (8, 2), (16, 5), (20, 1), (64, 17), (100, 4), (0, 2)] {
            check(width, count);
        }
    }
}
