//! Which bundles can be served together: [`check_together`] refuses a set whose contracts disagree, with both names and both values.

use std::collections::BTreeMap;

use crate::contract::{Contract, Metric};
use crate::digest::Digest;
use crate::kind::Kind;
use crate::manifest::Manifest;
use crate::reference::Reference;

/// Why bundles can't be served together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// Two workflows.
    #[error(
        "{bundle} was built for workflow {wanted}, but {carrier} carries {found}; publish both from one run"
    )]
    WorkflowDiffers {
        /// What was built for a workflow.
        bundle: Box<Reference>,
        /// What carries another.
        carrier: Box<Reference>,
        /// The workflow that `bundle` was built for.
        wanted: Digest,
        /// The workflow that `carrier` carries.
        found: Digest,
    },
    /// One embedding space, two dimensions.
    #[error(
        "{one} has {one_dimension} dimensions in embedding space {space:?}, but {other} has {other_dimension}; publish both from one run"
    )]
    DimensionDiffers {
        /// The space.
        space: String,
        /// A bundle.
        one: Box<Reference>,
        /// Its dimension.
        one_dimension: usize,
        /// Another bundle.
        other: Box<Reference>,
        /// Its dimension.
        other_dimension: usize,
    },
    /// One embedding space, two metrics.
    #[error(
        "{one} compares by {one_metric} in embedding space {space:?}, but {other} by {other_metric}; publish both from one run"
    )]
    MetricDiffers {
        /// The space.
        space: String,
        /// A bundle.
        one: Box<Reference>,
        /// Its metric.
        one_metric: Metric,
        /// Another bundle.
        other: Box<Reference>,
        /// Its metric.
        other_metric: Metric,
    },
    /// A scorer takes what the workflow doesn't give.
    #[error("{scorer} takes the input {input:?}, but {features} gives {}; publish both from one run", .given.join(", "))]
    InputMissing {
        /// The scorer.
        scorer: Box<Reference>,
        /// The features.
        features: Box<Reference>,
        /// What the scorer takes.
        input: String,
        /// What the features give.
        given: Vec<String>,
    },
    /// A scorer takes the opinions of a trained source that isn't there.
    #[error(
        "{scorer} takes what the trained source {source_name:?} says, but there is {}; add a trained source of that name, or take a scorer that was trained without it",
        if .there.is_empty() { "none".to_owned() } else { .there.join(", ") }
    )]
    SourceMissing {
        /// The scorer.
        scorer: Box<Reference>,
        /// The source's name.
        source_name: String,
        /// The names of those that there are.
        there: Vec<String>,
    },
    /// A contract lacks what its kind needs.
    #[error("{bundle} is a {kind} bundle, and its contract lacks {field}; publish it again with its {field}")]
    Lacks {
        /// The bundle.
        bundle: Box<Reference>,
        /// Its kind.
        kind: Kind,
        /// What is missing.
        field: &'static str,
    },
    /// A bundle of one kind stands where another is needed.
    #[error("{bundle} is a {found} bundle, but a {wanted} bundle is needed here")]
    Kind {
        /// The bundle.
        bundle: Box<Reference>,
        /// What is needed.
        wanted: Kind,
        /// What it is.
        found: Kind,
    },
}

/// Refuses a bundle of another kind than `wanted`.
pub fn check_kind(bundle: &Reference, manifest: &Manifest, wanted: Kind) -> Result<(), ContractError> {
    if manifest.kind == wanted {
        return Ok(());
    }
    Err(ContractError::Kind {
        bundle: Box::new(bundle.clone()),
        wanted,
        found: manifest.kind,
    })
}

/// Refuses a scorer that takes the opinions of other trained sources than those of these names.
pub fn check_sources(scorer: &Reference, manifest: &Manifest, names: &[String]) -> Result<(), ContractError> {
    let mut taken = manifest.contract.sources.iter();
    match taken.find(|name| !names.contains(name)) {
        None => Ok(()),
        Some(name) => Err(ContractError::SourceMissing {
            scorer: Box::new(scorer.clone()),
            source_name: name.clone(),
            there: names.to_vec(),
        }),
    }
}

