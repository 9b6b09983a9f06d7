//! The walk with vector gathers: one row a lane, several registers on their way at once.
//!
//! A node is gathered whole, 8 bytes a lane, and then split into halves: that takes half of the loads that two gathers
//! of 4 bytes would.

use std::arch::x86_64::*;

use super::nodes::{
    CATEGORY_MASK, CHILD_MASK, FEATURE_SHIFT, KIND_SHIFT, LEAF_MASK, PLACE_MASK, SIZE_SHIFT, Span, kind,
};
use super::{Matrix, STEPS_PER_CHECK, Trees};

/// Registers of rows on their way at once, at most.
const MAX_REGISTERS: usize = 5;

/// Adds every tree's leaf value to each row's sum, 16 rows a register.
///
/// # Safety
/// The processor must have AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn sum_avx512(trees: &Trees, matrix: &Matrix, sums: &mut [f64]) {
    for span in &trees.spans {
        each_group(matrix, sums, 16, |values, sums, registers| {
            // SAFETY: this function's own contract; `values` and `sums` are of `registers` times 16 rows.
            unsafe {
                match registers {
                    1 => walk_avx512::<1>(trees, *span, values, matrix.columns, sums),
                    2 => walk_avx512::<2>(trees, *span, values, matrix.columns, sums),
                    3 => walk_avx512::<3>(trees, *span, values, matrix.columns, sums),
                    4 => walk_avx512::<4>(trees, *span, values, matrix.columns, sums),
                    5 => walk_avx512::<5>(trees, *span, values, matrix.columns, sums),
                    _ => walk_avx512::<6>(trees, *span, values, matrix.columns, sums),
                }
            }
        });
    }
}

/// Adds every tree's leaf value to each row's sum, 8 rows a register.
///
/// # Safety
/// The processor must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sum_avx2(trees: &Trees, matrix: &Matrix, sums: &mut [f64]) {
    for span in &trees.spans {
        each_group(matrix, sums, 8, |values, sums, registers| {
            // SAFETY: this function's own contract; `values` and `sums` are of `registers` times 8 rows.
            unsafe {
                match registers {
                    1 => walk_avx2::<1>(trees, *span, values, matrix.columns, sums),
                    2 => walk_avx2::<2>(trees, *span, values, matrix.columns, sums),
                    3 => walk_avx2::<3>(trees, *span, values, matrix.columns, sums),
                    4 => walk_avx2::<4>(trees, *span, values, matrix.columns, sums),
                    5 => walk_avx2::<5>(trees, *span, values, matrix.columns, sums),
                    _ => walk_avx2::<6>(trees, *span, values, matrix.columns, sums),
                }
            }
        });
    }
}

/// Cuts rows and sums into groups of registers of nearly equal size: a last group of one register would wait for loads.
#[inline(always)]
fn each_group(
    matrix: &Matrix,
    sums: &mut [f64],
    lanes: usize,
    mut walk: impl FnMut(&[u32], &mut [f64], usize),
) {
    let mut registers = sums.len() / lanes;
    let mut groups = registers.div_ceil(MAX_REGISTERS);
    let mut row = 0;
    while groups > 0 {
        let group = registers.div_ceil(groups);
        let rows = group * lanes;
        let values = &matrix.values[row * matrix.columns..][..rows * matrix.columns];
        walk(values, &mut sums[row..][..rows], group);
        row += rows;
        registers -= group;
        groups -= 1;
    }
}

/// Brings into each result the value of the leaf that its row has reached.
///
/// # Safety
/// `at` must be leaves of the tree.
#[inline(always)]
unsafe fn add_leaves(trees: &Trees, span: Span, at: &[u32], sums: &mut [f64]) {
    // SAFETY: `at` are leaves of the tree, each with the number of one of the tree's values.
    let leaf = |at: &u32| unsafe {
        let leaf = *trees.nodes.get_unchecked(span.nodes + *at as usize) as u32 & LEAF_MASK;
        *trees.leaves.get_unchecked(span.leaves + leaf as usize)
    };
    trees.combine.add(sums, at.iter().map(leaf));
}

