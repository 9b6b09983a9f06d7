//! Trees as the walk reads them.

use std::collections::VecDeque;

use crate::model::{Child, Combine, Missing, Model, Node, Reading, Split, Tree};

/// Why a forest does not fit the walk's nodes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Too many features.
    #[error("the forest has {features} features, the most is {most}; train on fewer", most = Trees::MAX_FEATURES)]
    Features {
        /// How many it has.
        features: usize,
    },
    /// The category sets are too large together.
    #[error("the category sets of the forest take {words} words, the most is {most}; raise the frequency threshold of its categorical columns", most = Trees::MAX_WORDS)]
    Categories {
        /// How many 32-bit words they take.
        words: usize,
    },
    /// One feature is split in both ways.
    #[error(
        "tree {tree} splits feature {feature} by number and another tree or node by category; train it again"
    )]
    MixedFeature {
        /// Number of the tree, from 0.
        tree: usize,
        /// Number of the feature, from 0.
        feature: usize,
    },
}

/// What a node's test is. Bit 2: something is missing; bit 1: zero too; bit 0: that goes left. Without bit 2, bit 0 says
/// that the test is by category, and bit 1 that NaN goes left.
pub(super) mod kind {
    pub(in super::super) const NUMBER: u32 = 0;
    pub(in super::super) const CATEGORY: u32 = 1;
    pub(in super::super) const CATEGORY_OR_NAN: u32 = 3;
    pub(in super::super) const MISSING: u32 = 4;
    pub(in super::super) const ZERO: u32 = 2;
    pub(in super::super) const LEFT: u32 = 1;
}

pub(super) const FEATURE_SHIFT: u32 = 21;
pub(super) const KIND_SHIFT: u32 = 18;
pub(super) const KIND_MASK: u32 = 7 << KIND_SHIFT;
/// The bits of a kind that are [`kind::CATEGORY`] for both tests by category.
pub(super) const CATEGORY_MASK: u32 = 5 << KIND_SHIFT;
pub(super) const CHILD_MASK: u32 = (1 << KIND_SHIFT) - 1;
/// A set is its place in [`Trees::sets`] (below this bit), and the logarithm of its number of words.
pub(super) const SIZE_SHIFT: u32 = 27;
pub(super) const PLACE_MASK: u32 = (1 << SIZE_SHIFT) - 1;
/// Bits of a quiet NaN; the leaf's number stands below.
pub(super) const LEAF: u32 = 0x7FC0_0000;
pub(super) const LEAF_MASK: u32 = 0x003F_FFFF;

/// A category that is in no set. Read as `f32` it is a number, not NaN.
const NO_CATEGORY: u32 = 0x7F00_0000;

/// A forest in walking order.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    /// Low half: threshold, set, or leaf; high half: feature, kind, left child.
    pub(super) nodes: Vec<u64>,
    /// The words of category sets, each set padded to a power of two.
    pub(super) sets: Vec<u32>,
    pub(super) leaves: Vec<f64>,
    pub(super) spans: Vec<Span>,
    /// How the leaves of a row are brought together, and what with first.
    pub(crate) combine: Combine,
    pub(crate) start: f64,
    columns: Columns,
    zero_is_missing: bool,
    nan_is_missing: bool,
}

/// Where a tree is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) nodes: usize,
    pub(super) leaves: usize,
    /// Steps from the root to the deepest leaf.
    pub(super) depth: u32,
    /// Whether a node of the tree splits by category.
    pub(super) categories: bool,
}

/// How the values of each feature are read.
#[derive(Clone, Debug)]
pub struct Columns {
    /// Which features the forest splits by category.
    category: Vec<bool>,
    reading: Reading,
    /// No node treats NaN as missing; LightGBM then reads it as 0.
    nan_is_zero: bool,
}

impl Columns {
    /// Number of inputs.
    #[expect(clippy::len_without_is_empty, reason = "a model reads at least one input")]
    pub fn len(&self) -> usize {
        self.category.len()
    }

    /// The value of `column` as the walk reads it: NaN stays NaN, and another value that is not a category is in no set.
    pub fn encode(&self, column: usize, value: f32) -> u32 {
        match self.category[column] {
            true if value.is_nan() => f32::NAN.to_bits(),
            true => self
                .reading
                .category(value)
                .map_or(NO_CATEGORY, |category| category.min(NO_CATEGORY)),
            false if value.abs() <= self.reading.zero() || (self.nan_is_zero && value.is_nan()) => 0,
            false => value.to_bits(),
        }
    }