/// Refuses bundles that can't be served together, at the first disagreement.
///
/// One workflow for all that have one; in one embedding space one dimension and one metric; and a scorer takes only
/// inputs that the features give, where the features' contract says which.
pub fn check_together(bundles: &[(Reference, &Manifest)]) -> Result<(), ContractError> {
    for (bundle, manifest) in bundles {
        if let Some(field) = manifest.contract.lacks(manifest.kind) {
            return Err(ContractError::Lacks {
                bundle: Box::new(bundle.clone()),
                kind: manifest.kind,
                field,
            });
        }
    }
    check_workflows(bundles)?;
    check_spaces(bundles)?;
    check_inputs(bundles)
}

fn check_workflows(bundles: &[(Reference, &Manifest)]) -> Result<(), ContractError> {
    // The features bundle carries the workflow; without one, the first that was built for a workflow sets it.
    let mut by_weight: Vec<_> = bundles.iter().collect();
    by_weight.sort_by_key(|(_, manifest)| manifest.kind != Kind::Features);
    let mut carrier: Option<(&Reference, Digest)> = None;
    for (bundle, manifest) in by_weight {
        let Some(wanted) = manifest.contract.workflow else {
            continue;
        };
        let (carrier, found) = *carrier.get_or_insert((bundle, wanted));
        if wanted != found {
            let (bundle, carrier) = (Box::new(bundle.clone()), Box::new(carrier.clone()));
            return Err(ContractError::WorkflowDiffers {
                bundle,
                carrier,
                wanted,
                found,
            });
        }
    }
    Ok(())
}

