//! Why views can't be chosen.

use crate::registry::{OtherView, listed};

/// Why views can't be read together, or at all.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// No view is asked for.
    #[error("no feature view is named; name at least one")]
    None,
    /// There is no such view.
    #[error("project {project} has no feature view {view}; it has {}", listed(there))]
    Unknown {
        /// The project.
        project: String,
        /// Which view.
        view: String,
        /// The views that there are.
        there: Vec<String>,
    },
    /// A view that is not in the store.
    #[error(
        "{view} is {kind}, and can't be read from the store; name the feature views that hold its features"
    )]
    Other {
        /// Which view.
        view: String,
        /// What it is.
        kind: OtherView,
    },
    /// It has no such version.
    #[error(
        "feature view {view} has no version {version} in the registry; it has {}",
        listed(there)
    )]
    UnknownVersion {
        /// Which view.
        view: String,
        /// Which version.
        version: u32,
        /// The versions that there are.
        there: Vec<String>,
    },
    /// A version is asked for and the store has none.
    #[error(
        "{view} names a version, and versions are off; name {name} alone, or turn them on here and in feature_store.yaml \
         (enable_online_feature_view_versioning)"
    )]
    VersionsAreOff {
        /// What was asked for.
        view: String,
        /// The same without its version.
        name: String,
    },
    /// A version's record can't be read.
    #[error(
        "the registry's record of version {version} of feature view {view} is damaged; run `feast apply` again"
    )]
    DamagedVersion {
        /// Which view.
        view: String,
        /// Which version.
        version: u32,
        /// Why; none if it is a record of nothing.
        #[source]
        source: Option<prost::DecodeError>,
    },
    /// Not in the online store.
    #[error("feature view {view} is not online; set online=True in its definition, apply and materialize it")]
    NotOnline {
        /// Which view.
        view: String,
    },
    /// Feast serves nothing of it.
    #[error("feature view {view} is disabled; run `feast feature-views enable {view}`, or leave it out")]
    Disabled {
        /// Which view.
        view: String,
    },
    /// One of its entities is missing.
    #[error(
        "feature view {view} is about entity {entity}, which the registry does not have; run `feast apply` again"
    )]
    UnknownEntity {
        /// Which view.
        view: String,
        /// Which entity.
        entity: String,
    },
    /// It is about nothing, or about pairs.
    #[error(
        "feature view {view} has {}, and needs one alone: the user's or the item's; leave it out",
        keys(join_keys)
    )]
    NotOneKey {
        /// Which view.
        view: String,
        /// Its join keys.
        join_keys: Vec<String>,
    },
    /// Two views are about different things.
    #[error(
        "feature view {view} has join key {join_key}, and {first} has {first_key}; name views of one entity"
    )]
    OtherKey {
        /// Which view.
        view: String,
        /// Its join key.
        join_key: String,
        /// The first view.
        first: String,
        /// The first view's join key.
        first_key: String,
    },
    /// The type of a join key is none that ids can have, or another than that of the first view.
    #[error("join key {join_key} of feature view {view} is of type {found}, and must be {needed}")]
    KeyType {
        /// Which view.
        view: String,
        /// Which join key.
        join_key: String,
        /// What it is.
        found: String,
        /// What it must be.
        needed: String,
    },
    /// Two features have one name.
    #[error(
        "feature {column} is in feature view {view} and in {first}; leave one of the views out, or rename the feature in one of them"
    )]
    TwoColumns {
        /// The feature.
        column: String,
        /// The view.
        view: String,
        /// The view that has it already.
        first: String,
    },
    /// A type of a later Feast.
    #[error(
        "feature {column} of feature view {view} has type {number}, which is not known here; types to 48 are, as in Feast 0.67"
    )]
    UnknownType {
        /// The view.
        view: String,
        /// The feature.
        column: String,
        /// The type's number.
        number: i32,
    },
}

fn keys(join_keys: &[String]) -> String {
    match join_keys {
        [] => "no join key".to_owned(),
        keys => format!("join keys {}", keys.join(", ")),
    }
}
