//! XGBoost's model files: JSON, and the same tree of values as UBJSON.
//!
//! A node sends `x < split_conditions[node]` left and NaN where `default_left` says; a split by category sends what is in
//! its set right. A leaf has no children, and its value is in `split_conditions`. XGBoost adds in `f32`, beginning with
//! the margin of `base_score`; so do we, and raw margins equal its own bit for bit. DART multiplies each tree's leaves by
//! its weight.
//!
//! Pruning leaves nodes behind that no node leads to; they are dropped.

use serde::Deserialize;

use super::model::{CategorySets, Combine, Entry, Model, Objective, Reading, Split, Tree, TreeError};
use super::remark::Remark;

/// A whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    learner: Learner,
}

#[derive(Debug, Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Parameters,
    objective: Named,
}

/// What training noted down.
#[derive(Debug, Default, Deserialize)]
struct Attributes {
    best_iteration: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// `gbtree` has its trees in `model`; `dart` has them one deeper, and their weights beside that.
#[derive(Debug, Deserialize)]
struct Booster {
    name: String,
    model: Option<Trees>,
    gbtree: Option<Inner>,
    weight_drop: Option<Vec<f32>>,
}

#[derive(Debug, Deserialize)]
struct Inner {
    model: Trees,
}

/// Numbers, as texts.
#[derive(Debug, Deserialize)]
struct Parameters {
    base_score: String,
    num_class: String,
    num_feature: String,
    #[serde(default)]
    num_target: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Trees {
    trees: Option<Vec<Columns>>,
    #[serde(default)]
    iteration_indptr: Vec<u64>,
    /// XGBoost before 3.1 has none.
    cats: Option<Recoding>,
}

/// The names of a data frame's categories, if there was one.
#[derive(Debug, Default, Deserialize)]
struct Recoding {
    #[serde(default)]
    enc: Vec<serde::de::IgnoredAny>,
}

/// A tree: a list a property, with one value a node.
#[derive(Debug, Deserialize)]
struct Columns {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    split_conditions: Vec<f32>,
    default_left: Vec<Flag>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    categories: Vec<u32>,
    #[serde(default)]
    categories_nodes: Vec<usize>,
    #[serde(default)]
    categories_segments: Vec<usize>,
    #[serde(default)]
    categories_sizes: Vec<usize>,
}

/// Files of XGBoost 1 have `true` where later ones have 1.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Flag {
    Word(bool),
    Number(u8),
}

impl Flag {
    fn is_set(self) -> bool {
        match self {
            Self::Word(flag) => flag,
            Self::Number(number) => number != 0,
        }
    }
}

/// Why a file is no XGBoost model that we can read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum XgBoostError {
    /// The booster has no trees, or none that we know.
    #[error(
        "the XGBoost model's booster is {booster:?}, but only gbtree and dart are supported; train one of them"
    )]
    Booster {
        /// Its name.
        booster: String,
    },
    /// A booster of trees has no trees.
    #[error("the XGBoost model's booster is {booster}, but it has no trees; save it again")]
    NoTrees {
        /// Its name.
        booster: String,
    },
    /// A parameter does not say what it should.
    #[error("the XGBoost model has {key}={value}, but {wanted}")]
    Parameter {
        /// Which parameter.
        key: &'static str,
        /// What it says.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The objective is not supported.
    #[error(
        "the XGBoost model's objective is {objective:?}, but a score is one number: binary:logistic, binary:logitraw, reg:*, rank:* and count:poisson are supported"
    )]
    Objective {
        /// Its name.
        objective: String,
    },
    /// The categories come from a data frame.
    #[error(
        "the XGBoost model was trained on a data frame's categories, whose numbers are its own; train on the workflow's indexes with feature_types `c`"
    )]
    Recoded,
    /// Not one weight a tree.
    #[error("the XGBoost model has {weights} values in weight_drop for {trees} trees")]
    Weights {
        /// Number of weights.
        weights: usize,
        /// Number of trees.
        trees: usize,
    },
    /// Not as many names as features.
    #[error("the XGBoost model names {names} features, but num_feature is {features}")]
    FeatureNames {
        /// Number of names.
        names: usize,
        /// Number of features.
        features: usize,
    },
    /// A list of a tree has too few or too many values.
    #[error("tree {tree} has {found} values in {key}, it must have {wanted}")]
    Length {
        /// Number of the tree, from 0.
        tree: usize,
        /// Which list.
        key: &'static str,
        /// Values that are there.
        found: usize,
        /// Values that there must be.
        wanted: usize,
    },
    /// A value of a tree makes no sense.
    #[error("tree {tree}, {key}[{position}] is {value}, but {wanted}")]
    Value {
        /// Number of the tree, from 0.
        tree: usize,
        /// Which list.
        key: &'static str,
        /// Which value.
        position: usize,
        /// What it says.
        value: i64,
        /// What would do.
        wanted: &'static str,
    },
    /// Nodes make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