fn check_spaces(bundles: &[(Reference, &Manifest)]) -> Result<(), ContractError> {
    let mut spaces: BTreeMap<&str, (&Reference, &Contract)> = BTreeMap::new();
    for (other, manifest) in bundles {
        let contract = &manifest.contract;
        let Some(space) = contract.embedding_space.as_deref() else {
            continue;
        };
        let (one, first) = *spaces.entry(space).or_insert((other, contract));
        let (one, other, space) = (Box::new(one.clone()), Box::new(other.clone()), space.to_owned());
        match (first.dimension, contract.dimension, first.metric, contract.metric) {
            (Some(one_dimension), Some(other_dimension), ..) if one_dimension != other_dimension => {
                return Err(ContractError::DimensionDiffers {
                    space,
                    one,
                    one_dimension,
                    other,
                    other_dimension,
                });
            }
            (_, _, Some(one_metric), Some(other_metric)) if one_metric != other_metric => {
                return Err(ContractError::MetricDiffers {
                    space,
                    one,
                    one_metric,
                    other,
                    other_metric,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_inputs(bundles: &[(Reference, &Manifest)]) -> Result<(), ContractError> {
    let of_kind = |kind| {
        bundles
            .iter()
            .filter(move |(_, manifest)| manifest.kind == kind)
            .filter_map(|(bundle, manifest)| manifest.contract.inputs.as_ref().map(|inputs| (bundle, inputs)))
    };
    for (features, given) in of_kind(Kind::Features) {
        for (scorer, taken) in of_kind(Kind::Scorer) {
            if let Some(input) = taken.iter().find(|input| !given.contains(input)) {
                return Err(ContractError::InputMissing {
                    scorer: Box::new(scorer.clone()),
                    features: Box::new(features.clone()),
                    input: input.clone(),
                    given: given.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::contract;

    fn bundle(kind: Kind, change: impl FnOnce(&mut Contract)) -> (Reference, Manifest) {
        let mut contract = contract(kind);
        change(&mut contract);
        let manifest = Manifest {
            format_version: 1,
            name: kind.to_string(),
            version: "v1".into(),
            kind,
            created: "2026-01-31T12:00:00Z".into(),
            files: Vec::new(),
            contract,
        };
        (Reference::channel(&manifest.name, "stable").unwrap(), manifest)
    }

    fn check(bundles: &[(Reference, Manifest)]) -> Result<(), ContractError> {
        check_together(
            &bundles
                .iter()
                .map(|(bundle, manifest)| (bundle.clone(), manifest))
                .collect::<Vec<_>>(),
        )
    }

    #[track_caller]
    fn refuses(bundles: &[(Reference, Manifest)], message: &str) {
        assert_eq!(check(bundles).unwrap_err().to_string(), message);
    }

    #[test]
    fn bundles_of_one_run_go_together() {
        let all = [Kind::Scorer, Kind::Similarity, Kind::Retrieval, Kind::Features]
            .map(|kind| bundle(kind, |_| {}));
        assert_eq!(check(&all), Ok(()));
    }

    #[test]
    fn bundles_of_two_workflows_do_not() {
        let other = Digest::of(b"another workflow");
        let ours = Digest::of(b"workflow");
        refuses(
            &[
                bundle(Kind::Retrieval, |c| c.workflow = Some(other)),
                bundle(Kind::Features, |_| {}),
            ],
            &format!(
                "retrieval@stable was built for workflow {other}, but features@stable carries {ours}; publish both from one run"
            ),
        );
    }

    #[test]
    fn one_space_has_one_dimension_and_one_metric() {
        let similarity = |change: fn(&mut Contract)| {
            bundle(Kind::Similarity, |c| {
                c.embedding_space = contract(Kind::Retrieval).embedding_space;
                change(c);
            })
        };
        refuses(
            &[
                bundle(Kind::Retrieval, |_| {}),
                similarity(|c| c.dimension = Some(384)),
            ],
            "retrieval@stable has 64 dimensions in embedding space \"retrieval-space\", but similarity@stable has 384; publish both from one run",
        );
        refuses(
            &[
                bundle(Kind::Retrieval, |_| {}),
                similarity(|c| c.metric = Some(Metric::L2)),
            ],
            "retrieval@stable compares by inner_product in embedding space \"retrieval-space\", but similarity@stable by l2; publish both from one run",
        );
    }

    #[test]
    fn a_scorer_takes_only_what_the_features_give() {
        refuses(
            &[
                bundle(Kind::Features, |c| {
                    c.inputs = Some(vec!["user.age".into(), "item.price".into()])
                }),
                bundle(Kind::Scorer, |c| {
                    c.inputs = Some(vec!["user.age".into(), "item.color".into()])
                }),
            ],
            "scorer@stable takes the input \"item.color\", but features@stable gives user.age, item.price; publish both from one run",
        );
    }

    #[test]
    fn a_contract_has_what_its_kind_needs() {
        refuses(
            &[bundle(Kind::Scorer, |c| c.workflow = None)],
            "scorer@stable is a scorer bundle, and its contract lacks workflow; publish it again with its workflow",
        );
    }

    #[test]
    fn a_scorer_takes_only_the_opinions_of_sources_that_are_there() {
        let (scorer, manifest) = bundle(Kind::Scorer, |contract| contract.sources = vec!["ease".into()]);
        let check = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            check_sources(&scorer, &manifest, &names).map_err(|error| error.to_string())
        };
        assert_eq!(check(&["als", "ease"]), Ok(()));
        let refused = |there: &str| {
            Err(format!(
                "scorer@stable takes what the trained source \"ease\" says, but there is {there}; add a trained source of that name, or take a scorer that was trained without it"
            ))
        };
        assert_eq!(check(&["als", "slim"]), refused("als, slim"));
        assert_eq!(check(&[]), refused("none"));
    }

    #[test]
    fn a_bundle_of_another_kind_is_refused() {
        let (reference, manifest) = bundle(Kind::Scorer, |_| {});
        assert_eq!(
            check_kind(&reference, &manifest, Kind::Features)
                .unwrap_err()
                .to_string(),
            "scorer@stable is a scorer bundle, but a features bundle is needed here"
        );
    }
}
