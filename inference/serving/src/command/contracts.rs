//! What bundles promise in their contracts, compared with what was loaded from them: a contract alone is only a claim.

use std::collections::BTreeMap;

use anyhow::bail;
use gondola_artifacts::{Contract, Metric, Reference};
use gondola_models::pipeline::Variant;
use gondola_models::retrieval::index::{self, Index};
use gondola_wire::role::Role;

/// What was loaded, as far as contracts speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    workflow: String,
    inputs: Vec<String>,
    retrieval: Vectors,
    similarity: Option<Vectors>,
}

/// The vectors of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vectors {
    dimension: usize,
    metric: Metric,
}

impl Vectors {
    fn of(index: &Index) -> Self {
        Self {
            dimension: index.dimension(),
            metric: match index.metric() {
                index::Metric::InnerProduct => Metric::InnerProduct,
                index::Metric::L2 => Metric::L2,
            },
        }
    }
}

impl Content {
    /// What a variant holds.
    pub(super) fn of(variant: &Variant) -> Self {
        let summary = variant.summary();
        Self {
            workflow: summary.workflow,
            inputs: summary.inputs,
            retrieval: Vectors::of(variant.retrieval_index()),
            similarity: variant.similarity_index().map(Vectors::of),
        }
    }
}

/// Refuses content that is not what its bundle promises, with the bundle's name and both values.
pub(super) fn check(
    contracts: &BTreeMap<Role, (Reference, Contract)>,
    content: &Content,
) -> anyhow::Result<()> {
    for (role, (bundle, contract)) in contracts {
        let (workflow, vectors) = match role {
            Role::Features => (Some(&content.workflow), None),
            Role::Retrieval => (None, Some(content.retrieval)),
            Role::Source(_) | Role::Scorer => (None, None),
            Role::Similarity => (None, content.similarity),
        };
        let promised = contract.workflow.map(|digest| digest.to_string());
        same(bundle, "workflow", promised.as_ref(), workflow)?;
        if *role == Role::Scorer {
            same(bundle, "inputs", contract.inputs.as_ref(), Some(&content.inputs))?;
        }
        same(
            bundle,
            "dimension",
            contract.dimension,
            vectors.map(|vectors| vectors.dimension),
        )?;
        same(
            bundle,
            "metric",
            contract.metric,
            vectors.map(|vectors| vectors.metric),
        )?;
    }
    Ok(())
}

/// What is not promised, or not held, can't differ.
fn same<T: PartialEq + std::fmt::Debug>(
    bundle: &Reference,
    field: &str,
    promised: Option<T>,
    held: Option<T>,
) -> anyhow::Result<()> {
    match (promised, held) {
        (Some(promised), Some(held)) if promised != held => bail!(
            "the contract of {bundle} has the {field} {promised:?}, but its files hold {held:?}; publish it again from the run that made it"
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use gondola_artifacts::Digest;

    use super::*;

    fn content() -> Content {
        Content {
            workflow: Digest::of(b"workflow").to_string(),
            inputs: vec!["user.age".to_owned(), "item.price".to_owned()],
            retrieval: Vectors {
                dimension: 64,
                metric: Metric::InnerProduct,
            },
            similarity: None,
        }
    }

    fn contracts(change: impl FnOnce(&mut Contract)) -> BTreeMap<Role, (Reference, Contract)> {
        let mut contract = Contract {
            workflow: Some(Digest::of(b"workflow")),
            embedding_space: Some("towers".to_owned()),
            dimension: Some(64),
            metric: Some(Metric::InnerProduct),
            inputs: Some(content().inputs),
            sources: Vec::new(),
        };
        change(&mut contract);
        let bundle = |name: &str| Reference::channel(name, "stable").unwrap();
        [
            (Role::Features, "features"),
            (Role::Retrieval, "two-tower"),
            (Role::Scorer, "dlrm"),
        ]
        .map(|(role, name)| (role, (bundle(name), contract.clone())))
        .into()
    }

    #[track_caller]
    fn refuses(change: impl FnOnce(&mut Contract), words: [&str; 2]) {
        let refused = check(&contracts(change), &content()).unwrap_err().to_string();
        assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
    }

    #[test]
    fn files_that_are_not_what_a_contract_promises_are_refused_with_both_values() {
        assert!(check(&contracts(|_| {}), &content()).is_ok());
        let other = Digest::of(b"another");
        refuses(
            |contract| contract.workflow = Some(other),
            ["features@stable", &other.to_string()],
        );
        refuses(
            |contract| contract.dimension = Some(32),
            ["two-tower@stable has the dimension 32", "hold 64"],
        );
        refuses(
            |contract| contract.metric = Some(Metric::L2),
            ["two-tower@stable has the metric L2", "InnerProduct"],
        );
        refuses(
            |contract| contract.inputs = Some(vec!["user.age".to_owned()]),
            ["dlrm@stable", "item.price"],
        );
    }
}
