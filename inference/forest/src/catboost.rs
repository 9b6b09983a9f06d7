//! CatBoost's JSON models, with numeric features.
//!
//! A tree is oblivious: all nodes of a level have the same split, `x > border`, and the answers are the bits of the leaf's
//! number, the first split the lowest. So we lay a tree out from its last split down to its first, and the leaves come in
//! the order of the file. `scale_and_bias` multiplies the leaves and begins the sum.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::model::{Combine, Entry, Model, Objective, Reading, Split, Tree, TreeError};
use super::remark::Remark;

/// The deepest tree that CatBoost grows.
const DEEPEST: usize = 16;

/// A whole file.
#[derive(Debug, Deserialize)]
pub(crate) struct File {
    features_info: Features,
    model_info: Info,
    oblivious_trees: Option<Vec<Oblivious>>,
    scale_and_bias: (f64, Vec<f64>),
}

#[derive(Debug, Deserialize)]
struct Features {
    #[serde(default)]
    float_features: Vec<Feature>,
    #[serde(default)]
    categorical_features: Vec<IgnoredAny>,
    #[serde(default)]
    text_features: Vec<IgnoredAny>,
    #[serde(default)]
    embedding_features: Vec<IgnoredAny>,
}

/// A numeric feature. As only numeric ones are read, its place among them is its place among all.
#[derive(Debug, Deserialize)]
struct Feature {
    flat_feature_index: usize,
    #[serde(default)]
    feature_id: String,
    /// What releases wrote that had no `feature_id`; later ones may have both.
    #[serde(default)]
    feature_name: String,
    #[serde(default)]
    nan_value_treatment: Treatment,
}

impl Feature {
    fn name(&self) -> &str {
        match self.feature_id.as_str() {
            "" => &self.feature_name,
            id => id,
        }
    }
}

/// How `NaN > border` is answered; as it is, the answer is no.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Treatment {
    #[default]
    #[serde(rename = "AsIs")]
    Kept,
    #[serde(rename = "AsFalse")]
    False,
    #[serde(rename = "AsTrue")]
    True,
}

#[derive(Debug, Deserialize)]
struct Info {
    /// A sum of models has none.
    params: Option<Parameters>,
    class_params: Option<Classes>,
}

#[derive(Debug, Deserialize)]
struct Classes {
    #[serde(default)]
    class_names: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Parameters {
    loss_function: Loss,
}

#[derive(Debug, Deserialize)]
struct Loss {
    #[serde(rename = "type")]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Oblivious {
    leaf_values: Vec<f64>,
    #[serde(default)]
    splits: Option<Vec<Border>>,
}

#[derive(Debug, Deserialize)]
struct Border {
    split_type: String,
    border: Option<f32>,
    float_feature_index: Option<usize>,
}

/// Why a file is no CatBoost model that we can read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum CatBoostError {
    /// Features that are no numbers.
    #[error(
        "the CatBoost model has {count} {kind} features, but only numeric ones are supported; give it the workflow's indexes as numbers, without cat_features"
    )]
    FeatureKind {
        /// What they are.
        kind: &'static str,
        /// How many there are.
        count: usize,
    },
    /// Features are not numbered in order.
    #[error("feature {position} of the CatBoost model has the number {number}; save it again")]
    FeatureNumber {
        /// Its place among the features.
        position: usize,
        /// What it says.
        number: usize,
    },
    /// The file does not say what the trees were trained for.
    #[error(
        "the CatBoost model has no training parameters (model_info.params), as a sum of models (sum_models) has none, so that nothing says what its sum means; save one trained model"
    )]
    SumOfModels,
    /// The trees are not oblivious.
    #[error("the CatBoost model has no oblivious trees; train with grow_policy=SymmetricTree")]
    Policy,
    /// A tree is deeper than CatBoost grows them.
    #[error("tree {tree} has {splits} levels, the most is {DEEPEST}")]
    TooDeep {
        /// Number of the tree, from 0.
        tree: usize,
        /// Its levels.
        splits: usize,
    },
    /// Not one value for each leaf.
    #[error(
        "tree {tree} has {found} leaf values for {splits} levels, it must have {wanted}; a score is one number, train with one output", wanted = 1_usize << splits
    )]
    Leaves {
        /// Number of the tree, from 0.
        tree: usize,
        /// Leaf values that there are.
        found: usize,
        /// Levels of the tree.
        splits: usize,
    },
    /// A split that is not by a number.
    #[error(
        "tree {tree} has a split of type {kind:?}, but only FloatFeature is supported; train without cat_features"
    )]
    SplitKind {
        /// Number of the tree, from 0.
        tree: usize,
        /// The split's type.
        kind: String,
    },
    /// A bias that is not one number.
    #[error(
        "the CatBoost model's scale_and_bias has {found} biases, it must have one; train with one output"
    )]
    Bias {
        /// How many there are.
        found: usize,
    },
    /// Scale or bias is not a number.
    #[error("the CatBoost model's scale_and_bias has {value}, but it must be finite")]
    Scale {
        /// What it says.
        value: f64,
    },
    /// Nodes make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

