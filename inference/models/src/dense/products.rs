//! Inner products of one vector with many, and sums of many: vectors that lie in memory one after the other, or those at some
//! positions of such a buffer.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Portable};

/// `out[i] = vectors[i] . with`, for `out.len()` vectors of the width of `with`, row-major; those behind are not read.
pub fn inner_products(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    assert!(
        out.len() * with.len() <= vectors.len(),
        "fewer vectors than products"
    );
    // SAFETY: there are vectors enough.
    unsafe {
        dispatch(Products {
            vectors,
            positions: 0..out.len(),
            with,
            out,
        })
    }
}

/// `out[i] = vectors[positions[i]] . with`, for vectors of the width of `with`, row-major.
pub fn inner_products_at(vectors: &[f32], positions: &[u32], with: &[f32], out: &mut [f32]) {
    check_positions(vectors, positions, with.len());
    assert_eq!(positions.len(), out.len(), "one product a position");
    let positions = positions.iter().map(|position| *position as usize);
    // SAFETY: there is a vector at every position.
    unsafe {
        dispatch(Products {
            vectors,
            positions,
            with,
            out,
        })
    }
}

/// `out = start +` the sum of `vectors[positions[i]]`, for vectors of the width of `start` and `out`, row-major.
pub fn sum_vectors_at(start: &[f32], vectors: &[f32], positions: &[u32], out: &mut [f32]) {
    check_positions(vectors, positions, out.len());
    assert_eq!(start.len(), out.len(), "a start of another width");
    // SAFETY: there is a vector at every position.
    unsafe {
        dispatch(Sum {
            start,
            vectors,
            positions,
            out,
        })
    }
}

fn check_positions(vectors: &[f32], positions: &[u32], width: usize) {
    let end = positions.iter().max().map_or(0, |last| *last as usize + 1);
    assert!(end * width <= vectors.len(), "a position without a vector");
}

/// What is compiled for each instruction set.
trait Kernel {
    /// # Safety
    /// The processor has what `L` needs, and there is a vector at every position.
    unsafe fn run<L: Lanes>(self);
}

/// # Safety
/// There is a vector at every position.
unsafe fn dispatch(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F; the rest is the caller's promise.
            return unsafe { avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA; the rest is the caller's promise.
            return unsafe { avx2(kernel) };
        }
    }
    // SAFETY: the caller's promise.
    unsafe { kernel.run::<Portable>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(kernel: impl Kernel) {
    // SAFETY: the caller's promise.
    unsafe { kernel.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(kernel: impl Kernel) {
    // SAFETY: the caller's promise.
    unsafe { kernel.run::<Avx2>() }
}

struct Products<'a, P> {
    vectors: &'a [f32],
    positions: P,
    with: &'a [f32],
    out: &'a mut [f32],
}

impl<P: Iterator<Item = usize>> Kernel for Products<'_, P> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let with = self.with;
        let whole = with.len() / LANES * LANES;
        let rest = with.len() - whole;
        for (position, out) in self.positions.zip(self.out) {
            // SAFETY: all groups lie in `with` and in the vector at `position`, of which the caller promises that it is there.
            unsafe {
                let vector = self.vectors.as_ptr().add(position * with.len());
                let mut sums = L::splat(0.0);
                for start in (0..whole).step_by(LANES) {
                    let (a, b) = (vector.add(start), with.as_ptr().add(start));
                    sums = L::multiply_add(L::load(a), L::load(b), sums);
                }
                if rest > 0 {
                    let (a, b) = (vector.add(whole), with.as_ptr().add(whole));
                    sums = L::multiply_add(L::load_first(a, rest), L::load_first(b, rest), sums);
                }
                *out = sums.sum();
            }
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
    /// `N` groups of the output from its value `first`, of which the last has `last` values.
    ///
    /// # Safety
    /// As [`Kernel::run`], and the groups lie in the output.
    #[inline(always)]
    unsafe fn groups<L: Lanes, const N: usize>(&mut self, first: usize, last: usize) {
        let count = |n: usize| if n + 1 == N { last } else { LANES };
        // SAFETY: the caller's promise.
        unsafe {
            let start = self.start.as_ptr().add(first);
            let mut sums = [L::splat(0.0); N];
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = L::load_first(start.add(n * LANES), count(n));
            }
            for position in self.positions {
                let vector = self
                    .vectors
                    .as_ptr()
                    .add(*position as usize * self.out.len() + first);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = L::add(L::load_first(vector.add(n * LANES), count(n)), *sum);
                }
            }
            let out = self.out.as_mut_ptr().add(first);
            for (n, sum) in sums.into_iter().enumerate() {
                sum.store_first(out.add(n * LANES), count(n));
            }
        }
    }
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    unsafe fn run<L: Lanes>(mut self) {
        // So many registers of sums that the positions are read seldom, for every instruction set.
        const AT_ONCE: usize = 4;
        let width = self.out.len();
        let whole = width / (AT_ONCE * LANES) * (AT_ONCE * LANES);
        // SAFETY: the caller's promise; all groups lie in the output.
        unsafe {
            for first in (0..whole).step_by(AT_ONCE * LANES) {
                self.groups::<L, AT_ONCE>(first, LANES);
            }
            for first in (whole..width).step_by(LANES) {
                self.groups::<L, 1>(first, (width - first).min(LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // SAFETY: there are `count` vectors.
        kernel(&|products| unsafe { products.run::<Portable>() });
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features, and there are `count` vectors.
            kernel(&|products| unsafe { avx2(products) });
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
        // SAFETY: there are nine vectors.
        kernel(&|sum| unsafe { sum.run::<Portable>() });
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features, and there are nine vectors.
            kernel(&|sum| unsafe { avx2(sum) });
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
