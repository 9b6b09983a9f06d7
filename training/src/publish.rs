//! Publishing: every bundle of a run into a store, then the channels.
//!
//! All bundles are there before the first channel moves, so that nobody who follows `stable` finds a set that does not
//! belong together for longer than it takes to move its channels; who resolves in between is told by the contracts.

use std::path::Path;

use gondola_artifacts::{
    BundleDescription, Contract, Digest, Kind, Metric, Reference, Store, publish, resolve, set_channel,
};
use gondola_models::features::Workflow;

use crate::dataset::training::Scorer;

/// The channel that a run publishes to.
pub const CHANNEL: &str = "stable";

/// The space of item texts.
const TEXT_SPACE: &str = "item-text";

/// Publishes the folders below `bundles` and moves the channels. Gives each bundle's name, version and digest.
pub async fn all(
    store: &str,
    bundles: &Path,
    descriptions: &[BundleDescription],
) -> anyhow::Result<Vec<(String, String, String)>> {
    let store = Store::open(store)?;
    let mut published = Vec::with_capacity(descriptions.len());
    for description in descriptions {
        let done = publish(&store, &bundles.join(&description.name), description).await?;
        published.push((description.name.clone(), done.version, done.digest.to_string()));
    }
    for (name, version, _) in &published {
        set_channel(&store, name, CHANNEL, version).await?;
    }
    Ok(published)
}

/// Whether the store still has these bundles and its channels point to them.
pub async fn all_there(store: &str, bundles: &[(String, String, String)]) -> bool {
    let Ok(store) = Store::open(store) else {
        return false;
    };
    for (name, _, digest) in bundles {
        let Ok(reference) = Reference::channel(name, CHANNEL) else {
            return false;
        };
        match resolve(&store, &reference).await {
            Ok(resolved) if resolved.digest.to_string() == *digest => {}
            _ => return false,
        }
    }
    !bundles.is_empty()
}

/// The bundles of a run.
pub fn descriptions(
    scorers: &[Scorer],
    workflow: &Workflow,
    dimension: usize,
    text_dimension: usize,
) -> anyhow::Result<Vec<BundleDescription>> {
    let digest: Digest = workflow.digest().parse()?;
    let on_workflow = || Contract {
        workflow: Some(digest),
        ..Contract::default()
    };
    let inputs = || Contract {
        inputs: Some(workflow.layout().inputs()),
        ..on_workflow()
    };
    let space = |space: String, dimension, contract| Contract {
        embedding_space: Some(space),
        dimension: Some(dimension),
        metric: Some(Metric::InnerProduct),
        ..contract
    };
    let describe = |name: &str, kind, contract| BundleDescription {
        name: name.to_owned(),
        kind,
        contract,
    };
    let towers = space(format!("two-tower of {digest}"), dimension, on_workflow());
    let texts = space(TEXT_SPACE.to_owned(), text_dimension, Contract::default());
    let before = [
        describe("features", Kind::Features, inputs()),
        describe("two-tower", Kind::Retrieval, towers),
    ];
    let scorers = scorers
        .iter()
        .map(|scorer| describe(scorer.bundle(), Kind::Scorer, inputs()));
    let texts = describe("item-text", Kind::Similarity, texts);
    Ok(before.into_iter().chain(scorers).chain([texts]).collect())
}
