//! `TreeEnsembleClassifier` and `TreeEnsembleRegressor`: a list a property, with one value a node, and weights that point
//! to leaves.

use std::collections::{BTreeMap, HashMap};

use super::attributes::{Attributes, check_length, index};
use super::messages::Node;
use super::{Mode, OnnxError as Error, Test};
use crate::model::{CategorySets, Combine, Entry, Model, Objective, Reading, Tree};
use crate::remark::Remark;

/// Number of a tree, then number of a node in it, as the file has them.
type Place = (i64, i64);

/// Reads a `TreeEnsembleRegressor` with one target.
pub(super) fn regressor(node: &Node, features: usize) -> Result<Model, Error> {
    let attributes = Attributes(node);
    super::ensemble::check_one_target(attributes.int("n_targets", 1))?;
    check_transform(attributes, &["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])?;
    let bases = attributes.floats("base_values")?;
    let base = match bases[..] {
        [] => 0.0,
        [base] => base,
        _ => return Err(several_bases(&bases)),
    };
    let aggregate = attributes.text("aggregate_function", "SUM");
    let combine = match aggregate.as_str() {
        "SUM" | "AVERAGE" => Combine::Sum,
        "MIN" => Combine::Least,
        "MAX" => Combine::Most,
        _ => {
            return Err(Error::Attribute {
                name: "aggregate_function".to_owned(),
                value: aggregate,
                wanted: "it must be SUM, AVERAGE, MIN or MAX",
            });
        }
    };
    if combine != Combine::Sum {
        check_all_weighed(attributes)?;
    }
    let trees = trees(attributes, "target", &[1.0], features)?;
    let average = aggregate == "AVERAGE";
    Ok(super::ensemble::model(trees, features, combine, average, base))
}

/// A leaf without a weight has no part in the least or the greatest, and our trees have none such.
fn check_all_weighed(attributes: Attributes<'_>) -> Result<(), Error> {
    let trees = attributes.ints("nodes_treeids")?;
    let modes = attributes.texts_of("nodes_modes", trees.len())?;
    let leaves = modes.iter().filter(|mode| mode.as_slice() == b"LEAF").count();
    let weighed = attributes.ints("target_nodeids")?.len();
    check_length("target_nodeids (for MIN and MAX one a leaf)", weighed, leaves)
}

/// Reads a `TreeEnsembleClassifier` of two classes; the prediction is the probability of the second.
pub(super) fn classifier(node: &Node, features: usize) -> Result<Model, Error> {
    let attributes = Attributes(node);
    let class = scored_class(attributes)?;
    let transform = check_transform(attributes, &["NONE", "LOGISTIC", "SOFTMAX"])?;
    let only_first = attributes.ints("class_ids")?.iter().all(|class| *class == 0);
    // What the weights of each class count for in the result, and which objective makes a probability of it.
    let (coefficients, objective) = match (only_first, transform.as_str()) {
        (true, "LOGISTIC") => ([1.0, 0.0], Objective::Sigmoid { slope: 1.0 }),
        (true, _) => ([1.0, 0.0], Objective::Identity),
        (false, "LOGISTIC") => ([0.0, 1.0], Objective::Sigmoid { slope: 1.0 }),
        (false, "SOFTMAX") => ([-1.0, 1.0], Objective::Sigmoid { slope: 1.0 }),
        (false, _) => ([0.0, 1.0], Objective::Identity),
    };
    let bases = attributes.floats("base_values")?;
    let start = match bases[..] {
        [] => 0.0,
        // onnxruntime gives a single base value to the first class.
        [base] => coefficients[0] * base,
        _ => return Err(several_bases(&bases)),
    };
    Ok(Model {
        feature_names: None,
        features,
        reading: Reading::Exact,
        trees: trees(attributes, "class", &coefficients, features)?,
        combine: Combine::Sum,
        start,
        divisor: 1.0,
        objective,
        remarks: vec![class],
    })
}

/// Which of the two classes the prediction is for: the second, which must not be the lower of two numbers.
fn scored_class(attributes: Attributes<'_>) -> Result<Remark, Error> {
    let labels = attributes.labels(["classlabels_int64s", "classlabels_strings"]);
    let wrong = |value, wanted| Error::Attribute {
        name: "classlabels".to_owned(),
        value,
        wanted,
    };
    let [other, class] = <[String; 2]>::try_from(labels).map_err(|labels| {
        let wanted = "a score is one number; train with two classes";
        wrong(format!("{} classes", labels.len()), wanted)
    })?;
    match (other.parse::<i64>(), class.parse::<i64>()) {
        (Ok(first), Ok(second)) if second < first => Err(wrong(
            format!("{first}, {second}"),
            "a score is the probability of the second class, which should be the greater; export the model again with 0 and 1",
        )),
        _ => Ok(Remark::Class { class, other }),
    }
}

fn several_bases(bases: &[f64]) -> Error {
    Error::Attribute {
        name: "base_values".to_owned(),
        value: format!("{} values", bases.len()),
        wanted: "at most one is supported",
    }
}

/// The post transform, if it is one of `supported`.
fn check_transform(attributes: Attributes<'_>, supported: &[&str]) -> Result<String, Error> {
    let transform = attributes.text("post_transform", "NONE");
    match supported.contains(&transform.as_str()) {
        true => Ok(transform),
        false => Err(Error::Attribute {
            name: "post_transform".to_owned(),
            value: transform,
            wanted: "only NONE, LOGISTIC and SOFTMAX are supported",
        }),
    }
}

/// All trees. `kind` is `target` or `class`; a leaf's value is the sum of its weights for each, times its coefficient.
fn trees(
    attributes: Attributes<'_>,
    kind: &str,
    coefficients: &[f64],
    features: usize,
) -> Result<Vec<Tree>, Error> {
    let nodes = Nodes::read(attributes)?;
    let mut weights = weights(attributes, kind, coefficients)?;
    let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (position, tree) in nodes.trees.iter().enumerate() {
        members.entry(*tree).or_default().push(position);
    }
    let mut sets = CategorySets::default();
    let mut trees = Vec::with_capacity(members.len());
    for (number, (tree, positions)) in members.iter().enumerate() {
        let entries = nodes.entries(number, *tree, positions, &mut weights, &mut sets)?;
        trees.push(Tree::grow_whole(number, entries, features)?);
    }
    match weights.keys().min() {
        None => Ok(trees),
        Some((tree, node)) => Err(Error::Attribute {
            name: format!("{kind}_nodeids"),
            value: format!("node {node} of tree {tree}"),
            wanted: "it must be a leaf",
        }),
    }
}

/// The value of each leaf. A leaf that is not listed has the value 0.
fn weights(
    attributes: Attributes<'_>,
    kind: &str,
    coefficients: &[f64],
) -> Result<HashMap<Place, f64>, Error> {
    let ids_name = format!("{kind}_ids");
    let ids = attributes.ints(&ids_name)?;
    let trees = attributes.ints_of(&format!("{kind}_treeids"), ids.len())?;
    let nodes = attributes.ints_of(&format!("{kind}_nodeids"), ids.len())?;
    let weights = attributes.floats_of(&format!("{kind}_weights"), ids.len())?;
    let mut leaves = HashMap::new();
    for (position, id) in ids.iter().enumerate() {
        let coefficient = coefficients
            .get(index(&ids_name, position, *id)?)
            .ok_or_else(|| Error::Value {
                name: ids_name.clone(),
                position,
                value: id.to_string(),
                wanted: "there are fewer classes or targets",
            })?;
        // A weight that does not count may still be infinite, and 0 times that is NaN.
        let value = match *coefficient {
            0.0 => 0.0,
            coefficient => coefficient * weights[position],
        };
        *leaves.entry((trees[position], nodes[position])).or_default() += value;
    }
    Ok(leaves)
}

/// The lists of properties.
struct Nodes<'a> {
    trees: &'a [i64],
    ids: &'a [i64],
    modes: &'a [Vec<u8>],
    features: &'a [i64],
    thresholds: Vec<f64>,
    missing_is_true: Vec<bool>,
    on_true: &'a [i64],
    on_false: &'a [i64],
}

impl<'a> Nodes<'a> {
    fn read(attributes: Attributes<'a>) -> Result<Self, Error> {
        let trees = attributes.ints("nodes_treeids")?;
        let count = trees.len();
        Ok(Self {
            trees,
            ids: attributes.ints_of("nodes_nodeids", count)?,
            modes: attributes.texts_of("nodes_modes", count)?,
            features: attributes.ints_of("nodes_featureids", count)?,
            thresholds: attributes.floats_of("nodes_values", count)?,
            missing_is_true: attributes.flags("nodes_missing_value_tracks_true", count)?,
            on_true: attributes.ints_of("nodes_truenodeids", count)?,
            on_false: attributes.ints_of("nodes_falsenodeids", count)?,
        })
    }

    /// The entries of the tree with the id `tree`, whose nodes stand at `positions`; the first is the root. Takes the
    /// values of its leaves out of `weights`.
    fn entries(
        &self,
        number: usize,
        tree: i64,
        positions: &[usize],
        weights: &mut HashMap<Place, f64>,
        sets: &mut CategorySets,
    ) -> Result<Vec<Entry>, Error> {
        let mut numbers = HashMap::with_capacity(positions.len());
        for (entry, position) in positions.iter().enumerate() {
            if numbers.insert(self.ids[*position], entry).is_some() {
                return Err(self.value(
                    "nodes_nodeids",
                    *position,
                    self.ids,
                    "the tree has this node twice",
                ));
            }
        }
        let child = |name: &str, position: usize, ids: &[i64]| {
            numbers
                .get(&ids[position])
                .copied()
                .ok_or_else(|| self.value(name, position, ids, "the tree has no such node"))
        };
        let mut entries = Vec::with_capacity(positions.len());
        for &position in positions {
            entries.push(match self.mode(position)? {
                None => Entry::Leaf(weights.remove(&(tree, self.ids[position])).unwrap_or(0.0)),
                Some(mode) => Test {
                    mode,
                    feature: index("nodes_featureids", position, self.features[position])?,
                    threshold: self.thresholds[position],
                    members: &[],
                    missing_is_true: self.missing_is_true[position],
                    on_true: child("nodes_truenodeids", position, self.on_true)?,
                    on_false: child("nodes_falsenodeids", position, self.on_false)?,
                }
                .entry(number, sets)?,
            });
        }
        Ok(entries)
    }

    /// How a node decides; `None` is a leaf.
    fn mode(&self, position: usize) -> Result<Option<Mode>, Error> {
        Ok(Some(match self.modes[position].as_slice() {
            b"LEAF" => return Ok(None),
            b"BRANCH_LEQ" => Mode::AtMost,
            b"BRANCH_LT" => Mode::Below,
            b"BRANCH_GTE" => Mode::AtLeast,
            b"BRANCH_GT" => Mode::Above,
            b"BRANCH_EQ" => Mode::Equal,
            b"BRANCH_NEQ" => Mode::Unequal,
            other => {
                return Err(Error::Value {
                    name: "nodes_modes".to_owned(),
                    position,
                    value: String::from_utf8_lossy(other).into_owned(),
                    wanted: "it must be LEAF or one of BRANCH_LEQ, _LT, _GTE, _GT, _EQ and _NEQ",
                });
            }
        }))
    }

    fn value(&self, name: &str, position: usize, list: &[i64], wanted: &'static str) -> Error {
        Error::Value {
            name: name.to_owned(),
            position,
            value: list[position].to_string(),
            wanted,
        }
    }
}