    /// The value of `column` for an index into a vocabulary.
    pub fn encode_index(&self, column: usize, index: u32) -> u32 {
        match self.category[column] {
            true => index.min(NO_CATEGORY),
            false => (index as f32).to_bits(),
        }
    }
}

/// A node, for those who don't walk.
pub(crate) enum Unpacked {
    /// The number of one of the tree's leaves.
    Leaf(usize),
    /// What is tested; the right child comes after the left.
    Test { feature: usize, test: Test, left: u32 },
}

/// What sends an encoded value to the right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// A number above the threshold.
    Above(f32),
    /// The same, and NaN.
    AboveOrNaN(f32),
    /// A number above the threshold; 0 and NaN are missing.
    AboveOrMissing { threshold: f32, missing_left: bool },
    /// A category that is not in the set, whose words have 32 each.
    Category { set: Box<[u32]>, nan_left: bool },
}

impl Test {
    /// Whether a value goes to the right.
    #[inline(always)]
    pub(crate) fn goes_right(&self, value: u32) -> bool {
        let number = f32::from_bits(value);
        match self {
            Self::Above(threshold) => number > *threshold,
            Self::AboveOrNaN(threshold) => number > *threshold || number.is_nan(),
            Self::AboveOrMissing { missing_left, .. } if number == 0.0 || number.is_nan() => !missing_left,
            Self::AboveOrMissing { threshold, .. } => number > *threshold,
            Self::Category { nan_left: true, .. } if number.is_nan() => false,
            Self::Category { set, .. } => {
                let word = set.get(value as usize / 32);
                word.is_none_or(|word| word >> (value % 32) & 1 == 0)
            }
        }
    }
}

impl Trees {
    /// 11 bits of a node.
    pub(crate) const MAX_FEATURES: usize = 1 << (32 - FEATURE_SHIFT);
    /// 27 bits of a node.
    pub(crate) const MAX_WORDS: usize = 1 << SIZE_SHIFT;

    pub(crate) fn new(model: &Model) -> Result<Self, TooLarge> {
        if model.features > Self::MAX_FEATURES {
            return Err(TooLarge::Features {
                features: model.features,
            });
        }
        let mut trees = Self {
            nodes: Vec::new(),
            sets: Vec::new(),
            leaves: Vec::new(),
            spans: Vec::new(),
            combine: model.combine,
            start: model.start,
            columns: columns(model)?,
            zero_is_missing: false,
            nan_is_missing: false,
        };
        for tree in &model.trees {
            trees.push(tree);
        }
        trees.columns.nan_is_zero = !trees.nan_is_missing;
        match trees.sets.len() {
            // Places beyond were cut, but nobody sees them.
            words if words > Self::MAX_WORDS => Err(TooLarge::Categories { words }),
            _ => Ok(trees),
        }
    }

