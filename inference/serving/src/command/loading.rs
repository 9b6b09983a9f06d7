//! From folders to variants that answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use futures::future::try_join_all;
use gondola_models::pipeline::{FeatureSnapshot, Variant, VariantFolders, VariantSettings};
use gondola_models::{memory, retrieval, scoring, similarity, trial};
use gondola_protocol::BundleDescription;
use gondola_serving::compute::Compute;
use gondola_serving::local::LocalVariant;
use tokio::task::spawn_blocking;

use super::bundles::{self, BundleArguments};
use super::contracts::{self, Content};
use super::manifest::VariantPlan;
use super::online::Online;

/// A variant that answers.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) weight: u32,
    pub(super) bundles: BTreeMap<String, BundleDescription>,
    pub(super) recommender: Arc<LocalVariant<Variant>>,
}

/// A variant's models, and the bundles that they were made of.
pub(super) struct Models {
    pub(super) described: BTreeMap<String, BundleDescription>,
    pub(super) variant: Variant,
}

/// Fetches, tries and loads variants of the pipeline called `pipeline`, from the store at the URL `store`, and brings them up to what the
/// online store holds.
pub(super) async fn load(
    arguments: &BundleArguments,
    store: &str,
    pipeline: &str,
    plans: &[VariantPlan],
    compute: &Arc<Compute>,
    online: Option<Online>,
) -> anyhow::Result<Vec<Loaded>> {
    let models = load_models(arguments, store, pipeline, plans).await?;
    let (described, variants): (Vec<_>, Vec<_>) = models
        .into_iter()
        .map(|models| (models.described, Arc::new(models.variant)))
        .unzip();
    let live = match online {
        Some(online) => Some(online.start(variants.clone()).await?),
        None => None,
    };
    let mut loaded = Vec::with_capacity(plans.len());
    for ((plan, described), variant) in plans.iter().zip(described).zip(variants) {
        let compute = Arc::clone(compute);
        let mut local = LocalVariant::new(pipeline, variant, plan.weight, described.clone(), compute);
        if let Some(live) = &live {
            local = local.with_live(Arc::clone(live));
        }
        loaded.push(Loaded {
            name: plan.settings.name.clone(),
            weight: plan.weight,
            bundles: described,
            recommender: Arc::new(local),
        });
    }
    Ok(loaded)
}

/// Fetches, tries and loads the models of variants of the pipeline called `pipeline`, from the store at the URL `store`.
pub(super) async fn load_models(
    arguments: &BundleArguments,
    store: &str,
    pipeline: &str,
    plans: &[VariantPlan],
) -> anyhow::Result<Vec<Models>> {
    let started = Instant::now();
    let store = arguments.open_store(store)?;
    let cache = arguments.open_cache()?;
    let mut fetched = Vec::new();
    for plan in plans {
        let bundles = bundles::fetch(&store, &cache, &plan.bundles).await;
        fetched.push(
            bundles.with_context(|| format!("cannot fetch the bundles of variant {}", plan.settings.name))?,
        );
    }
    let fetched_in = started.elapsed();
    try_files(fetched.iter().map(|bundles| &bundles.folders)).await?;
    let snapshots = snapshots(&fetched).await?;
    let load = |(plan, bundles): (&VariantPlan, &bundles::VariantBundles)| {
        let snapshot = snapshots[&bundles.folders.features].clone();
        load_one(snapshot, bundles.folders.clone(), plan.settings.clone())
    };
    let variants = try_join_all(plans.iter().zip(&fetched).map(load)).await?;
    for (variant, bundles) in variants.iter().zip(&fetched) {
        contracts::check(&bundles.contracts, &Content::of(variant))?;
    }
    memory::give_back();
    tracing::info!(pipeline, ?fetched_in, total = ?started.elapsed(), "loaded and warm");
    let models = fetched
        .into_iter()
        .zip(variants)
        .map(|(bundles, variant)| Models {
            described: bundles.described,
            variant,
        });
    Ok(models.collect())
}

/// The features of all variants by their folders: a bundle that several serve is read and kept once.
async fn snapshots(
    fetched: &[bundles::VariantBundles],
) -> anyhow::Result<BTreeMap<PathBuf, FeatureSnapshot>> {
    let folders = fetched.iter().map(|bundles| bundles.folders.features.clone());
    let folders: BTreeSet<PathBuf> = folders.collect();
    let load = async |folder: PathBuf| {
        let place = folder.clone();
        let loaded = spawn_blocking(move || FeatureSnapshot::load(&place)).await?;
        let loaded = loaded.with_context(|| format!("cannot load the features in {}", folder.display()))?;
        anyhow::Ok((folder, loaded))
    };
    Ok(try_join_all(folders.into_iter().map(load))
        .await?
        .into_iter()
        .collect())
}

async fn load_one(
    snapshot: FeatureSnapshot,
    folders: VariantFolders,
    settings: VariantSettings,
) -> anyhow::Result<Variant> {
    let name = settings.name.clone();
    let variant = spawn_blocking(move || Variant::load_with(snapshot, &folders, &settings)).await?;
    let variant = variant.with_context(|| format!("cannot load variant {name}"))?;
    tracing::info!(variant = name, summary = ?variant.summary(), "loaded");
    Ok(variant)
}

/// Has a child process load every index and every network first, each once.
async fn try_files(folders: impl Iterator<Item = &VariantFolders>) -> anyhow::Result<()> {
    let program =
        std::env::current_exe().context("cannot find this program's own file, to try models with")?;
    let paths: BTreeSet<PathBuf> = folders.flat_map(tried_files).collect();
    let tried = paths.into_iter().map(|path| {
        let program = program.clone();
        spawn_blocking(move || trial::try_file(&program, &path))
    });
    for tried in try_join_all(tried).await? {
        tried?;
    }
    Ok(())
}

fn tried_files(folders: &VariantFolders) -> Vec<PathBuf> {
    let indexes = [Some(&folders.retrieval), folders.similarity.as_ref()];
    let mut files: Vec<PathBuf> = indexes
        .into_iter()
        .flatten()
        .map(|folder| folder.join(retrieval::INDEX))
        .collect();
    files.extend(retrieval::network_files(&folders.retrieval));
    files.extend(scoring::network_file(&folders.scorer));
    files.extend(
        folders
            .similarity
            .as_ref()
            .and_then(|folder| similarity::network_file(folder)),
    );
    files
}