use XgBoostError as Error;

/// Categories go up to 2^24, above it `f32` can't represent every integer.
const MAX_CATEGORIES: u32 = 1 << 24;

/// Checks a file and makes a model of it.
pub(crate) fn model(file: File) -> Result<Model, XgBoostError> {
    let learner = file.learner;
    let parameters = learner.learner_model_param;
    one_output("num_class", Some(&parameters.num_class))?;
    one_output("num_target", parameters.num_target.as_deref())?;
    let features = parameters.features()?;
    let (objective, start) = objective(&learner.objective.name, parameters.base_score()?)?;
    let best = learner.attributes.best_iteration;
    let Boosted {
        trees,
        weights,
        rounds,
        frame_unknown,
    } = boosted(learner.gradient_booster)?;
    let mut remarks = vec![Remark::Missing { library: "XGBoost" }];
    remarks.extend(stopped_early(best, rounds));
    if frame_unknown && trees.iter().any(Columns::splits_by_category) {
        remarks.push(Remark::Categories);
    }
    let mut sets = CategorySets::default();
    let trees = trees
        .into_iter()
        .zip(weights)
        .enumerate()
        .map(|(number, (columns, weight))| columns.grow(number, weight, features, &mut sets))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Model {
        feature_names: feature_names(learner.feature_names, features)?,
        features,
        reading: Reading::XgBoost,
        trees,
        combine: Combine::SingleSum,
        start: f64::from(start),
        divisor: 1.0,
        objective,
        remarks,
    })
}

/// Says so if rounds were added after the best one.
fn stopped_early(best: Option<String>, rounds: usize) -> Option<Remark> {
    let best = best?.parse::<usize>().ok()?;
    (best + 1 < rounds).then_some(Remark::BestIteration { best, rounds })
}

/// 0 and 1 both say that there is one output.
fn one_output(key: &'static str, value: Option<&str>) -> Result<(), Error> {
    match value {
        None | Some("0" | "1") => Ok(()),
        Some(value) => Err(Error::Parameter {
            key,
            value: value.to_owned(),
            wanted: "a score is one number; train with two classes (binary:logistic)",
        }),
    }
}

impl Parameters {
    fn features(&self) -> Result<usize, Error> {
        self.num_feature
            .parse::<u32>()
            .map(|features| features as usize)
            .map_err(|_| Error::Parameter {
                key: "num_feature",
                value: self.num_feature.clone(),
                wanted: "it must be a number",
            })
    }

    /// XGBoost 3 writes a list, with one number where there is one output.
    fn base_score(&self) -> Result<f32, Error> {
        self.base_score
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<f32>()
            .ok()
            .filter(|score| score.is_finite())
            .ok_or_else(|| Error::Parameter {
                key: "base_score",
                value: self.base_score.clone(),
                wanted: "it must be one number",
            })
    }
}

