//! Vectors as bytes, for a first look at many of them.
//!
//! A value is kept as `128 + round(127 x / largest)`, where `largest` is that of its vector, and a query's as
//! `round(63 q / largest)`: products of such bytes are summed exactly by every instruction set that there is for them
//! (without overflow: two products of 255 x 63 fit in 16 bits), so that they all find the same. 16 vectors make a block,
//! `[values / 4][16 vectors][4 values]`: a register holds four values of each, and no sum across a register is needed.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Vectors in a block.
pub(super) const BLOCK: usize = 16;
/// Values of one vector that are side by side.
const GROUP: usize = 4;
/// What stands for zero.
const ZERO: u8 = 128;

/// Vectors as bytes, in whole blocks.
#[derive(Debug, Default)]
pub(super) struct Codes {
    dimension: usize,
    bytes: Vec<u8>,
    /// What a product of bytes is to be multiplied by, one a vector; zero for those that fill up a block.
    scales: Vec<f32>,
}

/// A query as bytes.
#[derive(Debug, Default)]
pub(super) struct QueryCodes {
    groups: Vec<[i8; GROUP]>,
    /// What all sums have too much, because bytes of vectors are above zero.
    excess: i32,
}

impl QueryCodes {
    /// Replaces the query.
    pub(super) fn set(&mut self, query: &[f32]) {
        const MAX_CODE: f32 = 63.0;
        let factor = inverse_scale(query, MAX_CODE);
        self.groups.clear();
        self.groups.extend(query.chunks(GROUP).map(|values| {
            let mut group = [0; GROUP];
            for (byte, value) in group.iter_mut().zip(values) {
                *byte = (value * factor).round() as i8;
            }
            group
        }));
        let sum: i32 = self.groups.iter().flatten().map(|byte| i32::from(*byte)).sum();
        self.excess = i32::from(ZERO) * sum;
    }
}

impl Codes {
    /// No vectors yet, and room for some.
    pub(super) fn with_capacity(dimension: usize, blocks: usize) -> Self {
        Self {
            dimension,
            bytes: crate::memory::on_huge_pages(blocks * block_bytes(dimension)),
            scales: Vec::with_capacity(blocks * BLOCK),
        }
    }

    /// Adds a block of up to [`BLOCK`] vectors, row-major.
    pub(super) fn push_block(&mut self, vectors: &[f32]) {
        let start = self.bytes.len();
        self.bytes.resize(start + block_bytes(self.dimension), ZERO);
        let block = &mut self.bytes[start..];
        let before = self.scales.len();
        for (lane, vector) in vectors.chunks_exact(self.dimension).enumerate() {
            let factor = inverse_scale(vector, 127.0);
            for (group, values) in vector.chunks(GROUP).enumerate() {
                let bytes = &mut block[(group * BLOCK + lane) * GROUP..][..GROUP];
                for (byte, value) in bytes.iter_mut().zip(values) {
                    *byte = (f32::from(ZERO) + (value * factor).round()) as u8;
                }
            }
            self.scales.push(if factor > 0.0 { 1.0 / factor } else { 0.0 });
        }
        self.scales.resize(before + BLOCK, 0.0);
    }

    /// The bytes of some blocks, which will be needed soon.
    pub(super) fn prefetch(&self, blocks: std::ops::Range<usize>) {
        let size = block_bytes(self.dimension);
        crate::dense::prefetch(&self.bytes[blocks.start * size..blocks.end * size]);
    }

    /// Puts the product of the query with each vector of some blocks into `out`, nearly, and times a constant.
    pub(super) fn multiply(&self, blocks: std::ops::Range<usize>, query: &QueryCodes, out: &mut Vec<f32>) {
        assert_eq!(
            query.groups.len(),
            self.dimension.div_ceil(GROUP),
            "a query of another dimension"
        );
        let size = block_bytes(self.dimension);
        let bytes = &self.bytes[blocks.start * size..blocks.end * size];
        let scales = &self.scales[blocks.start * BLOCK..blocks.end * BLOCK];
        out.resize(scales.len(), 0.0);
        let job = Products {
            bytes,
            scales,
            query,
            out,
        };
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(vnni) = Vnni::detect() {
                return vnni.run(job);
            }
            if let Some(avx2) = Avx2::detect() {
                return avx2.run(job);
            }
        }
        job.run(Portable);
    }
}

fn block_bytes(dimension: usize) -> usize {
    dimension.div_ceil(GROUP) * GROUP * BLOCK
}

