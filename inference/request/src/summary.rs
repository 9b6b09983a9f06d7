//! What a variant says of itself.

use schemars::JsonSchema;
use serde::Serialize;

/// What a variant holds, for people.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct VariantSummary {
    /// The features' cut-off date.
    pub as_of: String,
    /// Users of the snapshot.
    pub users: usize,
    /// Items of the snapshot.
    pub items: usize,
    /// Items that have a text to compare; 0 where similar items are not served.
    pub texts: usize,
    /// Digest of the workflow.
    pub workflow: String,
    /// Inputs of the scorer, in order.
    pub inputs: Vec<String>,
    /// Maximum number of candidates per request.
    pub candidates: usize,
    /// Items in an answer if the request gives no k.
    pub limit: usize,
}
