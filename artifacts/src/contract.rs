//! What a bundle must have in common with the bundles that it is served with.
//!
//! A model learned from features that one fitted workflow encoded; served with another workflow it still answers, wrongly. So
//! each bundle carries what it was built with. Which of them go together: [`crate::together`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::kind::Kind;

/// What a bundle must have in common with the bundles that it is served with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contract {
    /// The fitted workflow that it carries, or that it was built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Digest>,
    /// The space that its vectors live in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_space: Option<String>,
    /// How many numbers one of its vectors has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// How its vectors are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// The features that a scorer takes, or that a workflow gives, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Vec<String>>,
    /// The trained sources whose opinions a scorer takes behind its inputs, by their names in the pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// How two vectors are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The higher, the nearer.
    InnerProduct,
    /// Squared distance: the lower, the nearer.
    L2,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InnerProduct => "inner_product",
            Self::L2 => "l2",
        })
    }
}

impl Contract {
    /// The first field that a bundle of this kind needs and that isn't there.
    pub(crate) fn lacks(&self, kind: Kind) -> Option<&'static str> {
        let workflow = ("workflow", self.workflow.is_some());
        let vectors = [
            ("embedding_space", self.embedding_space.is_some()),
            ("dimension", self.dimension.is_some()),
            ("metric", self.metric.is_some()),
        ];
        let needed = match kind {
            Kind::Features => vec![workflow],
            Kind::Retrieval => [&[workflow], &vectors[..]].concat(),
            // Who bought what is all that it knows, and items are named by their ids.
            Kind::Source => Vec::new(),
            Kind::Scorer => vec![workflow, ("inputs", self.inputs.is_some())],
            Kind::Similarity => vectors.to_vec(),
        };
        needed
            .into_iter()
            .find(|(_, there)| !there)
            .map(|(field, _)| field)
    }
}
