//! The walk without gathers, for every processor and every forest.
//!
//! Paths to leaves differ in length: of eight rows the longest is twice the mean. So rows that have arrived make room after every few
//! steps, and the others go on together ([`OnTheWay`]).

use super::ahead::Line;
use super::nodes::{
    CATEGORY_MASK, CHILD_MASK, FEATURE_SHIFT, KIND_MASK, KIND_SHIFT, LEAF_MASK, PLACE_MASK, SIZE_SHIFT, Span,
    kind,
};
use super::{Matrix, PAD, Trees};

/// Rows that take their steps side by side: enough to hide that each step waits for the one before.
const GROUP: usize = 8;
const _: () = assert!(PAD.is_multiple_of(GROUP) && Matrix::MAX_ROWS.is_multiple_of(GROUP));

/// Steps before rows that have arrived make room: half of a usual path.
const STEPS: usize = 5;

/// Lines of the next tree that are asked for while a group takes its steps.
const LINES_A_GROUP: usize = 6;

/// Adds every tree's leaf value to each row's sum. `MISSING`: nodes may test for missing values.
pub(super) fn sum<const MISSING: bool>(trees: &Trees, matrix: &Matrix, sums: &mut [f64]) {
    let mut rows = OnTheWay::new();
    for (tree, span) in trees.spans.iter().enumerate() {
        rows.start(sums.len());
        let ahead = trees.lines(tree + 1);
        match span.categories {
            true => walk::<MISSING, true>(trees, *span, matrix, &mut rows, ahead),
            false => walk::<MISSING, false>(trees, *span, matrix, &mut rows, ahead),
        }
        let (nodes, leaves) = (&trees.nodes[span.nodes..], &trees.leaves[span.leaves..]);
        let leaf = |at: &u32| leaves[(nodes[*at as usize] as u32 & LEAF_MASK) as usize];
        trees
            .combine
            .add(sums, rows.reached[..sums.len()].iter().map(leaf));
    }
}

/// Walks all rows through one tree, and has `ahead` brought near meanwhile.
fn walk<const MISSING: bool, const CATEGORIES: bool>(
    trees: &Trees,
    span: Span,
    matrix: &Matrix,
    rows: &mut OnTheWay,
    mut ahead: impl Iterator<Item = Line>,
) {
    let nodes = &trees.nodes[span.nodes..];
    let stride = matrix.columns;
    while rows.many > 0 {
        let mut staying = 0;
        for first in (0..rows.many).step_by(GROUP) {
            ahead.by_ref().take(LINES_A_GROUP).for_each(Line::fetch);
            let (row, mut at) = rows.group(first);
            let values: [&[u32]; GROUP] = row.map(|row| &matrix.values[row as usize * stride..][..stride]);
            let mut before = at;
            for _ in 0..STEPS {
                before = at;
                at = std::array::from_fn(|lane| {
                    next::<MISSING, CATEGORIES>(nodes, &trees.sets, values[lane], at[lane])
                });
            }
            for lane in 0..GROUP {
                // A leaf leads to itself.
                let arrived = at[lane] == before[lane];
                rows.put(staying, row[lane], at[lane]);
                staying += usize::from(!arrived);
            }
        }
        rows.keep(staying);
    }
}

/// The rows that have not arrived at a leaf, and the nodes that all have reached.
struct OnTheWay {
    row: [u32; Matrix::MAX_ROWS],
    at: [u32; Matrix::MAX_ROWS],
    /// How many of these there are: whole groups.
    many: usize,
    /// Where each row is, whether or not it has arrived.
    reached: [u32; Matrix::MAX_ROWS],
}

impl OnTheWay {
    fn new() -> Self {
        let none = [0; Matrix::MAX_ROWS];
        Self {
            row: none,
            at: none,
            many: 0,
            reached: none,
        }
    }

    /// All rows are at the root.
    fn start(&mut self, rows: usize) {
        self.many = rows;
        self.at[..rows].fill(0);
        self.row[..rows]
            .iter_mut()
            .zip(0..)
            .for_each(|(row, number)| *row = number);
    }

    fn group(&self, first: usize) -> ([u32; GROUP], [u32; GROUP]) {
        let group = first..first + GROUP;
        let (row, at) = (&self.row[group.clone()], &self.at[group]);
        (
            std::array::from_fn(|lane| row[lane]),
            std::array::from_fn(|lane| at[lane]),
        )
    }

    /// Notes where a row is, and has it at a place among those that may go on.
    #[inline(always)]
    fn put(&mut self, place: usize, row: u32, at: u32) {
        self.reached[row as usize] = at;
        self.row[place] = row;
        self.at[place] = at;
    }

    /// The first `staying` go on; the last of them fills its group.
    fn keep(&mut self, staying: usize) {
        self.many = staying.next_multiple_of(GROUP);
        if let Some(last) = staying.checked_sub(1) {
            let (row, at) = (self.row[last], self.at[last]);
            self.row[staying..self.many].fill(row);
            self.at[staying..self.many].fill(at);
        }
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
