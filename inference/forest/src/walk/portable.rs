//! The walk without vector instructions, for every processor and every forest.

use super::nodes::{
    CATEGORY_MASK, CHILD_MASK, FEATURE_SHIFT, KIND_MASK, KIND_SHIFT, LEAF_MASK, PLACE_MASK, SIZE_SHIFT, Span,
    kind,
};
use super::{Matrix, PAD, STEPS_PER_CHECK, Trees};

/// Rows on their way at once: enough to hide that each step waits for the one before.
const GROUP: usize = 8;
const _: () = assert!(PAD.is_multiple_of(GROUP));

/// Adds every tree's leaf value to each row's sum. `MISSING`: nodes may test for missing values.
pub(super) fn sum<const MISSING: bool>(trees: &Trees, matrix: &Matrix, sums: &mut [f64]) {
    for span in &trees.spans {
        match span.categories {
            true => walk::<MISSING, true>(trees, *span, matrix, sums),
            false => walk::<MISSING, false>(trees, *span, matrix, sums),
        }
    }
}

/// Walks all rows through one tree, a group after the other.
fn walk<const MISSING: bool, const CATEGORIES: bool>(
    trees: &Trees,
    span: Span,
    matrix: &Matrix,
    sums: &mut [f64],
) {
    let nodes = &trees.nodes[span.nodes..];
    let leaves = &trees.leaves[span.leaves..];
    let stride = matrix.columns;
    for (group, sums) in sums.chunks_exact_mut(GROUP).enumerate() {
        let group = &matrix.values[group * GROUP * stride..][..GROUP * stride];
        let rows: [&[u32]; GROUP] = std::array::from_fn(|lane| &group[lane * stride..][..stride]);
        let mut at = [0u32; GROUP];
        let mut step = 0;
        while step < span.depth {
            step += 1;
            let next: [u32; GROUP] = std::array::from_fn(|lane| {
                next::<MISSING, CATEGORIES>(nodes, &trees.sets, rows[lane], at[lane])
            });
            if step % STEPS_PER_CHECK == 0 && next == at {
                break;
            }
            at = next;
        }
        let leaf = |at: &u32| leaves[(nodes[*at as usize] as u32 & LEAF_MASK) as usize];
        trees.combine.add(sums, at.iter().map(leaf));
    }
}

/// The node after `at`.
#[inline(always)]
fn next<const MISSING: bool, const CATEGORIES: bool>(
    nodes: &[u64],
    sets: &[u32],
    row: &[u32],
    at: u32,
) -> u32 {
    // SAFETY: `at` is 0 or came from a node, and children are in the tree (`Trees::push`).
    let node = unsafe { *nodes.get_unchecked(at as usize) };
    let (low, high) = (node as u32, (node >> 32) as u32);
    // SAFETY: a feature is below the number of columns (checked by the parser and by `Trees::sum`).
    let value = unsafe { *row.get_unchecked((high >> FEATURE_SHIFT) as usize) };
    let right = if CATEGORIES && high & CATEGORY_MASK == kind::CATEGORY << KIND_SHIFT {
        let kind = (high & KIND_MASK) >> KIND_SHIFT;
        let missing_left = MISSING && kind == kind::CATEGORY_OR_NAN && f32::from_bits(value).is_nan();
        !(missing_left || in_set(sets, low, value))
    } else {
        let (value, threshold) = (f32::from_bits(value), f32::from_bits(low));
        if MISSING {
            above_or_missing((high & KIND_MASK) >> KIND_SHIFT, value, threshold)
        } else {
            // Nothing is above a leaf's NaN.
            value > threshold
        }
    };
    (high & CHILD_MASK) + u32::from(right)
}

#[inline(always)]
fn above_or_missing(kind: u32, value: f32, threshold: f32) -> bool {
    let nan = value.is_nan();
    let missing = match kind & kind::ZERO {
        0 => nan,
        _ => nan || value == 0.0,
    };
    if kind & kind::MISSING != 0 && missing {
        kind & kind::LEFT == 0
    } else {
        (if nan { 0.0 } else { value }) > threshold
    }
}

#[inline(always)]
fn in_set(sets: &[u32], set: u32, category: u32) -> bool {
    let word = category / 32;
    if word >> (set >> SIZE_SHIFT) != 0 {
        return false;
    }
    // SAFETY: the set came from `Trees::test`, so that many words are at its place.
    let bits = unsafe { *sets.get_unchecked((set & PLACE_MASK) as usize + word as usize) };
    bits >> (category % 32) & 1 == 1
}
