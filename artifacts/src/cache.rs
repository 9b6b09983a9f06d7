//! This machine's copies of bundles.
//!
//! ```text
//! <cache>/blobs/<sha256>                 a file's content, whole and checked
//! <cache>/blobs/<sha256>.partial         content on its way
//! <cache>/bundles/<manifest's sha256>/   a bundle's folder: hard links to blobs, and its manifest.json
//! <cache>/lock                           held while something is fetched, by one process at a time
//! ```
//!
//! Content is kept by its digest, so two bundles that share a file fetch it once, and a restarted process fetches nothing. A
//! bundle's folder is put together beside its place and renamed into it: it is there completely, or not at all. What is in the
//! cache is hashed again before it is handed out; what was damaged on the disk is fetched again.
//!
//! Nothing is ever deleted that is whole; a folder on a volume that goes with its pod needs no sweeping.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};

use crate::digest::Digest;
use crate::fetch::{Download, FetchError, Progress, write_error};
use crate::manifest::{self, BundleFile, Manifest};
use crate::reference::Reference;
use crate::resolve::Resolved;
use crate::store::Store;

/// Files on their way at a time.
const PARALLEL_FILES: usize = 6;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
const TEMPORARY: &str = ".new-";

/// A folder that keeps what was fetched.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// A bundle on this machine's disk, every file of it checked.
#[derive(Clone, Debug)]
pub struct BundleFolder {
    /// The folder.
    pub path: PathBuf,
    /// What is in it.
    pub manifest: Manifest,
    /// The manifest's digest.
    pub digest: Digest,
}

