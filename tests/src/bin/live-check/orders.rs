//! Orders to pods, as the operator would write them: the bundles of the demo at the versions that they have now.

use std::fs;
use std::path::{Path, PathBuf};

use gondola_artifacts::{Store, resolve};
use serde_json::{Value, json};

use crate::shop::PIPELINE;

/// Writes the order to serve a variant whose scorer has its name.
pub(crate) async fn write(store_url: &str, variant: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let store = Store::open(store_url)?;
    let order = json!({
        "pipeline": PIPELINE,
        "store": store_url,
        "bundles": {
            "features": bundle(&store, "features").await?,
            "retrieval": bundle(&store, "two-tower").await?,
            "scorer": bundle(&store, variant).await?,
            "similarity": bundle(&store, "item-text").await?,
        },
        // As the pipeline of the example has it.
        "variant": {
            "name": variant,
            "candidates": 200,
            "search": {"nprobe": 32},
            "sources": {"boughtBefore": {"candidates": 100}},
            "similaritySearch": {"nprobe": 16},
            "filters": {"alreadyBought": "Keep"},
            "ordering": {"limit": 12},
        },
    });
    let path = folder.join(format!("{variant}.json"));
    fs::write(&path, order.to_string())?;
    Ok(path)
}

async fn bundle(store: &Store, name: &str) -> anyhow::Result<Value> {
    let resolved = resolve(store, &format!("{name}@stable").parse()?).await?;
    let bytes: u64 = resolved.manifest.files.iter().map(|file| file.size).sum();
    Ok(json!({
        "name": name,
        "version": resolved.version,
        "digest": resolved.digest.to_string(),
        "bytes": bytes,
    }))
}
