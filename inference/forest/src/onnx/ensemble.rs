//! `TreeEnsemble` of ai.onnx.ml 5: inner nodes and leaves in lists of their own, and nodes that test for membership.

use super::attributes::{Attributes, check_length, index};
use super::messages::Node;
use super::{Mode, OnnxError as Error, Test};
use crate::model::{CategorySets, Combine, Entry, Model, Objective, Reading, Tree, TreeError};

/// Reads a `TreeEnsemble`. The prediction is the sum over the targets, each times its coefficient; there must be as many.
pub(super) fn regressor(node: &Node, features: usize, coefficients: &[f64]) -> Result<Model, Error> {
    let attributes = Attributes(node);
    let targets = attributes.int("n_targets", 1);
    if usize::try_from(targets) != Ok(coefficients.len()) {
        check_one_target(targets)?;
    }
    // With one target, all transforms but probit leave it as it is.
    if let transform @ (4.. | ..0) = attributes.int("post_transform", 0) {
        return Err(Error::Attribute {
            name: "post_transform".to_owned(),
            value: transform.to_string(),
            wanted: "only 0 to 3 (none, softmax, logistic, softmax_zero) are supported",
        });
    }
    let (combine, average) = match attributes.int("aggregate_function", 1) {
        0 => (Combine::Sum, true),
        1 => (Combine::Sum, false),
        2 => (Combine::Least, false),
        3 => (Combine::Most, false),
        other => {
            return Err(Error::Attribute {
                name: "aggregate_function".to_owned(),
                value: other.to_string(),
                wanted: "it must be 0 (average), 1 (sum), 2 (min) or 3 (max)",
            });
        }
    };
    let trees = Lists::read(attributes, coefficients)?.trees(features)?;
    Ok(model(trees, features, combine, average, 0.0))
}

/// A score is one number.
pub(super) fn check_one_target(targets: i64) -> Result<(), Error> {
    match targets {
        1 => Ok(()),
        _ => Err(Error::Attribute {
            name: "n_targets".to_owned(),
            value: targets.to_string(),
            wanted: "a score is one number; train with one target",
        }),
    }
}

/// A model with one target, to which `base` is added last.
pub(super) fn model(
    mut trees: Vec<Tree>,
    features: usize,
    combine: Combine,
    average: bool,
    base: f64,
) -> Model {
    let count = trees.len().max(1) as f64;
    let divisor = if average { count } else { 1.0 };
    // The least of all leaves plus a base is the least of leaves that it was added to.
    let extreme = matches!(combine, Combine::Least | Combine::Most) && !trees.is_empty();
    if extreme {
        let leaves = trees.iter_mut().flat_map(|tree| &mut tree.leaves);
        leaves.for_each(|leaf| *leaf += base);
    }
    let start = match combine {
        Combine::Least if extreme => f64::INFINITY,
        Combine::Most if extreme => f64::NEG_INFINITY,
        _ => base * divisor,
    };
    Model {
        feature_names: None,
        features,
        reading: Reading::Exact,
        trees,
        combine,
        start,
        divisor,
        objective: Objective::Identity,
        remarks: Vec::new(),
    }
}

/// The lists of properties of nodes and leaves.
struct Lists<'a> {
    roots: &'a [i64],
    modes: Vec<f64>,
    features: &'a [i64],
    thresholds: Vec<f64>,
    missing_is_true: Vec<bool>,
    on_true: Branches<'a>,
    on_false: Branches<'a>,
    /// What each node tests for membership of; empty for other nodes.
    members: Vec<Vec<f64>>,
    leaves: Vec<f64>,
}

/// Where the true or the false branches lead.
struct Branches<'a> {
    name: &'static str,
    ids: &'a [i64],
    are_leaves: Vec<bool>,
}

impl<'a> Lists<'a> {
    fn read(attributes: Attributes<'a>, coefficients: &[f64]) -> Result<Self, Error> {
        let features = attributes.ints("nodes_featureids")?;
        let count = features.len();
        let modes = attributes.tensor_of("nodes_modes", count)?;
        Ok(Self {
            roots: attributes.ints("tree_roots")?,
            features,
            thresholds: attributes.tensor_of("nodes_splits", count)?,
            missing_is_true: attributes.flags("nodes_missing_value_tracks_true", count)?,
            on_true: Branches {
                name: "nodes_truenodeids",
                ids: attributes.ints_of("nodes_truenodeids", count)?,
                are_leaves: attributes.flags("nodes_trueleafs", count)?,
            },
            on_false: Branches {
                name: "nodes_falsenodeids",
                ids: attributes.ints_of("nodes_falsenodeids", count)?,
                are_leaves: attributes.flags("nodes_falseleafs", count)?,
            },
            members: members(attributes, &modes)?,
            leaves: leaves(attributes, coefficients)?,
            modes,
        })
    }