/// What turns the margin into a prediction, and the margin that `base_score`, a prediction, comes of.
fn objective(name: &str, base_score: f32) -> Result<(Objective, f32), Error> {
    let base = |wanted| Error::Parameter {
        key: "base_score",
        value: base_score.to_string(),
        wanted,
    };
    match name {
        "binary:logistic" | "reg:logistic" => match base_score > 0.0 && base_score < 1.0 {
            true => Ok((Objective::Sigmoid { slope: 1.0 }, -(1.0 / base_score - 1.0).ln())),
            false => Err(base("it must be between 0 and 1 for a logistic objective")),
        },
        // Its prediction is the margin, and so is its base score.
        "binary:logitraw" => Ok((Objective::Identity, base_score)),
        "reg:gamma" | "reg:tweedie" | "count:poisson" => match base_score > 0.0 {
            true => Ok((Objective::Exponential, base_score.ln())),
            false => Err(base("it must be above 0 for an objective with a logarithm")),
        },
        _ if name.starts_with("reg:") || name.starts_with("rank:") => Ok((Objective::Identity, base_score)),
        _ => Err(Error::Objective {
            objective: name.to_owned(),
        }),
    }
}

/// The trees of a booster.
struct Boosted {
    trees: Vec<Columns>,
    /// What the leaves of each tree are multiplied by.
    weights: Vec<f32>,
    /// Rounds of boosting; 0 where the file does not say.
    rounds: usize,
    /// Whether the file can't say if categories came from a data frame.
    frame_unknown: bool,
}

fn boosted(booster: Booster) -> Result<Boosted, Error> {
    let name = booster.name;
    let model = match name.as_str() {
        "gbtree" => booster.model,
        "dart" => booster.gbtree.map(|inner| inner.model),
        _ => return Err(Error::Booster { booster: name }),
    };
    let Some((model, trees)) = model.and_then(|mut model| model.trees.take().map(|trees| (model, trees)))
    else {
        return Err(Error::NoTrees { booster: name });
    };
    if model.cats.as_ref().is_some_and(|cats| !cats.enc.is_empty()) {
        return Err(Error::Recoded);
    }
    let weights = booster.weight_drop.unwrap_or_else(|| vec![1.0; trees.len()]);
    if weights.len() != trees.len() {
        return Err(Error::Weights {
            weights: weights.len(),
            trees: trees.len(),
        });
    }
    Ok(Boosted {
        trees,
        weights,
        rounds: model.iteration_indptr.len().saturating_sub(1),
        frame_unknown: model.cats.is_none(),
    })
}

fn feature_names(names: Vec<String>, features: usize) -> Result<Option<Vec<String>>, Error> {
    match names.len() {
        0 => Ok(None),
        count if count == features => Ok(Some(names)),
        count => Err(Error::FeatureNames {
            names: count,
            features,
        }),
    }
}

impl Columns {
    fn splits_by_category(&self) -> bool {
        !self.categories_nodes.is_empty()
    }

    fn grow(
        &self,
        tree: usize,
        weight: f32,
        features: usize,
        sets: &mut CategorySets,
    ) -> Result<Tree, Error> {
        self.check_lengths(tree)?;
        let categories = self.category_lists(tree)?;
        let mut entries = Vec::with_capacity(self.left_children.len());
        for (node, list) in categories.into_iter().enumerate() {
            entries.push(match (self.left_children[node], list) {
                (-1, _) => Entry::Leaf(f64::from(weight * self.split_conditions[node])),
                (_, None) => self.by_number(tree, node)?,
                (_, Some(list)) => self.by_category(tree, node, sets.make(tree, list)?)?,
            });
        }
        Ok(Tree::grow(tree, entries, features)?)
    }

