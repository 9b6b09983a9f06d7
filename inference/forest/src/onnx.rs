//! ONNX models with one tree ensemble: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` (ai.onnx.ml 1 and 3), and
//! `TreeEnsemble` (ai.onnx.ml 5).
//!
//! Results are those of onnxruntime, also where it reads the specification its own way: an ensemble with one target has no
//! post transform but probit, and a classifier's weights for class 0 alone are the score of class 1. A prediction is the
//! target, or the probability of the second of two classes. Sums are taken in `f64`.
//!
//! Around the ensemble the graph may have what exporters put there and what changes no number: `Identity`, `Cast` and
//! `ZipMap`. All else is refused by its name.
//!
//! **Caution**: what a file does not say can't be read from it. skl2onnx does not write where scikit-learn's trees send
//! missing values, so such a model and its export differ on rows with NaN.
//!
//! [`messages`] has the protobuf; [`classic`] reads the first two operators, [`ensemble`] the third.

mod attributes;
mod classic;
mod ensemble;
mod messages;
#[cfg(test)]
mod tests;

use prost::Message;

use super::model::{CategorySets, Entry, Model, Split, TreeError};
use messages::{Graph, Node};

/// Why a file is no ONNX model that we can read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// The bytes are no ONNX.
    #[error("the model is not a readable ONNX file")]
    Protobuf(#[source] prost::DecodeError),
    /// A domain is used and not imported.
    #[error(
        "the ONNX model does not import the domain {domain:?} of its operator {operator}; it may be cut off, fetch it again"
    )]
    Import {
        /// The domain.
        domain: String,
        /// The operator.
        operator: String,
    },
    /// The file has not one tree ensemble.
    #[error("the ONNX model has {count} tree ensembles, it must have one; export the model of trees alone")]
    Ensembles {
        /// How many it has.
        count: usize,
    },
    /// An operator that would change numbers.
    #[error(
        "the ONNX model has the operator {operator}, but only a tree ensemble with Identity, Cast and ZipMap around it is supported; export the model of trees alone"
    )]
    Operator {
        /// Its domain, if it is not ONNX's own, and its name.
        operator: String,
    },
    /// Values are cast to what holds no fractions.
    #[error(
        "the ONNX model casts its inputs to type {to}, but only float (1) and double (11) keep them as they are"
    )]
    Cast {
        /// ONNX's number of the type.
        to: i64,
    },
    /// The trees do not read the graph's input.
    #[error("the ONNX model's trees read {name:?}, which is not an input of the graph")]
    Input {
        /// What they read.
        name: String,
    },
    /// The input's shape does not say how many features there are.
    #[error(
        "the ONNX model's input {name:?} has no fixed number of columns; export it with the shape [None, number of features]"
    )]
    Shape {
        /// The input.
        name: String,
    },
    /// An attribute is missing.
    #[error("the ONNX model's trees have no {name}")]
    Lacks {
        /// Which attribute.
        name: String,
    },
    /// An attribute does not say what it should.
    #[error("the ONNX model's trees have {name}={value}, but {wanted}")]
    Attribute {
        /// Which attribute.
        name: String,
        /// What it says.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// A list is too short or too long.
    #[error("the ONNX model's trees have {found} values in {name}, there must be {wanted}")]
    Length {
        /// Which attribute.
        name: String,
        /// Values that are there.
        found: usize,
        /// Values that there must be.
        wanted: usize,
    },
    /// A value of a list makes no sense.
    #[error("{name}[{position}] of the ONNX model's trees is {value}, but {wanted}")]
    Value {
        /// Which attribute.
        name: String,
        /// Which value.
        position: usize,
        /// What it says.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// Nodes make no tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

use OnnxError as Error;

const TREES_DOMAIN: &str = "ai.onnx.ml";

impl OnnxError {
    /// Whether the file may well be a model, but of something else than one forest.
    pub fn is_of_no_forest(&self) -> bool {
        matches!(self, Self::Ensembles { .. } | Self::Operator { .. })
    }
}

/// Reads a model.
pub(crate) fn parse(bytes: &[u8]) -> Result<Model, OnnxError> {
    let file = messages::Model::decode(bytes).map_err(Error::Protobuf)?;
    let graph = file.graph.unwrap_or_default();
    check_imports(&graph, &file.imports)?;
    let node = ensemble_node(&graph)?;
    let features = features(&graph, node)?;
    match node.operator.as_str() {
        "TreeEnsembleClassifier" => classic::classifier(node, features),
        "TreeEnsembleRegressor" => classic::regressor(node, features),
        _ => ensemble::regressor(node, features, &[1.0]),
    }
}

/// Imports stand behind the graph, so a file that was cut off between the two lacks them.
fn check_imports(graph: &Graph, imports: &[messages::Import]) -> Result<(), Error> {
    let imported = |node: &Node| {
        let mut domains = imports.iter().map(|import| &import.domain);
        domains.any(|domain| *domain == node.domain)
    };
    match graph.nodes.iter().find(|node| !imported(node)) {
        None => Ok(()),
        Some(node) => Err(Error::Import {
            domain: node.domain.clone(),
            operator: node.operator.clone(),
        }),
    }
}

/// The one node with trees; the others must change no number.
fn ensemble_node(graph: &Graph) -> Result<&Node, Error> {
    let has_trees = |node: &&Node| {
        node.domain == TREES_DOMAIN
            && matches!(
                node.operator.as_str(),
                "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble"
            )
    };
    let (ensembles, others): (Vec<&Node>, Vec<&Node>) = graph.nodes.iter().partition(has_trees);
    for node in others {
        match (node.domain.as_str(), node.operator.as_str()) {
            ("", "Identity" | "Cast") | (TREES_DOMAIN, "ZipMap") => {}
            ("", operator) => {
                return Err(Error::Operator {
                    operator: operator.to_owned(),
                });
            }
            (domain, operator) => {
                return Err(Error::Operator {
                    operator: format!("{domain}.{operator}"),
                });
            }
        }
    }
    match ensembles[..] {
        [node] => Ok(node),
        _ => Err(Error::Ensembles {
            count: ensembles.len(),
        }),
    }
}

/// The number of columns of the graph's input that the trees read.
fn features(graph: &Graph, ensemble: &Node) -> Result<usize, Error> {
    let mut name = ensemble.inputs.first().cloned().unwrap_or_default();
    // Each step leads to another node, unless they lead in a circle.
    for _ in 0..=graph.nodes.len() {
        if let Some(input) = graph.inputs.iter().find(|input| input.name == name) {
            return columns(input).ok_or(Error::Shape { name });
        }
        let Some(source) = graph.nodes.iter().find(|node| node.outputs.contains(&name)) else {
            break;
        };
        check_cast(source)?;
        name = source.inputs.first().cloned().unwrap_or_default();
    }
    Err(Error::Input { name })
}

fn columns(input: &messages::Input) -> Option<usize> {
    let dimensions = &input.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?.dimensions;
    match &dimensions[..] {
        [_, columns] => usize::try_from(columns.value?).ok(),
        _ => None,
    }
}

fn check_cast(node: &Node) -> Result<(), Error> {
    const FLOAT: i64 = 1;
    const DOUBLE: i64 = 11;
    match node.attributes.iter().find(|attribute| attribute.name == "to") {
        Some(attribute) if node.operator == "Cast" && !matches!(attribute.int, FLOAT | DOUBLE) => {
            Err(Error::Cast { to: attribute.int })
        }
        _ => Ok(()),
    }
}

/// When a node leads to its true branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    Member,
}

/// A node's test and branches, as both generations of operators have them.
#[derive(Clone, Copy, Debug)]
struct Test<'a> {
    mode: Mode,
    feature: usize,
    /// What the value is compared with.
    threshold: f64,
    /// What it is compared with where there are several.
    members: &'a [f64],
    /// Whether NaN leads to the true branch. Without that it does only where NaN is unequal.
    missing_is_true: bool,
    on_true: usize,
    on_false: usize,
}

