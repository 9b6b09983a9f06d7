//! From references to verified folders on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use gondola_artifacts::{Cache, Kind, Reference, Resolved, Store, resolve_together};
use gondola_inference::pipeline::VariantFolders;
use gondola_inference::server::service::BundleDescription;
use indicatif::{ProgressBar, ProgressStyle};

use super::manifest::VariantReferences;

/// Where bundles come from and lie.
#[derive(Debug, Args)]
pub(super) struct BundleArguments {
    /// The manifest of the pipeline, as YAML.
    #[arg(long, env = "GONDOLA_FILE")]
    pub(super) file: PathBuf,
    /// URL of the store, for example `file:///srv/models`; the manifest's own where it is left out.
    #[arg(long, env = "GONDOLA_STORE")]
    pub(super) store: Option<String>,
    /// Folder in which fetched bundles are kept; `~/.cache/gondola/bundles` where it is left out.
    #[arg(long, env = "GONDOLA_BUNDLES")]
    cache: Option<PathBuf>,
}

impl BundleArguments {
    pub(super) fn open_cache(&self) -> anyhow::Result<Cache> {
        let in_home = || Some(std::env::home_dir()?.join(".cache/gondola/bundles"));
        let folder = self
            .cache
            .clone()
            .or_else(in_home)
            .context("there is no home folder; name one with --cache")?;
        Ok(Cache::open(folder)?)
    }
}

/// A variant's bundles, here and checked.
pub(super) struct VariantBundles {
    pub(super) folders: VariantFolders,
    pub(super) described: BTreeMap<String, BundleDescription>,
}

/// Brings a variant's bundles here: resolves them, checks that they belong together, fetches what is missing.
pub(super) async fn fetch(
    store: &Store,
    cache: &Cache,
    references: &VariantReferences,
) -> anyhow::Result<VariantBundles> {
    let VariantReferences {
        features,
        retrieval,
        scorer,
        similarity,
    } = references;
    let mut wanted = vec![
        (Kind::Features, features),
        (Kind::Retrieval, retrieval),
        (Kind::Scorer, scorer),
    ];
    wanted.extend(similarity.iter().map(|reference| (Kind::Similarity, reference)));

    let parsed = wanted.iter().map(|(_, reference)| reference.parse::<Reference>());
    let resolved = resolve_together(store, &parsed.collect::<Result<Vec<_>, _>>()?).await?;
    let (mut paths, mut described) = (Vec::new(), BTreeMap::new());
    for ((kind, _), resolved) in wanted.iter().zip(&resolved) {
        resolved.require(*kind)?;
        paths.push(fetch_one(store, cache, resolved).await?);
        described.insert(kind.to_string(), describe(resolved));
    }
    let mut paths = paths.into_iter();
    let mut next = || {
        paths
            .next()
            .context("a bundle that was asked for was not resolved")
    };
    let folders = VariantFolders {
        features: next()?,
        retrieval: next()?,
        scorer: next()?,
        similarity: similarity.is_some().then(next).transpose()?,
    };
    Ok(VariantBundles { folders, described })
}

async fn fetch_one(store: &Store, cache: &Cache, resolved: &Resolved) -> anyhow::Result<PathBuf> {
    let bytes = resolved.manifest.total_bytes();
    tracing::info!(bundle = %resolved.reference, version = resolved.version, bytes, "fetching");
    let bar = bar(&resolved.reference, bytes);
    let folder = cache.fetch(store, resolved, &|bytes| bar.set_position(bytes)).await?;
    bar.finish_and_clear();
    Ok(folder.path)
}

/// Shows how far a bundle has come, where a person looks on.
fn bar(reference: &Reference, bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:28} [{elapsed_precise}] {bar:30} {bytes}/{total_bytes} {msg}");
    let bar = ProgressBar::new(bytes).with_prefix(format!("fetching {reference}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn describe(resolved: &Resolved) -> BundleDescription {
    BundleDescription {
        reference: resolved.reference.to_string(),
        version: resolved.version.clone(),
        digest: resolved.digest.to_string(),
    }
}
