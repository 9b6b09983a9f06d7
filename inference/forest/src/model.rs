//! A forest as its file describes it: what every reader makes, and what the walk is built from.
//!
//! Formats differ in how they number the nodes of a tree, in which values go left, in what is missing, and in how trees
//! add up to a prediction. A reader turns all of that into the terms of this page: a node sends a value left if it is at
//! most the node's threshold. `x < t` is `x <= t.next_down()`; `x >= t` and `x > t` are those two with the branches
//! changed over.
//!
//! [`Tree::grow`] checks what no reader needs to check again: that there is one way from the root to every node, and that
//! all numbers are in range.

use super::remark::Remark;

/// The most leaves a tree can have: LightGBM's own limit for `num_leaves`, and what a node of the walk has bits for.
pub(crate) const MAX_LEAVES: usize = 131_072;

/// The most words (32 categories each) that [`CategorySets`] makes for one model: 64 MiB.
const MAX_SET_WORDS: usize = 1 << 24;

/// A whole model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    /// Names of the features; `None` where the file has none, or some that its library made up.
    pub(crate) feature_names: Option<Vec<String>>,
    /// Number of features.
    pub(crate) features: usize,
    /// How the values of features are read.
    pub(crate) reading: Reading,
    pub(crate) trees: Vec<Tree>,
    /// How the leaves that a row reaches are brought together.
    pub(crate) combine: Combine,
    /// What they are brought together with: 0 for a sum without more.
    pub(crate) start: f64,
    /// What the result is divided by before the objective: 1, or the number of trees.
    pub(crate) divisor: f64,
    /// What turns the result into a prediction.
    pub(crate) objective: Objective,
    /// Remarks on the model, for people who check it.
    pub(crate) remarks: Vec<Remark>,
}

/// How a library reads the value of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Numbers within 1e-35 of zero are zero, categories are cut to integers.
    LightGbm,
    /// As LightGBM reads a data frame: only what equals a category is one.
    LightGbmFrame,
    /// Numbers as they are; categories are cut to integers, and what is below zero is none.
    XgBoost,
    /// Numbers as they are; only a whole number is a category.
    Exact,
}

impl Reading {
    /// How far from zero a number counts as zero. LightGBM's interfaces drop such values before trees see them; its
    /// thresholds next to 0 stand exactly at the bound.
    pub(crate) fn zero(self) -> f32 {
        match self {
            Self::LightGbm | Self::LightGbmFrame => 1e-35,
            Self::XgBoost | Self::Exact => 0.0,
        }
    }

    /// The category that a value stands for, if any.
    pub(crate) fn category(self, value: f32) -> Option<u32> {
        let stands = match self {
            Self::LightGbm => value > -1.0,
            Self::XgBoost => value >= 0.0,
            Self::LightGbmFrame | Self::Exact => value >= 0.0 && value.fract() == 0.0,
        };
        stands.then_some(value as u32)
    }
}

/// How the leaves that a row reaches become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combine {
    /// Their sum.
    Sum,
    /// Their sum, rounded to `f32` after each tree.
    SingleSum,
    /// The least of them.
    Least,
    /// The greatest of them.
    Most,
}

impl Combine {
    /// Brings one more leaf into each result.
    #[inline(always)]
    pub(crate) fn add(self, results: &mut [f64], leaves: impl Iterator<Item = f64>) {
        let pairs = results.iter_mut().zip(leaves);
        match self {
            Self::Sum => pairs.for_each(|(result, leaf)| *result += leaf),
            // Rounding an f64 sum of two f32 values gives their f32 sum exactly.
            Self::SingleSum => pairs.for_each(|(result, leaf)| *result = f64::from((*result + leaf) as f32)),
            Self::Least => pairs.for_each(|(result, leaf)| *result = result.min(leaf)),
            Self::Most => pairs.for_each(|(result, leaf)| *result = result.max(leaf)),
        }
    }
}

/// What turns the trees' result into a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Objective {
    /// Nothing: regression and ranking.
    Identity,
    /// `1 / (1 + exp(-slope * x))`: two classes, and cross-entropy.
    Sigmoid { slope: f64 },
    /// `exp(x)`: counts and other targets above 0.
    Exponential,
}

impl Objective {
    /// The prediction for the trees' result.
    pub(crate) fn apply(self, result: f64) -> f64 {
        match self {
            Self::Identity => result,
            Self::Sigmoid { slope } => 1.0 / (1.0 + (-slope * result).exp()),
            Self::Exponential => result.exp(),
        }
    }
}

/// One tree: inner nodes (the first is the root) and leaves. A tree of one leaf has no inner node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) leaves: Vec<f64>,
}