    /// How the values of each feature are read.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn zero_is_missing(&self) -> bool {
        self.zero_is_missing
    }

    pub(crate) fn nan_is_missing(&self) -> bool {
        self.nan_is_missing
    }

    /// Number of trees.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The leaves of a tree.
    pub(crate) fn leaves(&self, tree: usize) -> &[f64] {
        let end = self
            .spans
            .get(tree + 1)
            .map_or(self.leaves.len(), |next| next.leaves);
        &self.leaves[self.spans[tree].leaves..end]
    }

    /// A node of a tree; 0 is the root.
    pub(crate) fn node(&self, tree: usize, node: u32) -> Unpacked {
        let packed = self.nodes[self.spans[tree].nodes + node as usize];
        let (low, high) = (packed as u32, (packed >> 32) as u32);
        match high & CHILD_MASK {
            left if left == node => Unpacked::Leaf((low & LEAF_MASK) as usize),
            left => Unpacked::Test {
                feature: (high >> FEATURE_SHIFT) as usize,
                test: self.unpack((high & KIND_MASK) >> KIND_SHIFT, low),
                left,
            },
        }
    }

    fn unpack(&self, kind: u32, low: u32) -> Test {
        if let kind::CATEGORY | kind::CATEGORY_OR_NAN = kind {
            let (place, words) = ((low & PLACE_MASK) as usize, 1 << (low >> SIZE_SHIFT));
            return Test::Category {
                set: self.sets[place..place + words].into(),
                nan_left: kind == kind::CATEGORY_OR_NAN,
            };
        }
        let threshold = f32::from_bits(low);
        let nan_left = match kind {
            kind::NUMBER => 0.0 <= threshold,
            _ => kind & kind::LEFT != 0,
        };
        match kind & kind::ZERO {
            0 if nan_left => Test::Above(threshold),
            0 => Test::AboveOrNaN(threshold),
            _ => Test::AboveOrMissing {
                threshold,
                missing_left: nan_left,
            },
        }
    }

    /// Appends a tree, breadth-first.
    fn push(&mut self, tree: &Tree) {
        let first = self.nodes.len();
        let mut span = Span {
            nodes: first,
            leaves: self.leaves.len(),
            depth: 0,
            categories: false,
        };
        self.leaves.extend_from_slice(&tree.leaves);

        let root = if tree.nodes.is_empty() {
            Child::Leaf(0)
        } else {
            Child::Node(0)
        };
        let mut open = VecDeque::from([(root, 0)]);
        let mut placed: u32 = 1; // nodes that have a place, written or not
        while let Some((child, depth)) = open.pop_front() {
            span.depth = span.depth.max(depth);
            let here = (self.nodes.len() - first) as u32;
            match child {
                Child::Leaf(leaf) => self.nodes.push(pack(LEAF | leaf as u32, kind::NUMBER, 0, here)),
                Child::Node(node) => {
                    let node = &tree.nodes[node];
                    let (low, kind) = self.test(node);
                    span.categories |= matches!(kind, kind::CATEGORY | kind::CATEGORY_OR_NAN);
                    self.nodes.push(pack(low, kind, node.feature, placed));
                    placed += 2;
                    open.push_back((node.left, depth + 1));
                    open.push_back((node.right, depth + 1));
                }
            }
        }
        self.spans.push(span);
    }

    /// The low half of a node, and its kind.
    fn test(&mut self, node: &Node) -> (u32, u32) {
        match &node.split {
            Split::Category { set, missing_left } => {
                let place = self.sets.len();
                let words = set.len().next_power_of_two();
                self.sets.extend_from_slice(set);
                self.sets.resize(place + words, 0);
                self.nan_is_missing |= *missing_left;
                let kind = match missing_left {
                    true => kind::CATEGORY_OR_NAN,
                    false => kind::CATEGORY,
                };
                (words.ilog2() << SIZE_SHIFT | (place as u32 & PLACE_MASK), kind)
            }
            Split::Number {
                threshold,
                missing,
                missing_left,
            } => {
                let left = if *missing_left { kind::LEFT } else { 0 };
                let kind = match missing {
                    Missing::None => kind::NUMBER,
                    Missing::NaN => kind::MISSING | left,
                    Missing::Zero => kind::MISSING | kind::ZERO | left,
                };
                self.nan_is_missing |= *missing == Missing::NaN;
                self.zero_is_missing |= *missing == Missing::Zero;
                (round_down(*threshold).to_bits(), kind)
            }
        }
    }
}

fn pack(low: u32, kind: u32, feature: usize, left: u32) -> u64 {
    let high = kind << KIND_SHIFT | (feature as u32) << FEATURE_SHIFT | left;
    u64::from(high) << 32 | u64::from(low)
}

/// The greatest `f32` that is not above `threshold`: for every `f32` x, `x <= threshold` is `x <= round_down(threshold)`.
fn round_down(threshold: f64) -> f32 {
    let nearest = threshold as f32;
    if f64::from(nearest) > threshold {
        nearest.next_down()
    } else {
        nearest
    }
}

fn columns(model: &Model) -> Result<Columns, TooLarge> {
    let mut categories = vec![false; model.features];
    let all = || {
        model
            .trees
            .iter()
            .enumerate()
            .flat_map(|(i, tree)| tree.nodes.iter().map(move |node| (i, node)))
    };
    for (_, node) in all() {
        categories[node.feature] |= matches!(node.split, Split::Category { .. });
    }
    for (tree, node) in all() {
        if categories[node.feature] && matches!(node.split, Split::Number { .. }) {
            return Err(TooLarge::MixedFeature {
                tree,
                feature: node.feature,
            });
        }
    }
    Ok(Columns {
        category: categories,
        reading: model.reading,
        nan_is_zero: false,
    })
}

#[cfg(test)]
mod tests {
    use super::round_down;

    #[test]
    fn rounded_thresholds_decide_every_neighbor_as_the_exact_ones() {
        for threshold in [
            0.1,
            -0.1,
            1e300,
            -1e300,
            1e-300,
            -1e-300,
            1e-35,
            0.0,
            -0.0,
            0.5,
            16_777_217.0,
        ] {
            let rounded = round_down(threshold);
            let near = threshold as f32;
            for x in [
                near.next_down(),
                near,
                near.next_up(),
                f32::INFINITY,
                f32::NEG_INFINITY,
                0.0,
                f32::MAX,
            ] {
                assert_eq!(f64::from(x) <= threshold, x <= rounded, "{x} against {threshold}");
            }
        }
    }
}