    fn by_number(&self, tree: usize, node: usize) -> Result<Entry, Error> {
        let threshold = f64::from(self.split_conditions[node]);
        Ok(Entry::Inner {
            feature: self.split_indices[node] as usize,
            split: Split::below(threshold, self.default_left[node].is_set()),
            left: child(tree, node, "left_children", self.left_children[node])?,
            right: child(tree, node, "right_children", self.right_children[node])?,
        })
    }

    /// What is in the set goes right, so left and right are changed over.
    fn by_category(&self, tree: usize, node: usize, set: Vec<u32>) -> Result<Entry, Error> {
        Ok(Entry::Inner {
            feature: self.split_indices[node] as usize,
            split: Split::Category {
                set,
                missing_left: !self.default_left[node].is_set(),
            },
            left: child(tree, node, "right_children", self.right_children[node])?,
            right: child(tree, node, "left_children", self.left_children[node])?,
        })
    }

    fn check_lengths(&self, tree: usize) -> Result<(), Error> {
        let nodes = self.left_children.len();
        let sets = self.categories_nodes.len();
        // Files from before splits by category have no types.
        let types = match self.split_type.len() {
            0 => 0,
            _ => nodes,
        };
        for (key, found, wanted) in [
            ("right_children", self.right_children.len(), nodes),
            ("split_indices", self.split_indices.len(), nodes),
            ("split_conditions", self.split_conditions.len(), nodes),
            ("default_left", self.default_left.len(), nodes),
            ("split_type", self.split_type.len(), types),
            ("categories_segments", self.categories_segments.len(), sets),
            ("categories_sizes", self.categories_sizes.len(), sets),
        ] {
            if found != wanted {
                return Err(Error::Length {
                    tree,
                    key,
                    found,
                    wanted,
                });
            }
        }
        Ok(())
    }

    /// The list of categories of each node that splits by category.
    fn category_lists(&self, tree: usize) -> Result<Vec<Option<&[u32]>>, Error> {
        let wrong = |key, position, value: i64, wanted| Error::Value {
            tree,
            key,
            position,
            value,
            wanted,
        };
        if let Some(position) = self
            .categories
            .iter()
            .position(|category| *category > MAX_CATEGORIES)
        {
            let category = i64::from(self.categories[position]);
            return Err(wrong("categories", position, category, "the most is 16777216"));
        }
        let (listed, wanted) = (
            self.categories_sizes
                .iter()
                .fold(0, |sum: usize, size| sum.saturating_add(*size)),
            self.categories.len(),
        );
        if listed != wanted {
            return Err(Error::Length {
                tree,
                key: "categories",
                found: wanted,
                wanted: listed,
            });
        }
        let mut lists = vec![None; self.left_children.len()];
        let segments = self.categories_segments.iter().zip(&self.categories_sizes);
        for (position, (node, (first, size))) in self.categories_nodes.iter().zip(segments).enumerate() {
            let list = first
                .checked_add(*size)
                .and_then(|end| self.categories.get(*first..end))
                .ok_or_else(|| {
                    let wanted = "segments must lie in categories";
                    wrong("categories_segments", position, *first as i64, wanted)
                })?;
            *lists.get_mut(*node).ok_or_else(|| {
                wrong(
                    "categories_nodes",
                    position,
                    *node as i64,
                    "the tree has no such node",
                )
            })? = Some(list);
        }
        for (node, kind) in self.split_type.iter().enumerate() {
            match kind {
                0 => lists[node] = None,
                1 if lists[node].is_some() || self.left_children[node] == -1 => {}
                1 => return Err(wrong("split_type", node, 1, "the node has no categories")),
                _ => return Err(wrong("split_type", node, i64::from(*kind), "it must be 0 or 1")),
            }
        }
        Ok(lists)
    }
}

fn child(tree: usize, node: usize, key: &'static str, child: i32) -> Result<usize, Error> {
    usize::try_from(child).map_err(|_| Error::Value {
        tree,
        key,
        position: node,
        value: i64::from(child),
        wanted: "the tree has no such node",
    })
}
