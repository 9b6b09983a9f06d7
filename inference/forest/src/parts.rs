//! A forest of small trees, asked part by part.
//!
//! Which leaf of a tree a row reaches depends on all of its values, but each value rules leaves out on its own: what a test sends to
//! the right reaches no leaf on the test's left. So a part of a row, such as what is known of a user or of an item, leaves a set of
//! leaves in reach ([`LeafSet`]) whatever the rest of the row is; the set of a whole row is what all of its parts leave, and its
//! leftmost leaf is the one that the row reaches. A part that many rows have in common is asked once.
//!
//! Sets of leaves are those of Lucchese et al., "QuickScorer: a fast algorithm to rank documents with additive ensembles of
//! regression trees", SIGIR 2015; there they are made for whole rows. Leaves are added as the [walk](crate::walk) adds them, so
//! both give the same bits.
//!
//! All tests of a tree are made, not only those on the way to a leaf, but none waits for another: [`LANES`] rows are tested with
//! each instruction. That is quicker than a walk while a set fits a register.

use std::ops::Range;

use crate::Outcome;
use crate::model::Combine;
use crate::walk::{Path, Test, Trees, Unpacked};

/// Rows that are asked together.
pub const LANES: usize = 16;

/// Leaves that a set has room for.
const MAX_LEAVES: usize = u64::BITS as usize;

/// What a part leaves of up to [`LANES`] rows, for each tree.
pub type PartSets = [[LeafSet; LANES]];

/// Values of up to [`LANES`] rows for each input of a part, as [`Columns`](crate::Columns) encodes them.
pub type PartRows = [[u32; LANES]];

/// Leaves of a tree that a row may still reach: bit `i` is the leaf number `i` from the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeafSet(pub u64);

impl LeafSet {
    /// All leaves.
    pub const ALL: Self = Self(u64::MAX);

    /// The leaves that are in both.
    #[must_use]
    #[inline(always)]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The leftmost leaf; the last that there is room for, if there is none.
    #[inline(always)]
    fn leftmost(self) -> usize {
        const LAST: u64 = 1 << (MAX_LEAVES - 1);
        (self.0 | LAST).trailing_zeros() as usize
    }
}

/// A forest that is asked part by part.
#[derive(Clone, Debug)]
pub struct PartedForest {
    parts: Vec<Part>,
    /// The leaves of each tree, from left to right.
    leaves: Vec<[f64; MAX_LEAVES]>,
    combine: Combine,
    start: f64,
    outcome: Outcome,
    path: Path,
}

/// The tests of some inputs.
#[derive(Clone, Debug)]
struct Part {
    /// Number of inputs.
    width: usize,
    /// Sorted by tree.
    tests: Vec<Ruling>,
    /// Where those of each tree are.
    of_tree: Vec<Range<usize>>,
}

/// A test of an input, and what it leaves.
#[derive(Clone, Debug)]
struct Ruling {
    /// Which of the part's inputs.
    input: usize,
    test: Test,
    /// Leaves in reach of a row that goes to the right.
    of_right: LeafSet,
}

impl PartedForest {
    /// Takes the forest apart by its inputs, of which each part has the next `widths`; `None` where a tree has more leaves than a set
    /// has room for.
    pub(crate) fn new(trees: &Trees, widths: &[usize], outcome: Outcome, path: Path) -> Option<Self> {
        if (0..trees.len()).any(|tree| trees.leaves(tree).len() > MAX_LEAVES) {
            return None;
        }
        let mut parted = Self {
            parts: widths.iter().map(|width| Part::of(*width)).collect(),
            leaves: Vec::new(),
            combine: trees.combine,
            start: trees.start,
            outcome,
            path,
        };
        for tree in 0..trees.len() {
            parted.leaves.push([0.0; MAX_LEAVES]);
            parted.add(trees, tree, 0, 0);
            parted.parts.iter_mut().for_each(Part::end_tree);
        }
        Some(parted)
    }

