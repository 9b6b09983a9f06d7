//! What the tests of several modules share: small bundles, both kinds of store, and a store that counts and fails.

use std::error::Error;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tempfile::TempDir;
use url::Url;

use crate::{BundleDescription, Contract, Digest, Kind, Metric, Published, Store, publish};

/// The message of an error and of its causes, as a program prints them.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// One of each kind of store, empty.
pub(crate) fn stores() -> [(Store, Option<TempDir>); 2] {
    let folder = tempfile::tempdir().unwrap();
    let local = Store::open(Url::from_file_path(folder.path()).unwrap().as_str()).unwrap();
    [(local, Some(folder)), (Store::open("memory:///").unwrap(), None)]
}

/// A contract that has all that its kind needs.
pub(crate) fn contract(kind: Kind) -> Contract {
    let vectors = matches!(kind, Kind::Retrieval | Kind::Similarity);
    Contract {
        workflow: (!matches!(kind, Kind::Similarity | Kind::Source)).then(|| Digest::of(b"workflow")),
        embedding_space: vectors.then(|| format!("{kind}-space")),
        dimension: vectors.then_some(64),
        metric: vectors.then_some(Metric::InnerProduct),
        inputs: (kind == Kind::Scorer).then(|| vec!["user.age".to_owned()]),
        sources: Vec::new(),
    }
}

/// A folder with these files, and its description.
pub(crate) fn folder(name: &str, kind: Kind, files: &[(&str, &[u8])]) -> (TempDir, BundleDescription) {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    (
        folder,
        BundleDescription {
            name: name.to_owned(),
            kind,
            contract: contract(kind),
        },
    )
}

/// Publishes a bundle of these files.
pub(crate) async fn publish_files(
    store: &Store,
    name: &str,
    kind: Kind,
    files: &[(&str, &[u8])],
) -> Published {
    let (folder, description) = folder(name, kind, files);
    publish(store, folder.path(), &description).await.unwrap()
}

/// In memory; counts requests, and fails on demand.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    inner: InMemory,
    /// Every range that was read.
    pub(crate) gets: Mutex<Vec<(Path, Option<Range<u64>>)>>,
    /// Objects written, whole or in parts.
    pub(crate) puts: AtomicUsize,
    /// How many of the next ranged reads break off, and after how many bytes.
    pub(crate) breaks: AtomicUsize,
    pub(crate) breaks_after: AtomicU64,
}

impl Watched {
    pub(crate) fn store(self: &Arc<Self>) -> Store {
        Store::new(self.clone(), Path::from("bundles"))
    }

    /// The first byte of each range of a file read since the last call, and the one after its last; manifests, channels and heads are left out.
    pub(crate) fn take_file_gets(&self) -> Vec<(u64, u64)> {
        let gets = std::mem::take(&mut *self.gets.lock().unwrap());
        gets.into_iter()
            .filter_map(|(_, range)| range)
            .map(|range| (range.start, range.end))
            .collect()
    }
}

impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("watched")
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (ranged, head) = (options.range.is_some(), options.head);
        let mut found = self.inner.get_opts(location, options).await?;
        if !head {
            self.gets
                .lock()
                .unwrap()
                .push((location.clone(), ranged.then(|| found.range.clone())));
        }
        let breaks = ranged
            && self
                .breaks
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        if breaks {
            let keep = self.breaks_after.load(Ordering::SeqCst) as usize;
            let bytes = collect(found.payload).await?;
            let pieces = [
                Ok(bytes.slice(..keep.min(bytes.len()))),
                Err(object_store::Error::Generic {
                    store: "watched",
                    source: "the line went dead".into(),
                }),
            ];
            found.payload = GetResultPayload::Stream(stream::iter(pieces).boxed());
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

async fn collect(payload: GetResultPayload) -> Result<Bytes> {
    let GetResultPayload::Stream(mut pieces) = payload else {
        unreachable!("memory gives streams")
    };
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.into())
}
