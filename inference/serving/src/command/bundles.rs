//! From references to verified folders on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use gondola_artifacts::{
    BundleFolder, Cache, Digest, Kind, Reference, Resolved, Store, check_kind, resolve_together,
};
use gondola_models::pipeline::VariantFolders;
use gondola_protocol::BundleDescription;
use gondola_router::access::AccessArguments;
use indicatif::{ProgressBar, ProgressStyle};

/// Where bundles come from and lie.
#[derive(Debug, Args)]
pub(super) struct BundleArguments {
    /// The manifest of the pipeline, as YAML.
    #[arg(long, env = "GONDOLA_FILE")]
    pub(super) file: PathBuf,
    /// URL of the store, for example `file:///srv/models`; the manifest's own where it is left out.
    #[arg(long, env = "GONDOLA_STORE")]
    pub(super) store: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
    /// Digests that the bundles must have, as `role=sha256:...`, joined by commas. Bundles that are here already are then
    /// served without the store.
    #[arg(long, env = "GONDOLA_DIGESTS")]
    digests: Option<Pins>,
    /// Folder in which fetched bundles are kept; `~/.cache/gondola/bundles` where it is left out.
    #[arg(long, env = "GONDOLA_BUNDLES")]
    cache: Option<PathBuf>,
}

/// Digests that bundles must have, by role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pins(BTreeMap<String, Digest>);

impl FromStr for Pins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pin = |pair: &str| {
            let wrong = || format!("{pair:?} is no pin; write role=sha256:...");
            let (role, digest) = pair.split_once('=').ok_or_else(wrong)?;
            Ok((role.to_owned(), digest.parse().map_err(|_| wrong())?))
        };
        let pairs = text.split(',').filter(|pair| !pair.is_empty());
        Ok(Self(pairs.map(pin).collect::<Result<_, String>>()?))
    }
}

impl Pins {
    fn of(&self, kind: Kind) -> Option<Digest> {
        self.0.get(&kind.to_string()).copied()
    }

    /// Refuses a bundle that is not the one that was decided on.
    fn check(&self, kind: Kind, resolved: &Resolved) -> anyhow::Result<()> {
        match self.of(kind) {
            Some(wanted) if wanted != resolved.digest => bail!(
                "{} has digest {} in the store, but {wanted} was to be served; a version never changes, so publish a new one",
                resolved.reference,
                resolved.digest
            ),
            _ => Ok(()),
        }
    }
}

impl BundleArguments {
    pub(super) fn open_store(&self, url: &str) -> anyhow::Result<Store> {
        Ok(Store::open_with(url, &self.access.access())?)
    }

    pub(super) fn pins(&self) -> Pins {
        self.digests.clone().unwrap_or_default()
    }

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
#[derive(Default)]
pub(super) struct VariantBundles {
    pub(super) folders: VariantFolders,
    pub(super) described: BTreeMap<String, BundleDescription>,
}

impl VariantBundles {
    fn add(&mut self, kind: Kind, reference: &Reference, folder: BundleFolder) {
        let description = BundleDescription {
            reference: reference.to_string(),
            version: folder.manifest.version.clone(),
            digest: folder.digest.to_string(),
        };
        self.described.insert(kind.to_string(), description);
        match kind {
            Kind::Features => self.folders.features = folder.path,
            Kind::Retrieval => self.folders.retrieval = folder.path,
            Kind::Scorer => self.folders.scorer = folder.path,
            Kind::Similarity => self.folders.similarity = Some(folder.path),
        }
    }
}

/// Brings a variant's bundles here: resolves them, checks that they belong together, fetches what is missing.
pub(super) async fn fetch(
    store: &Store,
    cache: &Cache,
    pins: &Pins,
    references: &[(Kind, Reference)],
) -> anyhow::Result<VariantBundles> {
    if let Some(kept) = kept(cache, pins, references).await? {
        tracing::info!("every bundle is here; the store is not asked");
        return Ok(kept);
    }
    let wanted: Vec<Reference> = references
        .iter()
        .map(|(_, reference)| reference.clone())
        .collect();
    let resolved = resolve_together(store, &wanted).await?;
    let mut bundles = VariantBundles::default();
    for ((kind, _), resolved) in references.iter().zip(&resolved) {
        resolved.require(*kind)?;
        pins.check(*kind, resolved)?;
        let folder = fetch_one(store, cache, resolved).await?;
        bundles.add(*kind, &resolved.reference, folder);
    }
    Ok(bundles)
}

/// A variant's bundles from the cache alone, if each is pinned to a digest and is here whole.
async fn kept(
    cache: &Cache,
    pins: &Pins,
    references: &[(Kind, Reference)],
) -> anyhow::Result<Option<VariantBundles>> {
    let mut bundles = VariantBundles::default();
    for (kind, reference) in references {
        let Some(digest) = pins.of(*kind) else {
            return Ok(None);
        };
        let Some(folder) = cache.find(digest).await else {
            return Ok(None);
        };
        check_kind(reference, &folder.manifest, *kind)?;
        bundles.add(*kind, reference, folder);
    }
    Ok(Some(bundles))
}

async fn fetch_one(store: &Store, cache: &Cache, resolved: &Resolved) -> anyhow::Result<BundleFolder> {
    let bytes = resolved.manifest.total_bytes();
    tracing::info!(bundle = %resolved.reference, version = resolved.version, bytes, "fetching");
    let bar = bar(&resolved.reference, bytes);
    let folder = cache
        .fetch(store, resolved, &|bytes| bar.set_position(bytes))
        .await?;
    bar.finish_and_clear();
    Ok(folder)
}

/// Shows how far a bundle has come, where a person looks on.
fn bar(reference: &Reference, bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:28} [{elapsed_precise}] {bar:30} {bytes}/{total_bytes} {msg}");
    let bar = ProgressBar::new(bytes).with_prefix(format!("fetching {reference}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
