//! What the routers of a pipeline are told: the variants that may get users, as JSON in a ConfigMap.
//!
//! The operator writes it, every router watches it. Addresses are not in it: a router finds a variant's pods through the
//! EndpointSlices of its Service.

use serde::{Deserialize, Serialize};

/// The key of the ConfigMap that holds the routes.
pub const ROUTES_KEY: &str = "routes.json";

/// Who may get users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Routes {
    /// The pipeline's namespace: part of the salt that users are shared by.
    pub namespace: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant that stands in for others.
    pub control: String,
    /// The variants, in the order of the spec.
    pub variants: Vec<Route>,
}

/// A variant that may get users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Route {
    /// The variant's name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
    /// The Service, in the pipeline's namespace, whose endpoints are the variant's pods.
    pub service: String,
}