impl Test<'_> {
    /// The node, as the walk decides. `tree` and `node` are for messages.
    fn entry(self, tree: usize, sets: &mut CategorySets) -> Result<Entry, Error> {
        let missing_is_true = self.missing_is_true;
        let (split, true_is_left) = match self.mode {
            Mode::AtMost => (Split::at_most(self.threshold, missing_is_true), true),
            Mode::Below => (Split::below(self.threshold, missing_is_true), true),
            Mode::AtLeast => (Split::below(self.threshold, !missing_is_true), false),
            Mode::Above => (Split::at_most(self.threshold, !missing_is_true), false),
            Mode::Equal => (
                self.category(tree, &[self.threshold], missing_is_true, sets)?,
                true,
            ),
            Mode::Unequal => (self.category(tree, &[self.threshold], false, sets)?, false),
            Mode::Member => (self.category(tree, self.members, missing_is_true, sets)?, true),
        };
        let (left, right) = match true_is_left {
            true => (self.on_true, self.on_false),
            false => (self.on_false, self.on_true),
        };
        Ok(Entry::Inner {
            feature: self.feature,
            split,
            left,
            right,
        })
    }

    fn category(
        self,
        tree: usize,
        members: &[f64],
        missing_left: bool,
        sets: &mut CategorySets,
    ) -> Result<Split, Error> {
        /// Where `f32` ends to tell neighbors apart.
        const MAX_CLASS: f64 = 16_777_216.0;
        if let Some(position) = members
            .iter()
            .position(|member| !(0.0..=MAX_CLASS).contains(member) || member.fract() != 0.0)
        {
            return Err(Error::Value {
                name: format!(
                    "the values that tree {tree} compares feature {} with",
                    self.feature
                ),
                position,
                value: members[position].to_string(),
                wanted: "only whole numbers from 0 to 16777216 can be tested for equality",
            });
        }
        let members: Vec<u32> = members.iter().map(|member| *member as u32).collect();
        Ok(Split::Category {
            set: sets.make(tree, &members)?,
            missing_left,
        })
    }
}
