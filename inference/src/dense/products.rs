//! Inner products of vectors that lie in memory one after the other.

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::lanes::{LANES, Lanes, Portable};

/// `out[i] = vectors[i] . with`, for `out.len()` vectors of the width of `with`, row-major; those behind are not read.
pub fn inner_products(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    assert!(
        out.len() * with.len() <= vectors.len(),
        "fewer vectors than products"
    );
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, and there are vectors enough.
            return unsafe { avx512(vectors, with, out) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, and there are vectors enough.
            return unsafe { avx2(vectors, with, out) };
        }
    }
    // SAFETY: there are vectors enough.
    unsafe { products::<Portable>(vectors, with, out) }
}

/// # Safety
/// There are vectors enough, and the processor has what `L` needs.
#[inline(always)]
unsafe fn products<L: Lanes>(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    let whole = with.len() / LANES * LANES;
    let rest = with.len() - whole;
    for (position, out) in out.iter_mut().enumerate() {
        // SAFETY: all groups lie in `with` and in the vector at `position`, of which the caller promises that it is there.
        unsafe {
            let vector = vectors.as_ptr().add(position * with.len());
            let mut sums = L::splat(0.0);
            for start in (0..whole).step_by(LANES) {
                sums = L::multiply_add(
                    L::load(vector.add(start)),
                    L::load(with.as_ptr().add(start)),
                    sums,
                );
            }
            if rest > 0 {
                let (a, b) = (vector.add(whole), with.as_ptr().add(whole));
                sums = L::multiply_add(L::load_first(a, rest), L::load_first(b, rest), sums);
            }
            *out = sums.sum();
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { products::<Avx512>(vectors, with, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(vectors: &[f32], with: &[f32], out: &mut [f32]) {
    // SAFETY: the caller's promise.
    unsafe { products::<Avx2>(vectors, with, out) }
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
        // SAFETY: there are `count` vectors.
        unsafe { products::<Portable>(&vectors, &with, &mut out) };
        near(&out);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features, and there are `count` vectors.
            unsafe { avx2(&vectors, &with, &mut out) };
            near(&out);
        }
    }

    #[test]
    fn every_instruction_set_gives_the_sums_of_products() {
        for (width, count) in [(1, 3), (8, 2), (16, 5), (20, 1), (64, 17), (100, 4), (0, 2)] {
            check(width, count);
        }
    }
}