/// An inner node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) feature: usize,
    pub(crate) split: Split,
    pub(crate) left: Child,
    pub(crate) right: Child,
}

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Child {
    Node(usize),
    Leaf(usize),
}

/// How a node decides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Split {
    /// Left if the value is at most `threshold`; a missing value goes left if `missing_left`.
    Number {
        threshold: f64,
        missing: Missing,
        missing_left: bool,
    },
    /// Left if the value's category ([`Reading::category`]) is in the set; NaN goes left if `missing_left`.
    Category {
        /// Bit `c % 32` of word `c / 32` stands for category `c`.
        set: Vec<u32>,
        missing_left: bool,
    },
}

impl Split {
    /// Left if the value is at most `threshold`, as NaN if `missing_left`.
    pub(crate) fn at_most(threshold: f64, missing_left: bool) -> Self {
        Self::Number {
            threshold,
            missing: Missing::NaN,
            missing_left,
        }
    }

    /// Left if the value is below `threshold`, as NaN if `missing_left`.
    pub(crate) fn below(threshold: f64, missing_left: bool) -> Self {
        // No number is above what is below minus infinity; NaN is refused by `Tree::grow`.
        let below = match threshold == f64::NEG_INFINITY {
            true => f64::NAN,
            false => threshold.next_down(),
        };
        Self::at_most(below, missing_left)
    }
}

/// Which values of a numeric feature count as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// None: NaN is read as 0.
    None,
    /// 0 and NaN.
    Zero,
    /// NaN.
    NaN,
}

/// A node or leaf as a file has it: children are numbers of other entries, and the first entry is the root.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Leaf(f64),
    Inner {
        feature: usize,
        split: Split,
        left: usize,
        right: usize,
    },
}

/// Why entries make no tree. Nodes and leaves are numbered together, from 0, the root first.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TreeError {
    /// There is no root.
    #[error("tree {tree} has no nodes; save the model again")]
    Empty {
        /// Number of the tree, from 0.
        tree: usize,
    },
    /// The tree is larger than a tree can be.
    #[error("tree {tree} has {leaves} leaves, the most is {MAX_LEAVES}; train shallower trees")]
    TooManyLeaves {
        /// Number of the tree, from 0.
        tree: usize,
        /// Its leaves.
        leaves: usize,
    },
    /// A child that is not there.
    #[error("tree {tree}, node {node} leads to {child}, but the tree has {entries} nodes and leaves")]
    NoSuchChild {
        /// Number of the tree, from 0.
        tree: usize,
        /// The node that leads there.
        node: usize,
        /// The child's number.
        child: usize,
        /// Nodes and leaves of the tree.
        entries: usize,
    },
    /// A node or leaf that two branches lead to, or the root: the tree has a cycle or is a graph.
    #[error("tree {tree}, node {node} leads to {child}, which has another parent already, or is the root")]
    NotATree {
        /// Number of the tree, from 0.
        tree: usize,
        /// The node that leads there.
        node: usize,
        /// The child's number.
        child: usize,
    },
    /// Something that the root does not lead to.
    #[error("tree {tree}: the root leads to {reached} nodes and leaves of {entries}")]
    Unreached {
        /// Number of the tree, from 0.
        tree: usize,
        /// Nodes and leaves that the root leads to.
        reached: usize,
        /// Nodes and leaves that there are.
        entries: usize,
    },
    /// A feature that the model does not have.
    #[error("tree {tree}, node {node} reads feature {feature}, but the model has {features} features")]
    Feature {
        /// Number of the tree, from 0.
        tree: usize,
        /// The node.
        node: usize,
        /// The feature's number, from 0.
        feature: usize,
        /// Features of the model.
        features: usize,
    },
    /// A leaf's value is not a number.
    #[error("tree {tree}, leaf {leaf} is {value}, but it must be finite")]
    Leaf {
        /// Number of the tree, from 0.
        tree: usize,
        /// The leaf.
        leaf: usize,
        /// What it says.
        value: f64,
    },
    /// A threshold is NaN, or no value can be below it.
    #[error(
        "tree {tree}, node {node} has a threshold that splits nothing (NaN, or `below minus infinity`); train the model again"
    )]
    Threshold {
        /// Number of the tree, from 0.
        tree: usize,
        /// The node.
        node: usize,
    },
    /// The category sets of the trees are too large.
    #[error(
        "the category sets up to tree {tree} take more than {MAX_SET_WORDS} words; raise the frequency threshold of the categorical columns"
    )]
    Categories {
        /// Number of the tree, from 0, that went beyond.
        tree: usize,
    },
}

