//! What the routers of a pipeline are told: the variants that may get users, as JSON in a ConfigMap.
//!
//! The operator writes it, every router watches it. Addresses are not in it: a router finds a variant's pods through the
//! EndpointSlices of its Service.
//!
//! Fields that a router doesn't know are ignored, so that a router of an older release reads what a newer operator writes.

use serde::{Deserialize, Serialize};

use crate::buckets::Buckets;

/// The key of the ConfigMap that holds the routes.
pub const ROUTES_KEY: &str = "routes.json";

/// Who may get users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Routes {
    /// The pipeline's namespace: part of the salt that users are split by.
    pub namespace: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant that other variants' users fall back to.
    pub control: String,
    /// The variants, in the order of the spec.
    pub variants: Vec<Route>,
    /// The experiment that splits the users while it runs; without one, weights do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentRoutes>,
}

/// Who takes part in an experiment, and what they get. Everybody else gets the control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExperimentRoutes {
    /// The experiment's name.
    pub name: String,
    /// How often it was restarted; 1 at first.
    pub epoch: u32,
    /// Digest of everything here but itself: routers report it, so that a stage counts once all of them have it.
    pub revision: String,
    /// What users are split by.
    pub salt: String,
    /// The header that holds the unit's id; the request's user where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_header: Option<String>,
    /// Who is kept out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<HoldoutRoutes>,
    /// How many of the 10,000 buckets take part.
    pub traffic_buckets: Buckets,
    /// The arms, the control first.
    pub arms: Vec<ArmRoute>,
    /// An answer that takes longer is slow.
    pub slow_milliseconds: u64,
}

/// Who is kept out of experiments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldoutRoutes {
    /// What users are held out by.
    pub salt: String,
    /// How many of the 10,000 buckets are held out.
    pub buckets: Buckets,
}

/// One arm of an experiment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmRoute {
    /// The variant's name.
    pub variant: String,
    /// Its share of those who take part, relative to the sum of all arms' weights.
    pub weight: u32,
}

/// A variant that may get users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The variant's name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
    /// The Service, in the pipeline's namespace, whose endpoints are the variant's pods.
    pub service: String,
    /// The buckets whose users it gets, ascending. They are remembered here, so that the next change of weights moves the fewest
    /// users and every router decides alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<BucketRange>,
}

/// Neighboring buckets of the 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRange {
    /// The first bucket.
    pub start: u16,
    /// One past the last bucket.
    pub end: u16,
}