    fn trees(&self, features: usize) -> Result<Vec<Tree>, Error> {
        let mut taken = vec![false; self.features.len()];
        let mut sets = CategorySets::default();
        let mut trees = Vec::with_capacity(self.roots.len());
        for (tree, root) in self.roots.iter().enumerate() {
            let root = index("tree_roots", tree, *root)?;
            let entries = self.entries(tree, root, &mut taken, &mut sets)?;
            trees.push(Tree::grow_whole(tree, entries, features)?);
        }
        Ok(trees)
    }

    /// The entries of one tree. As each node is taken once, there are never more than twice as many as nodes.
    fn entries(
        &self,
        tree: usize,
        root: usize,
        taken: &mut [bool],
        sets: &mut CategorySets,
    ) -> Result<Vec<Entry>, Error> {
        let mut places = vec![Place::Node(root)];
        let mut entries = Vec::new();
        while let Some(place) = places.get(entries.len()).copied() {
            let node = match place {
                Place::Leaf(leaf) => {
                    entries.push(Entry::Leaf(self.leaves[leaf]));
                    continue;
                }
                Place::Node(node) => node,
            };
            self.take(tree, node, taken)?;
            let on_true = places.len();
            places.push(self.on_true.place(node, self.leaves.len())?);
            places.push(self.on_false.place(node, self.leaves.len())?);
            let test = Test {
                mode: self.mode(node)?,
                feature: index("nodes_featureids", node, self.features[node])?,
                threshold: self.thresholds[node],
                members: &self.members[node],
                missing_is_true: self.missing_is_true[node],
                on_true,
                on_false: on_true + 1,
            };
            entries.push(test.entry(tree, sets)?);
        }
        Ok(entries)
    }

    fn take(&self, tree: usize, node: usize, taken: &mut [bool]) -> Result<(), Error> {
        let entries = taken.len();
        match taken.get_mut(node) {
            Some(taken @ false) => {
                *taken = true;
                Ok(())
            }
            Some(true) => Err(Error::Value {
                name: "the list of nodes".to_owned(),
                position: node,
                value: format!("reached again in tree {tree}"),
                wanted: "a node must have one parent, and a root none",
            }),
            None => Err(TreeError::NoSuchChild {
                tree,
                node,
                child: node,
                entries,
            }
            .into()),
        }
    }

    fn mode(&self, node: usize) -> Result<Mode, Error> {
        mode(self.modes[node]).ok_or_else(|| Error::Value {
            name: "nodes_modes".to_owned(),
            position: node,
            value: self.modes[node].to_string(),
            wanted: "it must be from 0 to 6",
        })
    }
}

fn mode(number: f64) -> Option<Mode> {
    const MODES: [Mode; 7] = [
        Mode::AtMost,
        Mode::Below,
        Mode::AtLeast,
        Mode::Above,
        Mode::Equal,
        Mode::Unequal,
        Mode::Member,
    ];
    MODES
        .into_iter()
        .enumerate()
        .find_map(|(at, mode)| (at as f64 == number).then_some(mode))
}

/// A node or leaf, by its number in its list.
#[derive(Clone, Copy)]
enum Place {
    Node(usize),
    Leaf(usize),
}

impl Branches<'_> {
    fn place(&self, node: usize, leaves: usize) -> Result<Place, Error> {
        let id = index(self.name, node, self.ids[node])?;
        match self.are_leaves[node] {
            false => Ok(Place::Node(id)),
            true if id < leaves => Ok(Place::Leaf(id)),
            true => Err(Error::Value {
                name: self.name.to_owned(),
                position: node,
                value: id.to_string(),
                wanted: "there are fewer leaves",
            }),
        }
    }
}

/// The value of each leaf.
fn leaves(attributes: Attributes<'_>, coefficients: &[f64]) -> Result<Vec<f64>, Error> {
    let name = "leaf_targetids";
    let targets = attributes.ints(name)?;
    let weights = attributes.tensor_of("leaf_weights", targets.len())?;
    let mut leaves = Vec::with_capacity(targets.len());
    for (position, (target, weight)) in targets.iter().zip(weights).enumerate() {
        let coefficient = coefficients
            .get(index(name, position, *target)?)
            .ok_or_else(|| Error::Value {
                name: name.to_owned(),
                position,
                value: target.to_string(),
                wanted: "there are fewer targets",
            })?;
        leaves.push(coefficient * weight);
    }
    Ok(leaves)
}

/// Cuts `membership_values` at its NaNs: a list for each node that tests for membership, in the order of the nodes.
fn members(attributes: Attributes<'_>, modes: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
    let name = "membership_values";
    let values = attributes.tensor(name)?;
    let ended = values.last().is_none_or(|last| last.is_nan());
    let wanted = modes
        .iter()
        .filter(|number| mode(**number) == Some(Mode::Member))
        .count();
    let mut lists = values.split(|value| value.is_nan());
    let found = values.iter().filter(|value| value.is_nan()).count() + usize::from(!ended);
    check_length(&format!("{name} (lists, each ended by NaN)"), found, wanted)?;
    Ok(modes
        .iter()
        .map(|number| match mode(*number) {
            Some(Mode::Member) => lists.next().unwrap_or_default().to_vec(),
            _ => Vec::new(),
        })
        .collect())
}
