//! The resolver: what a pipeline's references lead to now, or exactly why they can't be served.
//!
//! It reads manifests, never models, and decides nothing: what it finds goes to the operator as a
//! [`Resolution`], and each variant is judged alone, so that one variant's bad bundle leaves the others be.

use std::time::Duration;

use gondola_artifacts::{
    Access, ContractError, Kind, Reference, ReferenceError, ResolveError, Resolved, Store, StoreError,
    TogetherError, resolve_together,
};
use gondola_crds::spec::{RecommenderPipelineSpec, Variant};
use gondola_wire::resolution::{
    Refusal, RefusalReason, Resolution, ResolvedBundle, VariantBundles, VariantResolution,
};

use gondola_causes::with_causes;
use gondola_wire::role::Role;

use crate::feast::{self, FeastError};

/// Looks up every reference of a spec. `generation` is the spec's; a store that takes longer than `patience` counts as away.
pub async fn resolve(
    spec: &RecommenderPipelineSpec,
    generation: i64,
    access: &Access,
    patience: Duration,
) -> Resolution {
    // Half of the time is for trying again, so that what the store answers comes out before patience ends.
    let access = Access {
        retry_for: Some(patience / 2),
        ..access.clone()
    };
    let store = Store::open_with(&spec.artifacts.url, &access);
    let look_up = async |variant: &Variant| match &store {
        Ok(store) => tokio::time::timeout(patience, resolve_variant(store, spec, variant, &access))
            .await
            .unwrap_or_else(|_| Err(too_slow(store, patience))),
        Err(error) => Err(refusal(store_reason(error), error)),
    };
    let outcomes = spec.variants.iter().map(async |variant| {
        let outcome = look_up(variant).await;
        let resolution = outcome.map_or_else(VariantResolution::Refused, VariantResolution::Resolved);
        (variant.name.clone(), resolution)
    });
    let variants = futures::future::join_all(outcomes).await.into_iter().collect();
    Resolution { generation, variants }
}

/// What a variant serves, each with its role: features, retrieval, trained sources where it has some, scorer, and similarity where
/// the pipeline has it.
pub fn references(
    spec: &RecommenderPipelineSpec,
    variant: &Variant,
) -> Result<Vec<(Role, Reference)>, ReferenceError> {
    let similarity = spec.similarity.as_ref().map(|similarity| &similarity.bundle);
    let retrieval = spec.retrieval_of(variant);
    let sources = retrieval.sources.iter().flat_map(|sources| &sources.trained);
    [
        (Role::Features, &spec.features.bundle),
        (Role::Retrieval, &retrieval.bundle),
    ]
    .into_iter()
    .chain(sources.map(|source| (Role::Source(source.name.clone()), &source.bundle)))
    .chain([(Role::Scorer, &variant.scorer)])
    .chain(similarity.map(|bundle| (Role::Similarity, bundle)))
    .map(|(role, bundle)| Ok((role, bundle.as_str().parse()?)))
    .collect()
}

/// The kind of bundle that a role asks for.
pub fn kind_of(role: &Role) -> Kind {
    match role {
        Role::Features => Kind::Features,
        Role::Retrieval => Kind::Retrieval,
        Role::Source(_) => Kind::Source,
        Role::Scorer => Kind::Scorer,
        Role::Similarity => Kind::Similarity,
    }
}

/// Refuses a scorer that takes the opinions of trained sources that are not among these bundles.
pub fn check_sources<'a>(
    bundles: impl Iterator<Item = (&'a Role, &'a Resolved)> + Clone,
) -> Result<(), ContractError> {
    let name = |(role, _): (&Role, _)| match role {
        Role::Source(name) => Some(name.clone()),
        _ => None,
    };
    let names: Vec<String> = bundles.clone().filter_map(name).collect();
    let mut scorers = bundles.filter(|(role, _)| **role == Role::Scorer);
    scorers.try_for_each(|(_, scorer)| {
        gondola_artifacts::check_sources(&scorer.reference, &scorer.manifest, &names)
    })
}

/// Whether `found` is not news after `reported`. How long a store took and how it numbered a request differ each time, so that of a
/// refusal's message only the words without a digit count.
pub fn is_reported(reported: &Resolution, found: &Resolution) -> bool {
    let same = |(one, other): (&VariantResolution, &VariantResolution)| match (one, other) {
        (VariantResolution::Refused(one), VariantResolution::Refused(other)) => {
            one.reason == other.reason && lasting(&one.message).eq(lasting(&other.message))
        }
        (one, other) => one == other,
    };
    reported.generation == found.generation
        && reported.variants.keys().eq(found.variants.keys())
        && reported.variants.values().zip(found.variants.values()).all(same)
}

fn lasting(message: &str) -> impl Iterator<Item = &str> {
    let words = message.split_whitespace();
    words.filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()))
}

async fn resolve_variant(
    store: &Store,
    spec: &RecommenderPipelineSpec,
    variant: &Variant,
    access: &Access,
) -> Result<VariantBundles, Refusal> {
    let wanted = references(spec, variant).map_err(|error| refusal(RefusalReason::BundleNotFound, &error))?;
    let parsed: Vec<Reference> = wanted.iter().map(|(_, reference)| reference.clone()).collect();
    let found = resolve_together(store, &parsed)
        .await
        .map_err(|error| refusal(together_reason(&error), &error))?;
    for ((role, _), resolved) in wanted.iter().zip(&found) {
        let checked = resolved.require(kind_of(role));
        checked.map_err(|error| refusal(RefusalReason::ContractMismatch, &error))?;
    }
    let roles = wanted.iter().map(|(role, _)| role);
    check_sources(roles.zip(&found)).map_err(|error| refusal(RefusalReason::ContractMismatch, &error))?;
    if let Some(features) = found.first() {
        check_feast(store, spec, features, access).await?;
    }
    let roles = wanted.into_iter().map(|(role, _)| role);
    let bundles = VariantBundles::of_roles(roles.zip(found.iter().map(bundle)));
    Ok(bundles.expect("one was found for each that was wanted"))
}