/// Walks `REGISTERS` times 16 rows through one tree.
///
/// # Safety
/// The processor must have AVX-512F; `values` and `sums` must be of that many rows. All gathers stay in bounds: nodes
/// lead to nodes of their own tree, features are below `columns`, sets have all their words (`Trees`).
#[target_feature(enable = "avx512f")]
unsafe fn walk_avx512<const REGISTERS: usize>(
    trees: &Trees,
    span: Span,
    values: &[u32],
    columns: usize,
    sums: &mut [f64],
) {
    let nodes = trees.nodes[span.nodes..].as_ptr().cast::<i64>();
    let sets = trees.sets.as_ptr().cast::<i32>();
    let values = values.as_ptr().cast::<i32>();

    let set = |word: u32| _mm512_set1_epi32(word as i32);
    let lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let low_halves = _mm512_slli_epi32::<1>(lane);
    let high_halves = _mm512_add_epi32(low_halves, set(1));
    let first_row = _mm512_mullo_epi32(lane, set(columns as u32));

    let mut at = [_mm512_setzero_si512(); REGISTERS];
    let mut step = 0;
    while step < span.depth {
        step += 1;
        let mut moved = 0;
        for (register, at) in at.iter_mut().enumerate() {
            // SAFETY: the contract of this function.
            let (first, second) = unsafe {
                (
                    _mm512_i32gather_epi64::<8>(_mm512_castsi512_si256(*at), nodes),
                    _mm512_i32gather_epi64::<8>(_mm512_extracti64x4_epi64::<1>(*at), nodes),
                )
            };
            let low = _mm512_permutex2var_epi32(first, low_halves, second);
            let high = _mm512_permutex2var_epi32(first, high_halves, second);
            let feature = _mm512_srli_epi32::<FEATURE_SHIFT>(high);
            // SAFETY: the contract of this function.
            let value = unsafe {
                let row = values.add(register * 16 * columns);
                _mm512_i32gather_epi32::<4>(_mm512_add_epi32(first_row, feature), row)
            };
            let mut right =
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(_mm512_castsi512_ps(value), _mm512_castsi512_ps(low));
            let category = _mm512_cmpeq_epi32_mask(
                _mm512_and_epi32(high, set(CATEGORY_MASK)),
                set(kind::CATEGORY << KIND_SHIFT),
            );
            if category != 0 {
                let word = _mm512_srli_epi32::<5>(value);
                let none = _mm512_setzero_si512();
                let beyond = _mm512_srlv_epi32(word, _mm512_srli_epi32::<SIZE_SHIFT>(low));
                let within = _mm512_mask_cmpeq_epi32_mask(category, beyond, none);
                let place = _mm512_add_epi32(_mm512_and_epi32(low, set(PLACE_MASK)), word);
                // SAFETY: the contract of this function; lanes without a set, or past its words, are not loaded.
                let bits = unsafe { _mm512_mask_i32gather_epi32::<4>(none, within, place, sets) };
                let bit = _mm512_srlv_epi32(bits, _mm512_and_epi32(value, set(31)));
                let member = _mm512_test_epi32_mask(bit, set(1));
                right = (right & !category) | (category & !member);
            }
            let left = _mm512_and_epi32(high, set(CHILD_MASK));
            let next = _mm512_mask_add_epi32(left, right, left, set(1));
            if step % STEPS_PER_CHECK == 0 {
                moved |= _mm512_cmpneq_epi32_mask(next, *at);
            }
            *at = next;
        }
        if step % STEPS_PER_CHECK == 0 && moved == 0 {
            break;
        }
    }
    // SAFETY: the contract of this function; every lane has arrived at a leaf.
    unsafe { add_registers_avx512(trees, span, &at, sums) }
}

/// Brings the leaves that all lanes are at into the sums of their rows.
///
/// # Safety
/// The processor must have AVX-512F, and every lane must be at a leaf of the tree.
#[target_feature(enable = "avx512f")]
unsafe fn add_registers_avx512(trees: &Trees, span: Span, at: &[__m512i], sums: &mut [f64]) {
    for (at, sums) in at.iter().zip(sums.chunks_exact_mut(16)) {
        let mut lanes = [0u32; 16];
        // SAFETY: `lanes` has room for the register; the rest is the contract of this function.
        unsafe {
            _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *at);
            add_leaves(trees, span, &lanes, sums);
        }
    }
}