/// What values are multiplied by, so that the largest becomes `largest`; zero if all are zero.
fn inverse_scale(values: &[f32], largest: f32) -> f32 {
    let found = values
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    if found >= f32::MIN_POSITIVE * largest {
        largest / found
    } else {
        0.0
    }
}

/// Bytes that a group of the query is multiplied with: one group of each vector of a block.
const STEP: usize = GROUP * BLOCK;

/// Instructions for sums of products of bytes, one sum for each vector of a block. As with [`crate::dense`]'s, only a processor that has
/// them gives a value of such a type.
trait ByteProducts: Copy {
    /// The sums, in registers.
    type Sums: Copy;

    /// Sums of nothing.
    fn zero(self) -> Self::Sums;
    /// Adds the products of a group of the query with 16 groups of bytes.
    fn add(self, sums: Self::Sums, bytes: &[u8; STEP], query: [i8; GROUP]) -> Self::Sums;
    /// Writes `(sum - excess) * scale` of each vector.
    fn store(self, sums: Self::Sums, excess: i32, scales: &[f32; BLOCK], out: &mut [f32; BLOCK]);
}

/// The products of a query with the vectors of whole blocks.
struct Products<'a> {
    bytes: &'a [u8],
    scales: &'a [f32],
    query: &'a QueryCodes,
    out: &'a mut [f32],
}

impl Products<'_> {
    #[inline(always)]
    fn run<I: ByteProducts>(self, set: I) {
        let (steps, _) = self.bytes.as_chunks::<STEP>();
        let (scales, _) = self.scales.as_chunks::<BLOCK>();
        let (out, _) = self.out.as_chunks_mut::<BLOCK>();
        // A query without values has no steps to share out; all of its products are zero.
        let blocks = steps.chunks_exact(self.query.groups.len().max(1));
        for ((block, scales), out) in blocks.zip(scales).zip(out) {
            let mut sums = set.zero();
            for (bytes, group) in block.iter().zip(&self.query.groups) {
                sums = set.add(sums, bytes, *group);
            }
            set.store(sums, self.query.excess, scales, out);
        }
    }
}

/// AVX-512 with instructions for products of bytes.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Vnni(());

#[cfg(target_arch = "x86_64")]
impl Vnni {
    fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")).then_some(Self(()))
    }

    fn run(self, products: Products<'_>) {
        #[target_feature(enable = "avx512f,avx512vnni")]
        fn compiled(products: Products<'_>, set: Vnni) {
            products.run(set);
        }
        // SAFETY: `self` proves AVX-512F and VNNI.
        unsafe { compiled(products, self) }
    }
}

#[cfg(target_arch = "x86_64")]
impl ByteProducts for Vnni {
    type Sums = __m512i;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn add(self, sums: __m512i, bytes: &[u8; STEP], query: [i8; GROUP]) -> __m512i {
        // SAFETY: `self` proves AVX-512F and VNNI, and the array has the register's 64 bytes.
        unsafe {
            let query = _mm512_set1_epi32(i32::from_ne_bytes(query.map(|byte| byte as u8)));
            _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(bytes.as_ptr().cast()), query)
        }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, excess: i32, scales: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
        // SAFETY: `self` proves AVX-512F, and the arrays have all lanes.
        unsafe {
            let sums = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, _mm512_set1_epi32(excess)));
            let scaled = _mm512_mul_ps(sums, _mm512_loadu_ps(scales.as_ptr()));
            _mm512_storeu_ps(out.as_mut_ptr(), scaled);
        }
    }
}

/// AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    fn run(self, products: Products<'_>) {
        #[target_feature(enable = "avx2")]
        fn compiled(products: Products<'_>, set: Avx2) {
            products.run(set);
        }
        // SAFETY: `self` proves AVX2.
        unsafe { compiled(products, self) }
    }
}

#[cfg(target_arch = "x86_64")]
impl ByteProducts for Avx2 {
    type Sums = [__m256i; 2];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        // SAFETY: `self` proves AVX2.
        [unsafe { _mm256_setzero_si256() }; 2]
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, bytes: &[u8; STEP], query: [i8; GROUP]) -> Self::Sums {
        let (halves, _) = bytes.as_chunks::<32>();
        for (half, sum) in halves.iter().zip(&mut sums) {
            // SAFETY: `self` proves AVX2, and a half has the register's 32 bytes.
            unsafe {
                let query = _mm256_set1_epi32(i32::from_ne_bytes(query.map(|byte| byte as u8)));
                let pairs = _mm256_maddubs_epi16(_mm256_loadu_si256(half.as_ptr().cast()), query);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, excess: i32, scales: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
        let (scales, _) = scales.as_chunks::<8>();
        let (out, _) = out.as_chunks_mut::<8>();
        for ((sums, scales), out) in sums.into_iter().zip(scales).zip(out) {
            // SAFETY: `self` proves AVX2, and the halves have all lanes.
            unsafe {
                let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(excess)));
                let scaled = _mm256_mul_ps(sums, _mm256_loadu_ps(scales.as_ptr()));
                _mm256_storeu_ps(out.as_mut_ptr(), scaled);
            }
        }
    }
}