    /// Adds what is below a node to the tree that is last; gives the number of the leaf that comes next, if `leaf` is the first.
    fn add(&mut self, trees: &Trees, tree: usize, node: u32, leaf: usize) -> usize {
        match trees.node(tree, node) {
            Unpacked::Leaf(number) => {
                self.leaves[tree][leaf] = trees.leaves(tree)[number];
                leaf + 1
            }
            Unpacked::Test { feature, test, left } => {
                let middle = self.add(trees, tree, left, leaf);
                let of_left = (leaf..middle).fold(0, |set, leaf| set | 1 << leaf);
                let (part, input) = self.place(feature);
                self.parts[part].tests.push(Ruling {
                    input,
                    test,
                    of_right: LeafSet(!of_left),
                });
                self.add(trees, tree, left + 1, middle)
            }
        }
    }

    /// The part that a feature is in, and its number there.
    fn place(&self, feature: usize) -> (usize, usize) {
        let mut input = feature;
        for (number, part) in self.parts.iter().enumerate() {
            if input < part.width {
                return (number, input);
            }
            input -= part.width;
        }
        unreachable!("parts have all inputs of the forest, and its nodes read no others")
    }

    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.leaves.len()
    }

    /// Takes from the sets of each tree the leaves that the part number `part` of the rows rules out.
    pub fn narrow(&self, part: usize, rows: &PartRows, sets: &mut PartSets) {
        let part = &self.parts[part];
        assert_eq!(rows.len(), part.width, "values of another part");
        assert_eq!(sets.len(), self.trees(), "sets of another forest");
        match self.path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                assert!(is_x86_feature_detected!("avx512f"));
                // SAFETY: the processor has AVX-512F.
                unsafe { narrow_avx512(part, rows, sets) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => {
                assert!(is_x86_feature_detected!("avx2"));
                // SAFETY: the processor has AVX2.
                unsafe { narrow_avx2(part, rows, sets) }
            }
            _ => part.narrow(rows, sets),
        }
    }

    /// Gives `each` the prediction for up to [`LANES`] rows, in order: `set` says what all parts leave of a row in a tree.
    #[inline]
    pub fn predict(&self, rows: usize, set: impl Fn(usize, usize) -> LeafSet, mut each: impl FnMut(f64)) {
        let mut results = [self.start; LANES];
        let results = &mut results[..rows];
        for (tree, leaves) in self.leaves.iter().enumerate() {
            let reached = (0..rows).map(|row| leaves[set(row, tree).leftmost()]);
            self.combine.add(results, reached);
        }
        results.iter().for_each(|result| each(self.outcome.of(*result)));
    }
}

impl Part {
    fn of(width: usize) -> Self {
        Self {
            width,
            tests: Vec::new(),
            of_tree: Vec::new(),
        }
    }

    /// All tests of a tree are there.
    fn end_tree(&mut self) {
        let first = self.of_tree.last().map_or(0, |last| last.end);
        self.of_tree.push(first..self.tests.len());
    }

    #[inline(always)]
    fn narrow(&self, rows: &PartRows, sets: &mut PartSets) {
        for (tests, sets) in self.of_tree.iter().zip(sets) {
            let mut left = *sets;
            for ruling in &self.tests[tests.clone()] {
                ruling.narrow(&rows[ruling.input], &mut left);
            }
            *sets = left;
        }
    }
}

impl Ruling {
    #[inline(always)]
    fn narrow(&self, values: &[u32; LANES], sets: &mut [LeafSet; LANES]) {
        // A loop for each kind that is common, so that nothing in it depends on the kind.
        match &self.test {
            Test::Above(threshold) => self.keep(values, sets, |value| f32::from_bits(value) > *threshold),
            Test::AboveOrNaN(threshold) => self.keep(values, sets, |value| {
                Test::AboveOrNaN(*threshold).goes_right(value)
            }),
            other => self.keep(values, sets, |value| other.goes_right(value)),
        }
    }

    #[inline(always)]
    fn keep(&self, values: &[u32; LANES], sets: &mut [LeafSet; LANES], goes_right: impl Fn(u32) -> bool) {
        for (value, set) in values.iter().zip(sets) {
            let kept = match goes_right(*value) {
                true => self.of_right,
                false => LeafSet::ALL,
            };
            *set = set.and(kept);
        }
    }
}

/// [`Part::narrow`] with AVX-512.
///
/// # Safety
/// The processor must have AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn narrow_avx512(part: &Part, rows: &PartRows, sets: &mut PartSets) {
    part.narrow(rows, sets);
}

/// [`Part::narrow`] with AVX2.
///
/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn narrow_avx2(part: &Part, rows: &PartRows, sets: &mut PartSets) {
    part.narrow(rows, sets);
}
