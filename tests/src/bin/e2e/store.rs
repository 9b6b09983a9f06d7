//! The bundles in the S3-compatible server: what was trained, new versions, and broken ones.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use gondola_artifacts::{
    Access, BundleDescription, Cache, Digest, Manifest, Store, publish, resolve, set_channel,
};
use object_store::ObjectStoreExt as _;

/// Where they are.
pub(crate) const URL: &str = "s3://models/complete-journey";
/// Where exposures and outcomes go.
pub(crate) const EVENTS_URL: &str = "s3://models/events";

/// The bundles of the example.
const BUNDLES: [&str; 5] = ["features", "two-tower", "dlrm", "forest", "item-text"];
/// A file that no model reads, which makes one version differ from another.
const NOTE: &str = "note.txt";

/// What is other about a copy.
enum Change<'a> {
    None,
    Note(&'a str),
    OtherWorkflow,
}

/// The server with its bundles.
pub(crate) struct Bundles {
    trained: Store,
    store: Store,
    access: Access,
    cache: Cache,
    /// The versions of what was trained.
    versions: BTreeMap<&'static str, String>,
    _work: tempfile::TempDir,
}

impl Bundles {
    /// Copies what was trained into the server.
    pub(crate) async fn upload(trained: &Path, endpoint: &str) -> anyhow::Result<Self> {
        let work = tempfile::tempdir()?;
        let credentials = work.path().join("credentials");
        std::fs::create_dir(&credentials)?;
        for (name, value) in [
            ("aws_access_key_id", "test"),
            ("aws_secret_access_key", "test"),
            ("aws_region", "us-east-1"),
        ] {
            std::fs::write(credentials.join(name), value)?;
        }
        let access = Access {
            credentials: Some(credentials),
            endpoint: Some(endpoint.to_owned()),
            ..Access::default()
        };
        let mut bundles = Self {
            trained: Store::open(&format!("file://{}", trained.display()))?,
            store: Store::open_with(URL, &access)?,
            access,
            cache: Cache::open(work.path().join("cache"))?,
            versions: BTreeMap::new(),
            _work: work,
        };
        for name in BUNDLES {
            let version = bundles.copy(name, &Change::None).await?;
            bundles.versions.insert(name, version);
        }
        Ok(bundles)
    }

    /// Another place in the same server.
    pub(crate) fn open(&self, url: &str) -> anyhow::Result<Store> {
        Ok(Store::open_with(url, &self.access)?)
    }

    /// Every channel points to what was trained.
    pub(crate) async fn point_to_trained(&self) -> anyhow::Result<()> {
        for (name, version) in &self.versions {
            set_channel(&self.store, name, "stable", version).await?;
        }
        Ok(())
    }

    /// Publishes a new version of what was trained that differs in a file that nobody reads; its channel points there from now on.
    pub(crate) async fn publish_anew(&self, name: &str, note: &str) -> anyhow::Result<String> {
        self.copy(name, &Change::Note(note)).await
    }

    /// Publishes a version of a bundle that was made for features that nobody has.
    pub(crate) async fn publish_for_another_workflow(&self, name: &str) -> anyhow::Result<String> {
        self.copy(name, &Change::OtherWorkflow).await
    }

    /// Publishes a version with a file that was altered after its digest was taken: its manifest is in order, and it can't be fetched.
    pub(crate) async fn publish_damaged(&self, name: &str) -> anyhow::Result<String> {
        let version = self.copy(name, &Change::Note("to be damaged")).await?;
        let file = self.store.path(&format!("{name}/{version}/{NOTE}"));
        // As long as it was, so that its digest alone tells.
        self.store.objects().put(&file, "was damaged..".into()).await?;
        Ok(version)
    }

    async fn copy(&self, name: &str, change: &Change<'_>) -> anyhow::Result<String> {
        let reference = format!("{name}@stable").parse()?;
        let found = resolve(&self.trained, &reference).await?;
        let kept = self.cache.fetch(&self.trained, &found, &|_| {}).await?;
        let folder = tempfile::tempdir()?;
        copy_files(&kept.path, &found.manifest, folder.path())?;
        let mut contract = found.manifest.contract.clone();
        match change {
            Change::None => {}
            Change::Note(note) => std::fs::write(folder.path().join(NOTE), note)?,
            Change::OtherWorkflow => contract.workflow = Some(Digest::of(b"another workflow")),
        }
        let description = BundleDescription {
            name: name.to_owned(),
            kind: found.manifest.kind,
            contract,
        };
        let published = publish(&self.store, folder.path(), &description).await?;
        set_channel(&self.store, name, "stable", &published.version).await?;
        Ok(published.version)
    }
}

fn copy_files(from: &Path, manifest: &Manifest, to: &Path) -> anyhow::Result<()> {
    for file in &manifest.files {
        let (source, target) = (from.join(&file.path), to.join(&file.path));
        let parent = target.parent().context("a file lies in a folder")?;
        std::fs::create_dir_all(parent)?;
        std::fs::copy(source, target)?;
    }
    Ok(())
}