impl Tree {
    /// Makes a tree of entries that the root leads to; others are dropped. `tree` is its number, for messages.
    pub(crate) fn grow(tree: usize, entries: Vec<Entry>, features: usize) -> Result<Self, TreeError> {
        let reached = reached(tree, &entries)?;
        let places = places(&entries, &reached);
        let mut grown = Self {
            nodes: Vec::new(),
            leaves: Vec::new(),
        };
        let kept = entries
            .into_iter()
            .enumerate()
            .filter(|(number, _)| reached[*number]);
        for (number, entry) in kept {
            match entry {
                Entry::Leaf(value) if value.is_finite() => grown.leaves.push(value),
                Entry::Leaf(value) => {
                    return Err(TreeError::Leaf {
                        tree,
                        leaf: number,
                        value,
                    });
                }
                Entry::Inner {
                    feature,
                    split,
                    left,
                    right,
                } => {
                    check_node(tree, number, feature, features, &split)?;
                    grown.nodes.push(Node {
                        feature,
                        split,
                        left: places[left],
                        right: places[right],
                    });
                }
            }
        }
        match grown.leaves.len() {
            leaves if leaves > MAX_LEAVES => Err(TreeError::TooManyLeaves { tree, leaves }),
            _ => Ok(grown),
        }
    }

    /// As [`Tree::grow`], for files in which the root leads to everything.
    pub(crate) fn grow_whole(tree: usize, entries: Vec<Entry>, features: usize) -> Result<Self, TreeError> {
        let entries_count = entries.len();
        let grown = Self::grow(tree, entries, features)?;
        match grown.nodes.len() + grown.leaves.len() {
            reached if reached < entries_count => Err(TreeError::Unreached {
                tree,
                reached,
                entries: entries_count,
            }),
            _ => Ok(grown),
        }
    }
}

/// Which entries the root leads to. As no entry is reached twice, there is no cycle among them.
fn reached(tree: usize, entries: &[Entry]) -> Result<Vec<bool>, TreeError> {
    let mut reached = vec![false; entries.len()];
    *reached.first_mut().ok_or(TreeError::Empty { tree })? = true;
    let mut open = vec![0];
    while let Some(node) = open.pop() {
        let Entry::Inner { left, right, .. } = entries[node] else {
            continue;
        };
        for child in [left, right] {
            match reached.get_mut(child) {
                Some(reached @ false) => *reached = true,
                Some(true) => return Err(TreeError::NotATree { tree, node, child }),
                None => {
                    return Err(TreeError::NoSuchChild {
                        tree,
                        node,
                        child,
                        entries: entries.len(),
                    });
                }
            }
            open.push(child);
        }
    }
    Ok(reached)
}

/// The index in [`Tree`] of each entry that is reached; the values of the others mean nothing.
fn places(entries: &[Entry], reached: &[bool]) -> Vec<Child> {
    let (mut nodes, mut leaves) = (0, 0);
    let place = |(entry, reached): (&Entry, &bool)| {
        let (count, child): (&mut usize, fn(usize) -> Child) = match entry {
            Entry::Leaf(_) => (&mut leaves, Child::Leaf),
            Entry::Inner { .. } => (&mut nodes, Child::Node),
        };
        let place = child(*count);
        *count += usize::from(*reached);
        place
    };
    entries.iter().zip(reached).map(place).collect()
}

fn check_node(
    tree: usize,
    node: usize,
    feature: usize,
    features: usize,
    split: &Split,
) -> Result<(), TreeError> {
    if feature >= features {
        return Err(TreeError::Feature {
            tree,
            node,
            feature,
            features,
        });
    }
    match split {
        Split::Number { threshold, .. } if threshold.is_nan() => Err(TreeError::Threshold { tree, node }),
        _ => Ok(()),
    }
}

/// Makes sets of categories, within a bound for all sets of a model: one large number takes few bytes in a file and many
/// words in a set.
#[derive(Debug)]
pub(crate) struct CategorySets {
    words_left: usize,
}

impl Default for CategorySets {
    fn default() -> Self {
        Self {
            words_left: MAX_SET_WORDS,
        }
    }
}

impl CategorySets {
    /// The set of `categories`; `tree` is the number of the tree that it is for.
    pub(crate) fn make(&mut self, tree: usize, categories: &[u32]) -> Result<Vec<u32>, TreeError> {
        let words = categories
            .iter()
            .max()
            .map_or(0, |greatest| *greatest as usize / 32 + 1);
        self.words_left = self
            .words_left
            .checked_sub(words)
            .ok_or(TreeError::Categories { tree })?;
        let mut set = vec![0; words];
        for category in categories {
            set[*category as usize / 32] |= 1 << (category % 32);
        }
        Ok(set)
    }
}
