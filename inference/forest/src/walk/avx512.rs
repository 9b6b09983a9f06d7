//! The walk with the gathers of AVX-512: one row a lane, several registers on their way at once.
//!
//! A node is gathered whole, 8 bytes a lane, and then split into halves: that takes half of the loads that two gathers
//! of 4 bytes would.

use std::arch::x86_64::*;

use super::ahead::Line;
use super::nodes::{
    CATEGORY_MASK, CHILD_MASK, FEATURE_SHIFT, KIND_SHIFT, LEAF_MASK, PLACE_MASK, SIZE_SHIFT, Span, kind,
};
use super::{Matrix, Trees};

/// Rows of a register.
const LANES: usize = 16;

/// Lines of the next tree that are asked for while a group of registers takes its steps.
const LINES_A_GROUP: usize = 96;

/// How often (in steps) a group of rows is asked whether all of it has arrived.
const STEPS_PER_CHECK: u32 = 4;

/// Registers of rows on their way at once, at most.
const MAX_REGISTERS: usize = 5;

/// Adds every tree's leaf value to each row's sum, 16 rows a register.
///
/// # Safety
/// The processor must have AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn sum(trees: &Trees, matrix: &Matrix, sums: &mut [f64]) {
    for (tree, span) in trees.spans.iter().enumerate() {
        let mut ahead = trees.lines(tree + 1);
        each_group(matrix, sums, |values, sums, registers| {
            ahead.by_ref().take(LINES_A_GROUP).for_each(Line::fetch);
            // SAFETY: this function's own contract; `values` and `sums` are of `registers` times 16 rows.
            unsafe {
                match registers {
                    1 => walk::<1>(trees, *span, values, matrix.columns, sums),
                    2 => walk::<2>(trees, *span, values, matrix.columns, sums),
                    3 => walk::<3>(trees, *span, values, matrix.columns, sums),
                    4 => walk::<4>(trees, *span, values, matrix.columns, sums),
                    5 => walk::<5>(trees, *span, values, matrix.columns, sums),
                    _ => walk::<6>(trees, *span, values, matrix.columns, sums),
                }
            }
        });
    }
}

/// Cuts rows and sums into groups of registers of nearly equal size: a last group of one register would wait for loads.
#[inline(always)]
fn each_group(matrix: &Matrix, sums: &mut [f64], mut walk: impl FnMut(&[u32], &mut [f64], usize)) {
    let mut registers = sums.len() / LANES;
    let mut groups = registers.div_ceil(MAX_REGISTERS);
    let mut row = 0;
    while groups > 0 {
        let group = registers.div_ceil(groups);
        let rows = group * LANES;
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
unsafe fn walk<const REGISTERS: usize>(
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
    unsafe { add_registers(trees, span, &at, sums) }
}

/// Brings the leaves that all lanes are at into the sums of their rows.
///
/// # Safety
/// The processor must have AVX-512F, and every lane must be at a leaf of the tree.
#[target_feature(enable = "avx512f")]
unsafe fn add_registers(trees: &Trees, span: Span, at: &[__m512i], sums: &mut [f64]) {
    for (at, sums) in at.iter().zip(sums.chunks_exact_mut(LANES)) {
        let mut lanes = [0u32; LANES];
        // SAFETY: `lanes` has room for the register; the rest is the contract of this function.
        unsafe {
            _mm512_storeu_si512(lanes.as_mut_ptr().cast(), *at);
            add_leaves(trees, span, &lanes, sums);
        }
    }
}
