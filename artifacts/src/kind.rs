//! What bundles are for.

use serde::{Deserialize, Serialize};

/// What a bundle is for.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// The fitted workflow and the tables of users and items.
    Features,
    /// Two towers and an index of items.
    Retrieval,
    /// A model of who buys what, which names candidates.
    Source,
    /// A model that scores candidates.
    Scorer,
    /// Text embeddings of items, their index, and the encoder.
    Similarity,
}