/// Walks `REGISTERS` times 8 rows through one tree.
///
/// # Safety
/// The processor must have AVX2; otherwise as [`walk_avx512`].
#[target_feature(enable = "avx2")]
unsafe fn walk_avx2<const REGISTERS: usize>(
    trees: &Trees,
    span: Span,
    values: &[u32],
    columns: usize,
    sums: &mut [f64],
) {
    let nodes = trees.nodes[span.nodes..].as_ptr().cast::<i64>();
    let sets = trees.sets.as_ptr().cast::<i32>();
    let values = values.as_ptr().cast::<i32>();

    let set = |word: u32| _mm256_set1_epi32(word as i32);
    let lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    let first_row = _mm256_mullo_epi32(lane, set(columns as u32));

    let mut at = [_mm256_setzero_si256(); REGISTERS];
    let mut step = 0;
    while step < span.depth {
        step += 1;
        let mut moved = _mm256_setzero_si256();
        for (register, at) in at.iter_mut().enumerate() {
            // SAFETY: the contract of this function.
            let (first, second) = unsafe {
                (
                    _mm256_i32gather_epi64::<8>(nodes, _mm256_castsi256_si128(*at)),
                    _mm256_i32gather_epi64::<8>(nodes, _mm256_extracti128_si256::<1>(*at)),
                )
            };
            let (first, second) = (_mm256_castsi256_ps(first), _mm256_castsi256_ps(second));
            let half = |halves| _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_castps_si256(halves));
            let low = half(_mm256_shuffle_ps::<0b10_00_10_00>(first, second));
            let high = half(_mm256_shuffle_ps::<0b11_01_11_01>(first, second));
            let feature = _mm256_srli_epi32::<{ FEATURE_SHIFT as i32 }>(high);
            // SAFETY: the contract of this function.
            let value = unsafe {
                let row = values.add(register * 8 * columns);
                _mm256_i32gather_epi32::<4>(row, _mm256_add_epi32(first_row, feature))
            };
            let mut right = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_GT_OQ>(
                _mm256_castsi256_ps(value),
                _mm256_castsi256_ps(low),
            ));
            let category = _mm256_cmpeq_epi32(
                _mm256_and_si256(high, set(CATEGORY_MASK)),
                set(kind::CATEGORY << KIND_SHIFT),
            );
            if _mm256_testz_si256(category, category) == 0 {
                let word = _mm256_srli_epi32::<5>(value);
                let none = _mm256_setzero_si256();
                let beyond = _mm256_srlv_epi32(word, _mm256_srli_epi32::<{ SIZE_SHIFT as i32 }>(low));
                let within = _mm256_and_si256(category, _mm256_cmpeq_epi32(beyond, none));
                let place = _mm256_add_epi32(_mm256_and_si256(low, set(PLACE_MASK)), word);
                // SAFETY: the contract of this function; lanes without a set, or past its words, are not loaded.
                let bits = unsafe { _mm256_mask_i32gather_epi32::<4>(none, sets, place, within) };
                let bit = _mm256_and_si256(_mm256_srlv_epi32(bits, _mm256_and_si256(value, set(31))), set(1));
                let outside = _mm256_cmpeq_epi32(bit, none);
                right = _mm256_blendv_epi8(right, outside, category);
            }
            // `right` is -1 where the test says so.
            let next = _mm256_sub_epi32(_mm256_and_si256(high, set(CHILD_MASK)), right);
            moved = _mm256_or_si256(moved, _mm256_xor_si256(next, *at));
            *at = next;
        }
        if step % STEPS_PER_CHECK == 0 && _mm256_testz_si256(moved, moved) == 1 {
            break;
        }
    }
    // SAFETY: the contract of this function; every lane has arrived at a leaf.
    unsafe { add_registers_avx2(trees, span, &at, sums) }
}

/// Brings the leaves that all lanes are at into the sums of their rows.
///
/// # Safety
/// The processor must have AVX2, and every lane must be at a leaf of the tree.
#[target_feature(enable = "avx2")]
unsafe fn add_registers_avx2(trees: &Trees, span: Span, at: &[__m256i], sums: &mut [f64]) {
    for (at, sums) in at.iter().zip(sums.chunks_exact_mut(8)) {
        let mut lanes = [0u32; 8];
        // SAFETY: `lanes` has room for the register; the rest is the contract of this function.
        unsafe {
            _mm256_storeu_si256(lanes.as_mut_ptr().cast(), *at);
            add_leaves(trees, span, &lanes, sums);
        }
    }
}
