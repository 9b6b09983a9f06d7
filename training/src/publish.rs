//! Publishing: every bundle of a run into a store, then the channels.
//!
//! All bundles are there before the first channel moves, so that nobody who follows `stable` finds a set that
//! does not belong together for longer than it takes to move its channels; whoever resolves in between learns it from
//! the contracts.

use std::path::Path;

use gondola_artifacts::{
    BundleDescription, Contract, Digest, Kind, Metric, Reference, Store, publish, resolve, set_channel,
};
use gondola_models::features::Workflow;
use serde::{Deserialize, Serialize};

/// The channel that a run publishes to unless it is told another.
pub const CHANNEL: &str = "stable";

/// The bundle of features and workflow.
pub const FEATURES: &str = "features";

/// The bundle of the towers and their index.
pub const TWO_TOWER: &str = "two-tower";

/// The bundle of the text index, and the name of its space.
pub const ITEM_TEXT: &str = "item-text";

/// A bundle as it is in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedBundle {
    /// Its name.
    pub name: String,
    /// The version that the store gave it.
    pub version: String,
    /// What names its content.
    pub digest: Digest,
}

/// Publishes the folders below `bundles`, one of each description's name, and moves `channel` to them.
pub async fn all(
    store: &Store,
    channel: &str,
    bundles: &Path,
    descriptions: &[BundleDescription],
) -> anyhow::Result<Vec<PublishedBundle>> {
    let mut published = Vec::with_capacity(descriptions.len());
    for description in descriptions {
        let done = publish(store, &bundles.join(&description.name), description).await?;
        published.push(PublishedBundle {
            name: description.name.clone(),
            version: done.version,
            digest: done.digest,
        });
    }
    move_channel(store, channel, &published).await?;
    Ok(published)
}

/// Points a channel of each bundle to what was published.
pub async fn move_channel(store: &Store, channel: &str, published: &[PublishedBundle]) -> anyhow::Result<()> {
    for bundle in published {
        set_channel(store, &bundle.name, channel, &bundle.version).await?;
    }
    Ok(())
}

/// Whether the store still has these bundles and `channel` points to them.
pub async fn all_there(store: &Store, channel: &str, bundles: &[PublishedBundle]) -> bool {
    for bundle in bundles {
        let Ok(reference) = Reference::channel(&bundle.name, channel) else {
            return false;
        };
        match resolve(store, &reference).await {
            Ok(resolved) if resolved.digest == bundle.digest => {}
            _ => return false,
        }
    }
    !bundles.is_empty()
}

/// A scorer that is published.
pub struct PublishedScorer {
    /// The name of its bundle.
    pub name: &'static str,
    /// The trained sources whose opinions it reads.
    pub sources: Vec<String>,
}

/// The bundles of a run; `dimensions` are those of the two towers and of the texts.
pub fn descriptions(
    scorers: &[PublishedScorer],
    sources: &[&str],
    workflow: &Workflow,
    (dimension, text_dimension): (usize, usize),
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
    let texts = space(ITEM_TEXT.to_owned(), text_dimension, Contract::default());
    let before = [
        describe(FEATURES, Kind::Features, inputs()),
        describe(TWO_TOWER, Kind::Retrieval, towers),
    ];
    let scorers = scorers.iter().map(|PublishedScorer { name, sources }| {
        let contract = Contract {
            sources: sources.clone(),
            ..inputs()
        };
        describe(name, Kind::Scorer, contract)
    });
    let sources = sources.iter();
    let sources = sources.map(|source| describe(source, Kind::Source, Contract::default()));
    let texts = describe(ITEM_TEXT, Kind::Similarity, texts);
    Ok(before
        .into_iter()
        .chain(sources)
        .chain(scorers)
        .chain([texts])
        .collect())
}
