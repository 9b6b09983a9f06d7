//! A bundle's files on their way to the store.

use std::path::Path;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::{ObjectStoreExt as _, PutMode, WriteMultipart};
use tokio::io::AsyncReadExt as _;

use super::PublishError;
use crate::digest::Hasher;
use crate::manifest::{BundleFile, Manifest};
use crate::store::Store;

/// Files on their way at a time.
const PARALLEL_FILES: usize = 4;
/// The size of a part; a file of at most this size goes in one.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file on their way at a time.
const PARALLEL_PARTS: usize = 2;

/// Uploads every file, and makes sure that what went is what the manifest says.
pub(super) async fn upload(store: &Store, folder: &Path, manifest: &Manifest) -> Result<(), PublishError> {
    // Boxed first: a closure over borrowed files inside the stream would keep callers from spawning this.
    let uploads: Vec<_> = manifest
        .files
        .iter()
        .map(|file| upload_file(store, folder, manifest, file).boxed())
        .collect();
    stream::iter(uploads)
        .buffer_unordered(PARALLEL_FILES)
        .try_collect()
        .await
}

async fn upload_file(
    store: &Store,
    folder: &Path,
    manifest: &Manifest,
    file: &BundleFile,
) -> Result<(), PublishError> {
    let from = folder.join(&file.path);
    let to = store.file(&manifest.name, &manifest.version, &file.path);
    let read_failed = |source| PublishError::Folder {
        path: from.clone(),
        source,
    };
    let write_failed = |source| PublishError::Store {
        name: manifest.name.clone(),
        source: store.write_error(&to, source),
    };

    let mut source = tokio::fs::File::open(&from).await.map_err(read_failed)?;
    let mut hasher = Hasher::default();
    let mut size = 0;
    let mut next_part = async || -> Result<Vec<u8>, PublishError> {
        let mut part = Vec::new();
        (&mut source)
            .take(PART_BYTES as u64)
            .read_to_end(&mut part)
            .await
            .map_err(read_failed)?;
        hasher.update(&part);
        size += part.len() as u64;
        Ok(part)
    };

    let changed = || PublishError::Changed { path: from.clone() };
    let first = next_part().await?;
    if first.len() < PART_BYTES {
        if (size, hasher.digest()) != (file.size, file.sha256) {
            return Err(changed());
        }
        return store
            .put(&to, first.into(), PutMode::Overwrite)
            .await
            .map_err(write_failed);
    }
    let parts = store.objects.put_multipart(&to).await.map_err(write_failed)?;
    let mut parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
    let mut part = first;
    let sent = loop {
        if part.is_empty() {
            break Ok(());
        }
        if let Err(source) = parts.wait_for_capacity(PARALLEL_PARTS).await {
            break Err(write_failed(source));
        }
        parts.put(part.into());
        part = match next_part().await {
            Ok(part) => part,
            Err(error) => break Err(error),
        };
    };
    let whole = (size, hasher.digest()) == (file.size, file.sha256);
    match sent.and_then(|()| if whole { Ok(()) } else { Err(changed()) }) {
        Ok(()) => parts.finish().await.map(drop).map_err(write_failed),
        Err(error) => {
            // What failed is what the caller needs to hear; parts left behind are never read.
            let _ = parts.abort().await;
            Err(error)
        }
    }
}
