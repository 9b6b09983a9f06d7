//! Settings that stores of bundles and of events have in common.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim for a volume that holds a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaim {
    /// The claim's name, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Credentials of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// A Secret in the pipeline's namespace, mounted in the pipeline's own pods.
    pub secret_ref: SecretRef,
}

/// Names a Secret in the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