use CatBoostError as Error;

/// Checks a file and makes a model of it.
pub(crate) fn model(file: File) -> Result<Model, CatBoostError> {
    file.features_info.check()?;
    let parameters = file.model_info.params.ok_or(Error::SumOfModels)?;
    let features = &file.features_info.float_features;
    let (scale, bias) = match file.scale_and_bias {
        (scale, biases) if biases.len() == 1 => (scale, biases[0]),
        (_, biases) => {
            return Err(Error::Bias { found: biases.len() });
        }
    };
    if let Some(value) = [scale, bias].into_iter().find(|value| !value.is_finite()) {
        return Err(Error::Scale { value });
    }
    let trees = file
        .oblivious_trees
        .ok_or(Error::Policy)?
        .iter()
        .enumerate()
        .map(|(number, tree)| tree.grow(number, scale, features))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Model {
        feature_names: names(features),
        features: features.len(),
        reading: Reading::Exact,
        trees,
        combine: Combine::Sum,
        start: bias,
        divisor: 1.0,
        objective: match parameters.loss_function.name.as_str() {
            "Logloss" | "CrossEntropy" => Objective::Sigmoid { slope: 1.0 },
            "Poisson" | "Tweedie" => Objective::Exponential,
            _ => Objective::Identity,
        },
        remarks: file
            .model_info
            .class_params
            .and_then(Classes::scored)
            .into_iter()
            .collect(),
    })
}

impl Classes {
    /// Which of two classes the prediction is for.
    fn scored(self) -> Option<Remark> {
        let [other, class] = <[serde_json::Value; 2]>::try_from(self.class_names).ok()?;
        let name = |class: serde_json::Value| match class {
            serde_json::Value::String(name) => name,
            other => other.to_string(),
        };
        Some(Remark::Class {
            class: name(class),
            other: name(other),
        })
    }
}

impl Features {
    fn check(&self) -> Result<(), Error> {
        for (kind, others) in [
            ("categorical", &self.categorical_features),
            ("text", &self.text_features),
            ("embedding", &self.embedding_features),
        ] {
            if !others.is_empty() {
                return Err(Error::FeatureKind {
                    kind,
                    count: others.len(),
                });
            }
        }
        let numbers = self
            .float_features
            .iter()
            .map(|feature| feature.flat_feature_index);
        match numbers.enumerate().find(|(position, number)| position != number) {
            Some((position, number)) => Err(Error::FeatureNumber { position, number }),
            None => Ok(()),
        }
    }
}

/// The names, unless CatBoost made them up: it then has none, or the features' numbers.
fn names(features: &[Feature]) -> Option<Vec<String>> {
    let names = features.iter().map(|feature| feature.name().to_owned());
    let names: Vec<String> = names.collect();
    let made_up = |(number, name): (usize, &String)| name.is_empty() || *name == number.to_string();
    (!names.iter().enumerate().all(made_up)).then_some(names)
}

impl Oblivious {
    fn grow(&self, tree: usize, scale: f64, features: &[Feature]) -> Result<Tree, Error> {
        let splits = self.splits.as_deref().unwrap_or_default();
        if splits.len() > DEEPEST {
            return Err(Error::TooDeep {
                tree,
                splits: splits.len(),
            });
        }
        if self.leaf_values.len() != 1 << splits.len() {
            return Err(Error::Leaves {
                tree,
                found: self.leaf_values.len(),
                splits: splits.len(),
            });
        }
        let mut entries = Vec::with_capacity(2 * self.leaf_values.len());
        for (level, border) in splits.iter().rev().enumerate() {
            let (feature, split) = border.split(tree, entries.len(), features)?;
            for _ in 0..1_usize << level {
                let left = 2 * entries.len() + 1;
                entries.push(Entry::Inner {
                    feature,
                    split: split.clone(),
                    left,
                    right: left + 1,
                });
            }
        }
        entries.extend(self.leaf_values.iter().map(|value| Entry::Leaf(scale * value)));
        Ok(Tree::grow_whole(tree, entries, features.len())?)
    }
}

impl Border {
    /// The feature and the test of a level whose first node is `node`.
    fn split(&self, tree: usize, node: usize, features: &[Feature]) -> Result<(usize, Split), Error> {
        let (Some(border), Some(feature)) = (self.border, self.float_feature_index) else {
            return Err(Error::SplitKind {
                tree,
                kind: self.split_type.clone(),
            });
        };
        let treatment = features
            .get(feature)
            .ok_or(TreeError::Feature {
                tree,
                node,
                feature,
                features: features.len(),
            })?
            .nan_value_treatment;
        let missing_left = !matches!(treatment, Treatment::True);
        Ok((feature, Split::at_most(f64::from(border), missing_left)))
    }
}
