//! From references to verified folders on this machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use futures::future::try_join_all;
use gondola_artifacts::{
    Access, BundleFolder, Cache, Contract, Digest, Reference, Resolved, Store, check_kind, resolve,
    resolve_together,
};
use gondola_models::pipeline::VariantFolders;
use gondola_protocol::BundleDescription;
use gondola_router::access::AccessArguments;
use gondola_router::resolver::{check_sources, kind_of};
use gondola_wire::role::Role;
use gondola_wire::variables;
use indicatif::{ProgressBar, ProgressStyle};

/// Where bundles come from, and where they are cached.
#[derive(Debug, Args)]
pub(super) struct BundleArguments {
    /// URL of the store, for example `file:///srv/models`; default: the one that the manifest or the order names.
    #[arg(long, env = variables::STORE)]
    pub(super) store: Option<String>,
    #[command(flatten)]
    access: AccessArguments,
    /// Folder in which fetched bundles are kept; default: `~/.cache/gondola/bundles`.
    #[arg(long, env = variables::BUNDLES)]
    cache: Option<PathBuf>,
}

impl BundleArguments {
    /// How stores are opened.
    pub(super) fn access(&self) -> Access {
        self.access.access()
    }

    pub(super) fn open_store(&self, url: &str) -> anyhow::Result<Store> {
        Ok(Store::open_with(url, &self.access())?)
    }

    pub(super) fn open_cache(&self) -> anyhow::Result<Cache> {
        let in_home = || Some(std::env::home_dir()?.join(".cache/gondola/bundles"));
        let folder = self
            .cache
            .clone()
            .or_else(in_home)
            .context("there is no home folder; set a cache folder with --cache")?;
        Ok(Cache::open(folder)?)
    }
}

/// A bundle that a variant serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedBundle {
    /// What it is to the variant.
    pub(super) role: Role,
    /// What names it.
    pub(super) reference: Reference,
    /// The digest that was decided on, in a pod.
    pub(super) digest: Option<Digest>,
}

/// A variant's bundles, here and checked.
#[derive(Default)]
pub(super) struct VariantBundles {
    pub(super) folders: VariantFolders,
    pub(super) described: BTreeMap<String, BundleDescription>,
    /// What each promises.
    pub(super) contracts: BTreeMap<Role, (Reference, Contract)>,
}

impl VariantBundles {
    fn add(&mut self, role: &Role, reference: &Reference, folder: BundleFolder) {
        let description = BundleDescription {
            reference: reference.to_string(),
            version: folder.manifest.version.clone(),
            digest: folder.digest.to_string(),
        };
        self.described.insert(role.to_string(), description);
        let contract = folder.manifest.contract.clone();
        self.contracts.insert(role.clone(), (reference.clone(), contract));
        match role {
            Role::Features => self.folders.features = folder.path,
            Role::Retrieval => self.folders.retrieval = folder.path,
            Role::Source(name) => {
                self.folders.sources.insert(name.clone(), folder.path);
            }
            Role::Scorer => self.folders.scorer = folder.path,
            Role::Similarity => self.folders.similarity = Some(folder.path),
        }
    }
}

/// Brings a variant's bundles here, and fetches what is missing. What an order names was found to belong together before; references of
/// a manifest are looked up, and checked, now.
pub(super) async fn fetch(
    store: &Store,
    cache: &Cache,
    wanted: &[WantedBundle],
) -> anyhow::Result<VariantBundles> {
    if let Some(kept) = kept(cache, wanted).await? {
        tracing::info!("every bundle is cached; the store is not contacted");
        return Ok(kept);
    }
    let mut bundles = VariantBundles::default();
    let found = look_up(store, wanted).await?;
    check_sources(wanted.iter().map(|wanted| &wanted.role).zip(&found))?;
    for (wanted, resolved) in wanted.iter().zip(&found) {
        resolved.require(kind_of(&wanted.role))?;
        let folder = fetch_one(store, cache, resolved).await?;
        bundles.add(&wanted.role, &resolved.reference, folder);
    }
    Ok(bundles)
}

/// A variant's bundles from the cache alone, if each was decided on and is here whole.
async fn kept(cache: &Cache, wanted: &[WantedBundle]) -> anyhow::Result<Option<VariantBundles>> {
    let mut bundles = VariantBundles::default();
    for WantedBundle {
        role,
        reference,
        digest,
    } in wanted
    {
        let Some(digest) = digest else {
            return Ok(None);
        };
        let Some(folder) = cache.find(*digest).await else {
            return Ok(None);
        };
        check_kind(reference, &folder.manifest, kind_of(role))?;
        bundles.add(role, reference, folder);
    }
    Ok(Some(bundles))
}

async fn look_up(store: &Store, wanted: &[WantedBundle]) -> anyhow::Result<Vec<Resolved>> {
    if wanted.iter().any(|wanted| wanted.digest.is_none()) {
        let references: Vec<Reference> = wanted.iter().map(|wanted| wanted.reference.clone()).collect();
        return Ok(resolve_together(store, &references).await?);
    }
    let found = wanted.iter().map(async |wanted| {
        let resolved = resolve(store, &wanted.reference).await?;
        check_digest(wanted, &resolved)?;
        Ok(resolved)
    });
    try_join_all(found).await
}

/// Refuses a bundle that is not the one that was decided on.
fn check_digest(wanted: &WantedBundle, found: &Resolved) -> anyhow::Result<()> {
    match wanted.digest {
        Some(digest) if digest != found.digest => bail!(
            "{} has digest {} in the store, but {digest} was ordered; versions never change, so publish a new one",
            found.reference,
            found.digest
        ),
        _ => Ok(()),
    }
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

/// Shows the progress of a fetch, on a terminal.
fn bar(reference: &Reference, bytes: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:28} [{elapsed_precise}] {bar:30} {bytes}/{total_bytes} {msg}");
    let bar = ProgressBar::new(bytes).with_prefix(format!("fetching {reference}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
