//! The store of bundles, and the features in it that a scorer will serve with.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use gondola_artifacts::{Access, Cache, Kind, Reference, Store, resolve};

/// Which store, and which features.
#[derive(Debug, Args)]
pub(super) struct BundleArguments {
    /// URL of the store, for example `s3://models/grocery`.
    #[arg(long, env = "GONDOLA_STORE")]
    store: String,
    /// The features bundle that a scorer will serve with: one of the store, or a folder.
    #[arg(long, default_value = "features@stable")]
    features: String,
    /// Folder of the store's credentials, with a file for each setting; default: read from the environment.
    #[arg(long, env = "GONDOLA_CREDENTIALS")]
    credentials: Option<PathBuf>,
    /// Endpoint of an S3-compatible store, for example `http://minio:9000`.
    #[arg(long, env = "GONDOLA_STORE_ENDPOINT")]
    store_endpoint: Option<String>,
}

impl BundleArguments {
    /// What stores need to know.
    pub(super) fn access(&self) -> Access {
        Access {
            credentials: self.credentials.clone(),
            endpoint: self.store_endpoint.clone(),
            ..Access::default()
        }
    }

    pub(super) fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open_with(&self.store, &self.access())?)
    }

    /// The folder of the features bundle: itself, or fetched from the store into `cache`.
    pub(super) async fn features(&self, store: &Store, cache: &Path) -> anyhow::Result<PathBuf> {
        let features = self.features.as_str();
        let folder = Path::new(features);
        if folder.is_dir() {
            return Ok(folder.to_owned());
        }
        let reference: Reference = features
            .parse()
            .with_context(|| format!("--features {features} is neither a folder nor a bundle"))?;
        let resolved = resolve(store, &reference).await?;
        if resolved.manifest.kind != Kind::Features {
            bail!(
                "--features {features} is a {} bundle, not a features bundle",
                resolved.manifest.kind
            );
        }
        Ok(Cache::open(cache)?.fetch(store, &resolved, &|_| {}).await?.path)
    }
}
