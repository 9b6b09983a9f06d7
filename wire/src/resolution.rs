//! What the resolver found out about a pipeline's bundles: its report to the operator, as JSON in a ConfigMap.
//!
//! The operator never speaks to an object store. One pod a pipeline does, with the pipeline's own credentials, and writes
//! this down; the operator rolls out what it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::role::Role;

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
    /// Trained sources of candidates, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, ResolvedBundle>,
    /// The scorer.
    pub scorer: ResolvedBundle,
    /// Text embeddings of items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarity: Option<ResolvedBundle>,
}

impl VariantBundles {
    /// The bundles with their roles, in the order in which a request meets them.
    pub fn by_role(&self) -> impl Iterator<Item = (Role, &ResolvedBundle)> {
        let Self {
            features,
            retrieval,
            sources,
            scorer,
            similarity,
        } = self;
        let found = [(Role::Features, features), (Role::Retrieval, retrieval)];
        let sources = sources.iter();
        found
            .into_iter()
            .chain(sources.map(|(name, bundle)| (Role::Source(name.clone()), bundle)))
            .chain([(Role::Scorer, scorer)])
            .chain(similarity.iter().map(|bundle| (Role::Similarity, bundle)))
    }

    /// Bundles with their roles; none where one that is always needed is missing.
    pub fn of_roles(bundles: impl IntoIterator<Item = (Role, ResolvedBundle)>) -> Option<Self> {
        let mut by_role: BTreeMap<Role, ResolvedBundle> = bundles.into_iter().collect();
        let mut take = |role| by_role.remove(&role);
        let (features, retrieval, scorer) =
            (take(Role::Features)?, take(Role::Retrieval)?, take(Role::Scorer)?);
        let similarity = take(Role::Similarity);
        let sources = by_role.into_iter().filter_map(|(role, bundle)| match role {
            Role::Source(name) => Some((name, bundle)),
            _ => None,
        });
        Some(Self {
            features,
            retrieval,
            sources: sources.collect(),
            scorer,
            similarity,
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(name: &str) -> ResolvedBundle {
        ResolvedBundle {
            name: name.to_owned(),
            version: "v1".to_owned(),
            digest: format!("sha256:{name}"),
            bytes: 1,
        }
    }

    #[test]
    fn bundles_have_their_roles_in_the_order_of_a_request_and_are_found_by_them() {
        let bundles = VariantBundles {
            features: bundle("features"),
            retrieval: bundle("two-tower"),
            sources: [
                ("ease".to_owned(), bundle("ease")),
                ("als".to_owned(), bundle("als")),
            ]
            .into(),
            scorer: bundle("dlrm"),
            similarity: None,
        };
        let roles: Vec<String> = bundles.by_role().map(|(role, _)| role.to_string()).collect();
        assert_eq!(
            roles,
            ["features", "retrieval", "source/als", "source/ease", "scorer"]
        );
        let found = bundles.by_role().map(|(role, bundle)| (role, bundle.clone()));
        assert_eq!(VariantBundles::of_roles(found), Some(bundles.clone()));
        let without_a_scorer = bundles.by_role().filter(|(role, _)| *role != Role::Scorer);
        let without_a_scorer = without_a_scorer.map(|(role, bundle)| (role, bundle.clone()));
        assert_eq!(VariantBundles::of_roles(without_a_scorer), None);
    }

    #[test]
    fn a_variant_without_sources_is_written_as_before_there_were_any() {
        let bundles = VariantBundles {
            features: bundle("features"),
            retrieval: bundle("two-tower"),
            sources: BTreeMap::new(),
            scorer: bundle("dlrm"),
            similarity: None,
        };
        let written = serde_json::to_value(&bundles).unwrap();
        assert!(written.get("sources").is_none(), "{written}");
    }
}
