//! What the resolver found out about a pipeline's bundles: its report to the operator, as JSON in a ConfigMap.
//!
//! The operator never speaks to an object store. One pod a pipeline does, with the pipeline's own credentials, and writes
//! this down; the operator rolls out what it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// The key of the ConfigMap that holds the report.
pub const REPORT_KEY: &str = "report.json";

/// What a pipeline's references lead to now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// The generation of the spec whose references were looked up.
    pub generation: i64,
    /// Each variant's bundles, by the variant's name.
    pub variants: BTreeMap<String, VariantResolution>,
}

/// What became of a variant's references.
#[expect(
    clippy::large_enum_variant,
    reason = "a pipeline has a handful of them, and most are the large one"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VariantResolution {
    /// They lead to bundles that belong together.
    Resolved(VariantBundles),
    /// They don't.
    Refused(Refusal),
}

/// A variant's bundles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VariantBundles {
    /// Raw features and their workflow.
    pub features: ResolvedBundle,
    /// Two towers and an index.
    pub retrieval: ResolvedBundle,
    /// The scorer.
    pub scorer: ResolvedBundle,
    /// Text embeddings of items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<ResolvedBundle>,
}

impl VariantBundles {
    /// The bundles with their roles, in the order in which a request meets them.
    pub fn by_role(&self) -> impl Iterator<Item = (&'static str, &ResolvedBundle)> {
        let Self {
            features,
            retrieval,
            scorer,
            similarity,
        } = self;
        let always = [
            ("features", features),
            ("retrieval", retrieval),
            ("scorer", scorer),
        ];
        always
            .into_iter()
            .chain(similarity.iter().map(|bundle| ("similarity", bundle)))
    }

    /// Bytes of all files together.
    pub fn bytes(&self) -> u64 {
        self.by_role().map(|(_, bundle)| bundle.bytes).sum()
    }
}

/// One bundle, found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedBundle {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The sha256 of its manifest, as `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Bytes of its files together.
    pub bytes: u64,
}

impl ResolvedBundle {
    /// The reference that stays at this version.
    pub fn pinned(&self) -> String {
        format!("{}/{}", self.name, self.version)
    }
}

/// Why a variant's bundles can't be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// In one word, for programs.
    pub reason: RefusalReason,
    /// For people: what, where, and the way out.
    pub message: String,
}

/// Why bundles can't be served, in one word. Each is a reason of the condition `ArtifactsResolved`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
pub enum RefusalReason {
    /// The URL names no store that this program can open.
    InvalidStore,
    /// The credentials are missing or wrong.
    AccessDenied,
    /// The store doesn't answer, or not in time.
    StoreUnavailable,
    /// A bundle, version or channel isn't there.
    BundleNotFound,
    /// A manifest is damaged or breaks a limit.
    BundleInvalid,
    /// The bundles don't belong together.
    ContractMismatch,
}

impl RefusalReason {
    /// The word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
