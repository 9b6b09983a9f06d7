//! Sixteen `f32` values at a time: one register of AVX-512, two of AVX2, or an array.
//!
//! A value of an [`InstructionSet`] is the proof that the processor has it, so that its holder may use its registers: all
//! operations are safe. A [`Kernel`] is written once over any of them, `#[inline(always)]`, and [`run_on_best`] compiles it for each.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Values in one group.
pub(super) const LANES: usize = 16;

/// Instructions for groups of [`LANES`] values. Only a processor that has them gives a value of such a type.
pub(super) trait InstructionSet: Copy {
    /// A group of values, in registers.
    type Lanes: Copy;

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::Lanes;
    /// All lanes from memory.
    fn load(self, from: &[f32; LANES]) -> Self::Lanes;
    /// The first lanes from memory, at most [`LANES`], and zero in the others.
    fn load_first(self, from: &[f32]) -> Self::Lanes;
    /// The first lanes to memory, as many as there is room for.
    fn store_first(self, lanes: Self::Lanes, to: &mut [f32]);
    /// `a + b`.
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes;
    /// `a * b + c`.
    fn multiply_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes;
    /// Zero for negative lanes. NaN stays NaN: damage has to show in the end, not to turn into a zero.
    fn relu(self, lanes: Self::Lanes) -> Self::Lanes;
    /// The sum of all lanes.
    fn sum(self, lanes: Self::Lanes) -> f32;
}

/// What is compiled for each instruction set. `run` must be `#[inline(always)]`, to be compiled into a function that has the
/// instructions.
pub(super) trait Kernel {
    /// Does all of the work.
    fn run<I: InstructionSet>(self, set: I);
}

/// Runs a kernel with the widest registers that this processor has.
pub(super) fn run_on_best(kernel: impl Kernel) {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(avx512) = Avx512::detect() {
            return avx512.run(kernel);
        }
        if let Some(avx2) = Avx2::detect() {
            return avx2.run(kernel);
        }
    }
    kernel.run(Portable);
}

/// AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The proof, if the processor has it.
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Self(()))
    }

    /// Runs a kernel that is compiled for it.
    pub(super) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx512f")]
        fn compiled(kernel: impl Kernel, set: Avx512) {
            kernel.run(set);
        }
        // SAFETY: `self` proves AVX-512F.
        unsafe { compiled(kernel, self) }
    }
}

#[cfg(target_arch = "x86_64")]
fn mask(count: usize) -> __mmask16 {
    assert!(count <= LANES, "a group has at most {LANES} values");
    ((1u32 << count) - 1) as __mmask16
}

#[cfg(target_arch = "x86_64")]
impl InstructionSet for Avx512 {
    type Lanes = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> __m512 {
        // SAFETY: `self` proves AVX-512F, and the array has all lanes.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_first(self, from: &[f32]) -> __m512 {
        // SAFETY: `self` proves AVX-512F, and the mask keeps to the slice.
        unsafe { _mm512_maskz_loadu_ps(mask(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store_first(self, lanes: __m512, to: &mut [f32]) {
        // SAFETY: `self` proves AVX-512F, and the mask keeps to the slice.
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask(to.len()), lanes) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn relu(self, lanes: __m512) -> __m512 {
        // Of a NaN and a number the instruction gives the second operand.
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_max_ps(_mm512_setzero_ps(), lanes) }
    }

    #[inline(always)]
    fn sum(self, lanes: __m512) -> f32 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_reduce_add_ps(lanes) }
    }
}

/// AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The proof, if the processor has both.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Runs a kernel that is compiled for them.
    pub(super) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx2,fma")]
        fn compiled(kernel: impl Kernel, set: Avx2) {
            kernel.run(set);
        }
        // SAFETY: `self` proves AVX2 and FMA.
        unsafe { compiled(kernel, self) }
    }
}

#[cfg(target_arch = "x86_64")]
impl InstructionSet for Avx2 {
    type Lanes = (__m256, __m256);

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Lanes {
        // SAFETY: `self` proves AVX2.
        unsafe { (_mm256_set1_ps(value), _mm256_set1_ps(value)) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Lanes {
        // SAFETY: `self` proves AVX2, and the array has both halves.
        unsafe {
            (
                _mm256_loadu_ps(from.as_ptr()),
                _mm256_loadu_ps(from.as_ptr().add(8)),
            )
        }
    }

    #[inline(always)]
    fn load_first(self, from: &[f32]) -> Self::Lanes {
        if let Ok(all) = from.try_into() {
            return self.load(all);
        }
        let mut values = [0.0; LANES];
        values[..from.len()].copy_from_slice(from);
        self.load(&values)
    }

    #[inline(always)]
    fn store_first(self, lanes: Self::Lanes, to: &mut [f32]) {
        let store = |to: &mut [f32; LANES]| {
            // SAFETY: `self` proves AVX2, and the array has room for both halves.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), lanes.0);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), lanes.1);
            }
        };
        if let Ok(all) = to.try_into() {
            return store(all);
        }
        let mut values = [0.0; LANES];
        store(&mut values);
        to.copy_from_slice(&values[..to.len()]);
    }

    #[inline(always)]
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        // SAFETY: `self` proves AVX2.
        unsafe { (_mm256_add_ps(a.0, b.0), _mm256_add_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
        // SAFETY: `self` proves FMA.
        unsafe { (_mm256_fmadd_ps(a.0, b.0, c.0), _mm256_fmadd_ps(a.1, b.1, c.1)) }
    }

    #[inline(always)]
    fn relu(self, lanes: Self::Lanes) -> Self::Lanes {
        // As with AVX-512, the order of the operands matters.
        // SAFETY: `self` proves AVX2.
        unsafe {
            let zero = _mm256_setzero_ps();
            (_mm256_max_ps(zero, lanes.0), _mm256_max_ps(zero, lanes.1))
        }
    }

    #[inline(always)]
    fn sum(self, lanes: Self::Lanes) -> f32 {
        let mut values = [0.0; 4];
        // SAFETY: `self` proves AVX2, and the array has room for the four sums.
        unsafe {
            let eight = _mm256_add_ps(lanes.0, lanes.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            _mm_storeu_ps(values.as_mut_ptr(), four);
        }
        (values[0] + values[1]) + (values[2] + values[3])
    }
}

/// Any processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl InstructionSet for Portable {
    type Lanes = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Lanes {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::Lanes {
        *from
    }

    #[inline(always)]
    fn load_first(self, from: &[f32]) -> Self::Lanes {
        let mut values = [0.0; LANES];
        values[..from.len()].copy_from_slice(from);
        values
    }

    #[inline(always)]
    fn store_first(self, lanes: Self::Lanes, to: &mut [f32]) {
        to.copy_from_slice(&lanes[..to.len()]);
    }

    #[inline(always)]
    fn add(self, a: Self::Lanes, b: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn multiply_add(self, a: Self::Lanes, b: Self::Lanes, c: Self::Lanes) -> Self::Lanes {
        // No `mul_add`: without the instruction it is a call.
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }

    #[inline(always)]
    fn relu(self, lanes: Self::Lanes) -> Self::Lanes {
        lanes.map(|value| if value < 0.0 { 0.0 } else { value })
    }

    #[inline(always)]
    fn sum(self, lanes: Self::Lanes) -> f32 {
        lanes.iter().sum()
    }
}