/// Refuses feature views of Feast that don't have what the features bundle needs.
async fn check_feast(
    store: &Store,
    spec: &RecommenderPipelineSpec,
    features: &Resolved,
    access: &Access,
) -> Result<(), Refusal> {
    let online = spec.features.online.as_ref();
    let Some(named) = online.and_then(|online| online.feast.as_ref()) else {
        return Ok(());
    };
    let wrong = |error: FeastError| refusal(feast_reason(&error), &error);
    let project = feast::project(named, access).await.map_err(wrong)?;
    let (name, version) = (&features.manifest.name, &features.version);
    let place = format!("{name}/{version}");
    project.check(store, &place, &place).await.map_err(wrong)
}

fn bundle(resolved: &Resolved) -> ResolvedBundle {
    ResolvedBundle {
        name: resolved.manifest.name.clone(),
        version: resolved.version.clone(),
        digest: resolved.digest.to_string(),
        bytes: resolved.manifest.total_bytes(),
    }
}

/// The message is the whole chain of causes: the operator has nothing else to show.
fn refusal(reason: RefusalReason, error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal {
        reason,
        message: with_causes(error),
    }
}

fn too_slow(store: &Store, patience: Duration) -> Refusal {
    Refusal {
        reason: RefusalReason::StoreUnavailable,
        message: format!(
            "the store {store} did not answer within {patience:?}; see whether it can be reached from the pipeline's namespace"
        ),
    }
}

fn together_reason(error: &TogetherError) -> RefusalReason {
    match error {
        TogetherError::Contract(_) => RefusalReason::ContractMismatch,
        TogetherError::Resolve(error) => match error {
            ResolveError::UnknownBundle { .. }
            | ResolveError::UnknownChannel { .. }
            | ResolveError::UnknownVersion { .. }
            | ResolveError::Dangling { .. } => RefusalReason::BundleNotFound,
            ResolveError::Store { source, .. } => store_reason(source),
            _ => RefusalReason::BundleInvalid,
        },
    }
}

fn feast_reason(error: &FeastError) -> RefusalReason {
    match error {
        FeastError::NotFile { .. } => RefusalReason::InvalidStore,
        FeastError::Store { source, .. } => store_reason(source),
        FeastError::File { source, .. } => match source {
            object_store::Error::NotFound { .. } => RefusalReason::BundleNotFound,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                RefusalReason::AccessDenied
            }
            _ => RefusalReason::StoreUnavailable,
        },
        FeastError::Large { .. } | FeastError::Workflow { .. } => RefusalReason::BundleInvalid,
        FeastError::Registry { .. } | FeastError::Views { .. } | FeastError::Mismatch { .. } => {
            RefusalReason::ContractMismatch
        }
    }
}

fn store_reason(error: &StoreError) -> RefusalReason {
    match error {
        StoreError::NotUrl { .. }
        | StoreError::Scheme { .. }
        | StoreError::NotFolder { .. }
        | StoreError::PlainEndpoint { .. }
        | StoreError::PlainUrl { .. }
        | StoreError::Create { .. }
        | StoreError::Open { .. } => RefusalReason::InvalidStore,
        StoreError::Credentials { .. }
        | StoreError::NoCredentials { .. }
        | StoreError::Setting { .. }
        | StoreError::Steers { .. } => RefusalReason::AccessDenied,
        StoreError::Long { .. } => RefusalReason::BundleInvalid,
        error if error.is_denied() => RefusalReason::AccessDenied,
        StoreError::Read { .. } | StoreError::Write { .. } | StoreError::List { .. } => {
            RefusalReason::StoreUnavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reason: RefusalReason, message: &str) -> Resolution {
        let refusal = Refusal {
            reason,
            message: message.into(),
        };
        Resolution {
            generation: 1,
            variants: [("dlrm".to_owned(), VariantResolution::Refused(refusal))].into(),
        }
    }

    #[test]
    fn a_refusal_is_news_unless_only_times_and_numbers_differ() {
        let away = RefusalReason::StoreUnavailable;
        let reported = refused(
            away,
            "no answer in 1.6s, after 10 retries: 500 Internal Server Error <Id>A7</Id>",
        );
        let again = refused(
            away,
            "no answer in 1.9s, after 9 retries: 500 Internal Server Error <Id>B6</Id>",
        );
        assert!(is_reported(&reported, &again));
        let other_words = refused(
            away,
            "no answer in 1.6s, after 10 retries: 503 Slow Down <Id>A7</Id>",
        );
        assert!(!is_reported(&reported, &other_words));
        let Some(VariantResolution::Refused(refusal)) = reported.variants.get("dlrm") else {
            unreachable!("it was made as a refusal");
        };
        assert!(!is_reported(
            &reported,
            &refused(RefusalReason::AccessDenied, &refusal.message)
        ));
        let of_another_spec = Resolution {
            generation: 2,
            ..reported.clone()
        };
        assert!(!is_reported(&reported, &of_another_spec));
        let mut of_two = reported.clone();
        let refusal = VariantResolution::Refused(refusal.clone());
        of_two.variants.insert("forest".into(), refusal);
        assert!(!is_reported(&reported, &of_two));
    }
}
