//! The stores of tables, opened by their URLs as every program of ours opens stores.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use axum::body::Bytes;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreRegistry;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use gondola_artifacts::{Access, Store};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use url::{Position, Url};

/// Opens stores, each once.
#[derive(Debug, Default)]
pub(super) struct Stores {
    access: Access,
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.opened().insert(root(url), store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, DataFusionError> {
        let root = root(url);
        if let Some(store) = self.opened().get(&root) {
            return Ok(store.clone());
        }
        let store =
            Store::open_with(&root, &self.access).map_err(|error| DataFusionError::External(error.into()))?;
        let store: Arc<dyn ObjectStore> = Arc::new(WithoutEmptyFolders(store.objects().clone()));
        self.opened().insert(root, store.clone());
        Ok(store)
    }
}

impl Stores {
    /// Stores that are opened as `access` says.
    pub(super) fn reached_by(access: &Access) -> Self {
        Self {
            access: access.clone(),
            ..Self::default()
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a URL that one store serves.
fn root(url: &Url) -> String {
    format!("{}/", &url[..Position::BeforePath])
}

/// A store in which a folder without files is an error.
///
/// A table's file that is not there is looked for as a folder, and a folder without files is a table without rows: on a machine that
/// doesn't see the tables, queries would give wrong answers.
#[derive(Debug)]
struct WithoutEmptyFolders(Arc<dyn ObjectStore>);

impl fmt::Display for WithoutEmptyFolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for WithoutEmptyFolders {
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map(Path::to_string).unwrap_or_default();
        let mut files = self.0.list(prefix);
        let some = async move {
            let first = files.next().await.unwrap_or_else(|| {
                let source = "this machine finds no such file".into();
                Err(object_store::Error::NotFound { path, source })
            });
            stream::iter([first]).chain(files)
        };
        stream::once(some).flatten().boxed()
    }

    async fn put_opts(&self, place: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(place, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        place: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(place, options).await
    }

    async fn get_opts(&self, place: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(place, options).await
    }

    async fn get_ranges(&self, place: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(place, ranges).await
    }

    fn delete_stream(&self, places: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(places)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_without_files_is_an_error_and_no_table_without_rows() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap();
        let store = Stores::default().get_store(&url).unwrap();
        let listed = |name: &str| {
            let place = Path::from_url_path(url.join(name).unwrap().path()).unwrap();
            store.list(Some(&place)).collect::<Vec<_>>()
        };
        let missing = listed("items.parquet").await;
        assert!(
            matches!(missing[..], [Err(object_store::Error::NotFound { .. })]),
            "{missing:?}"
        );
        std::fs::write(folder.path().join("items.parquet"), "").unwrap();
        assert!(matches!(listed("").await[..], [Ok(_)]));
    }
}