/// The cache's folder can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache {} can't be used", .path.display())]
pub struct CacheError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Cache {
    /// Opens a cache; its folder is created.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let cache = Self {
            folder: folder.into(),
        };
        let usable = std::fs::create_dir_all(cache.blobs())
            .and_then(|()| std::fs::create_dir_all(cache.bundles()))
            .and_then(|()| open_lock(&cache.lock_path()));
        match usable {
            Ok(_) => Ok(cache),
            Err(source) => Err(CacheError {
                path: cache.folder,
                source,
            }),
        }
    }

    /// Fetches a bundle unless it is cached; `progress` gets the number of its bytes that are here so far.
    pub async fn fetch(
        &self,
        store: &Store,
        resolved: &Resolved,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<BundleFolder, FetchError> {
        let folder = BundleFolder {
            path: self.bundles().join(resolved.digest.hex()),
            manifest: resolved.manifest.clone(),
            digest: resolved.digest,
        };
        let _lock = self.lock(&resolved.reference).await?;
        let progress = Progress::new(progress);
        let blobs: BTreeMap<Digest, &BundleFile> = resolved
            .manifest
            .files
            .iter()
            .map(|file| (file.sha256, file))
            .collect();
        let missing = self
            .missing(&resolved.reference, blobs.into_values().collect(), &progress)
            .await?;
        self.bring(store, resolved, &missing, &progress).await?;
        self.assemble(&folder, resolved).await?;
        tracing::info!(bundle = %resolved.reference, digest = %resolved.digest, fetched = missing.len(), "bundle is cached");
        Ok(folder)
    }

    /// The bundle of a digest, if it is cached completely, without contacting a store.
    pub async fn find(&self, digest: Digest) -> Option<BundleFolder> {
        let cache = self.clone();
        tokio::task::spawn_blocking(move || cache.find_blocking(digest))
            .await
            .expect("hashing files doesn't panic, and nobody aborts it")
    }

    fn find_blocking(&self, digest: Digest) -> Option<BundleFolder> {
        let path = self.bundles().join(digest.hex());
        let bytes = std::fs::read(path.join(manifest::FILE_NAME)).ok()?;
        let manifest = (Digest::of(&bytes) == digest).then(|| Manifest::parse(&bytes).ok())??;
        let whole =
            |file: &BundleFile| holds(&path.join(&file.path), file.size, file.sha256).unwrap_or(false);
        manifest.files.iter().all(whole).then_some(BundleFolder {
            path,
            manifest,
            digest,
        })
    }

    /// The files whose content isn't here whole; what is here damaged is removed.
    async fn missing<'a>(
        &self,
        bundle: &Reference,
        files: Vec<&'a BundleFile>,
        progress: &Progress<'_>,
    ) -> Result<Vec<&'a BundleFile>, FetchError> {
        // Boxed first: a closure over borrowed files inside the stream would keep callers from spawning this.
        let looks: Vec<_> = files
            .into_iter()
            .map(|file| self.look_at(bundle, file, progress).boxed())
            .collect();
        let missing: Vec<_> = stream::iter(looks).buffered(PARALLEL_FILES).try_collect().await?;
        Ok(missing.into_iter().flatten().collect())
    }

    /// The file, unless its content is here whole.
    async fn look_at<'a>(
        &self,
        bundle: &Reference,
        file: &'a BundleFile,
        progress: &Progress<'_>,
    ) -> Result<Option<&'a BundleFile>, FetchError> {
        let blob = self.blob(file);
        let (path, size, sha256) = (blob.clone(), file.size, file.sha256);
        let here = tokio::task::spawn_blocking(move || holds(&path, size, sha256)).await;
        let failed = |source| write_error(bundle, &file.path, &blob, size, 0, source);
        if here
            .expect("hashing a file doesn't panic, and nobody aborts it")
            .map_err(failed)?
        {
            progress.add(size);
            return Ok(None);
        }
        match std::fs::remove_file(&blob) {
            Ok(()) => {
                tracing::warn!(file = file.path, blob = %blob.display(), "damaged in the cache; fetched again")
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(failed(source)),
        }
        Ok(Some(file))
    }

    async fn bring(
        &self,
        store: &Store,
        resolved: &Resolved,
        files: &[&BundleFile],
        progress: &Progress<'_>,
    ) -> Result<(), FetchError> {
        let (bundle, version) = (&resolved.reference, resolved.version.as_str());
        let downloads: Vec<_> = files
            .iter()
            .map(|file| {
                self.bring_one(Download {
                    store,
                    bundle,
                    version,
                    file,
                    progress,
                })
                .boxed()
            })
            .collect();
        stream::iter(downloads)
            .buffer_unordered(PARALLEL_FILES)
            .try_collect()
            .await
    }

    async fn bring_one(&self, download: Download<'_>) -> Result<(), FetchError> {
        let blob = self.blob(download.file);
        let partial = blob.with_extension("partial");
        download.to(partial.clone()).await?;
        let (bundle, BundleFile { path, size, .. }) = (download.bundle, download.file);
        let kept = set_read_only(&partial).and_then(|()| std::fs::rename(&partial, &blob));
        kept.map_err(|source| write_error(bundle, path, &blob, *size, *size, source))
    }

    /// Puts the bundle's folder together, and into its place, unless it is there and whole.
    async fn assemble(&self, folder: &BundleFolder, resolved: &Resolved) -> Result<(), FetchError> {
        let (cache, folder, resolved) = (self.clone(), folder.clone(), resolved.clone());
        tokio::task::spawn_blocking(move || cache.assemble_blocking(&folder, &resolved))
            .await
            .expect("linking files doesn't panic, and nobody aborts it")
    }

    fn assemble_blocking(&self, folder: &BundleFolder, resolved: &Resolved) -> Result<(), FetchError> {
        if self.is_whole(folder, resolved) {
            return Ok(());
        }
        let bundle = &resolved.reference;
        let size = resolved.manifest_bytes.len() as u64;
        let failed = |path: &Path, source| write_error(bundle, manifest::FILE_NAME, path, size, 0, source);
        let bundles = self.bundles();
        remove_leftovers(&bundles).map_err(|source| failed(&bundles, source))?;
        let new = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&bundles);
        let new = new.map_err(|source| failed(&bundles, source))?;
        for file in &resolved.manifest.files {
            let place = new.path().join(&file.path);
            let parent = place.parent().unwrap_or(new.path());
            let linked = std::fs::create_dir_all(parent).and_then(|()| link(&self.blob(file), &place));
            linked.map_err(|source| write_error(bundle, &file.path, &place, file.size, 0, source))?;
        }
        let manifest = new.path().join(manifest::FILE_NAME);
        std::fs::write(&manifest, &resolved.manifest_bytes).map_err(|source| failed(&manifest, source))?;
        // A folder that is there is damaged.
        let placed = remove_if_there(&folder.path)
            .and_then(|()| open_to_all(new.path()))
            .and_then(|()| std::fs::rename(new.path(), &folder.path));
        placed.map_err(|source| failed(&folder.path, source))?;
        let _ = new.keep();
        Ok(())
    }

    /// Given that the blobs are whole.
    fn is_whole(&self, folder: &BundleFolder, resolved: &Resolved) -> bool {
        let manifest = std::fs::read(folder.path.join(manifest::FILE_NAME));
        manifest.is_ok_and(|bytes| bytes == resolved.manifest_bytes)
            && resolved
                .manifest
                .files
                .iter()
                .all(|file| is_linked(&self.blob(file), &folder.path.join(&file.path), file))
    }

    async fn lock(&self, bundle: &Reference) -> Result<File, FetchError> {
        let path = self.lock_path();
        let failed = |source| write_error(bundle, "lock", &path, 0, 0, source);
        let lock = open_lock(&path).map_err(failed)?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    fn blob(&self, file: &BundleFile) -> PathBuf {
        self.blobs().join(file.sha256.hex())
    }

    fn bundles(&self) -> PathBuf {
        self.folder.join("bundles")
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.join("lock")
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether the file at `path` has this size and digest; a file that isn't there has not.
fn holds(path: &Path, size: u64, sha256: Digest) -> io::Result<bool> {
    match path.metadata() {
        Ok(found) if found.len() == size => Ok(Digest::of_file(path)? == (sha256, size)),
        Ok(_) => Ok(false),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(source),
    }
}

/// Whether a place in a bundle's folder holds what the whole `blob` holds. Where the file system has no links it is a copy,
/// and is hashed itself.
fn is_linked(blob: &Path, place: &Path, file: &BundleFile) -> bool {
    is_same_file(blob, place) || holds(place, file.size, file.sha256).unwrap_or(false)
}

#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |path: &Path| path.symlink_metadata().map(|found| (found.dev(), found.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn is_same_file(_: &Path, _: &Path) -> bool {
    false
}

fn link(blob: &Path, place: &Path) -> io::Result<()> {
    match std::fs::hard_link(blob, place) {
        Ok(()) => Ok(()),
        Err(_) => std::fs::copy(blob, place).map(drop),
    }
}

/// A blob may be mapped into memory by a server; nobody should write to it.
fn set_read_only(path: &Path) -> io::Result<()> {
    let mut permissions = path.metadata()?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions)
}

/// A temporary folder is its owner's alone; a bundle's folder is as readable as the cache.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> io::Result<()> {
    Ok(())
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// What a process left that died while it put a folder together; the lock says that nobody does so now.
fn remove_leftovers(bundles: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(bundles)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            remove_if_there(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