/// Any processor.
#[derive(Clone, Copy)]
struct Portable;

impl ByteProducts for Portable {
    type Sums = [i32; BLOCK];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0; BLOCK]
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, bytes: &[u8; STEP], query: [i8; GROUP]) -> Self::Sums {
        let (groups, _) = bytes.as_chunks::<GROUP>();
        for (sum, bytes) in sums.iter_mut().zip(groups) {
            for (byte, query) in bytes.iter().zip(query) {
                *sum += i32::from(*byte) * i32::from(query);
            }
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, excess: i32, scales: &[f32; BLOCK], out: &mut [f32; BLOCK]) {
        for ((sum, scale), out) in sums.into_iter().zip(scales).zip(out) {
            *out = (sum - excess) as f32 * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, step: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * step) % 41) as f32 / 41.0 - 0.5)
            .collect()
    }

    #[track_caller]
    fn check(dimension: usize, count: usize) {
        let (vectors, query) = (values(count * dimension, 7), values(dimension, 11));
        let mut codes = Codes::with_capacity(dimension, count.div_ceil(BLOCK));
        vectors
            .chunks(BLOCK * dimension)
            .for_each(|block| codes.push_block(block));
        let mut query_codes = QueryCodes::default();
        query_codes.set(&query);
        let blocks = count.div_ceil(BLOCK);
        let mut found = Vec::new();
        codes.multiply(0..blocks, &query_codes, &mut found);
        assert_eq!(found.len(), blocks * BLOCK);
        assert!(found[count..].iter().all(|filled_up| *filled_up == 0.0));

        let constant = 63.0
            / query
                .iter()
                .fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (vector, found) in vectors.chunks_exact(dimension).zip(&found) {
            let wanted: f32 = vector.iter().zip(&query).map(|(a, b)| a * b).sum();
            let found = found / constant;
            // Half a step of 1/63 and of 1/127 for every value, at most.
            let allowed = 0.5 * 0.5 * dimension as f32 * (0.5 / 63.0 + 0.5 / 127.0) * 1.01;
            assert!((found - wanted).abs() <= allowed, "{found} is not {wanted}");
        }
        let mut others = vec![9.0; found.len()];
        let mut compare = |run: &dyn Fn(Products<'_>)| {
            others.fill(9.0);
            run(Products {
                bytes: &codes.bytes,
                scales: &codes.scales,
                query: &query_codes,
                out: &mut others,
            });
            assert_eq!(others, found);
        };
        compare(&|products| products.run(Portable));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            compare(&|products| avx2.run(products));
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_and_nearly_the_product() {
        for (dimension, count) in [(1, 1), (4, 16), (6, 17), (64, 40), (99, 5), (512, 33)] {
            check(dimension, count);
        }
    }

    #[test]
    fn the_largest_bytes_do_not_overflow() {
        let dimension = 64;
        let mut codes = Codes::with_capacity(dimension, 1);
        codes.push_block(&vec![1.0; BLOCK * dimension]);
        let (mut query, mut found) = (QueryCodes::default(), Vec::new());
        for sign in [1.0, -1.0] {
            query.set(&vec![sign; dimension]);
            codes.multiply(0..1, &query, &mut found);
            let wanted = sign * 63.0 * dimension as f32;
            assert!(
                found.iter().all(|found| (found - wanted).abs() < 1e-2),
                "{found:?}"
            );
        }
    }

    #[test]
    fn vectors_of_zeros_and_queries_of_zeros_give_zero() {
        let mut codes = Codes::with_capacity(3, 1);
        codes.push_block(&[0.0, 0.0, 0.0, 1.0, -2.0, 1e-41]);
        let (mut query, mut found) = (QueryCodes::default(), Vec::new());
        query.set(&[1.0, 1.0, 1.0]);
        codes.multiply(0..1, &query, &mut found);
        assert!(found[0] == 0.0 && found[1] < 0.0, "{found:?}");
        query.set(&[0.0; 3]);
        codes.multiply(0..1, &query, &mut found);
        assert_eq!(found, [0.0; BLOCK]);
    }
}
