//! The folder through which tables get to other machines.
//!
//! A table's name there says what it holds: one that was put before, by a run that was killed for example, is not sent again, and no
//! machine reads an old table under a new one's name.

use std::fmt;
use std::path::Path;

use gondola_artifacts::{Access, Store};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStoreExt as _, WriteMultipart};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use url::Url;

use super::error::DatasetError;
use super::files::hash_file;

/// Bytes that are sent at a time.
const PART_BYTES: usize = 8 << 20;
/// Letters of a digest in a table's name.
const SHOWN: usize = 32;

/// A folder that other machines read as well.
pub(crate) struct SharedFolder {
    store: Store,
    url: Url,
    tables: Vec<ObjectPath>,
}

impl SharedFolder {
    /// Opens the folder of a URL that ends in `/`.
    pub(crate) fn open(url: &Url, access: &Access) -> Result<Self, DatasetError> {
        Ok(Self {
            store: Store::open_with(url.as_str(), access).map_err(DatasetError::SharedStore)?,
            url: url.clone(),
            tables: Vec::new(),
        })
    }

    /// Puts a table's file there, unless it is there already; gives its URL.
    pub(crate) async fn put(&mut self, table: &str, file: &Path) -> Result<String, DatasetError> {
        let mut digest = Sha256::new();
        hash_file(file, &mut digest).map_err(DatasetError::Folder)?;
        let digest = hex::encode(digest.finalize());
        let name = format!("{table}-{}.parquet", &digest[..SHOWN]);
        let place = self.store.path(&name);
        let objects = self.store.objects();
        if objects.head(&place).await.is_err() {
            self.send(file, &place)
                .await
                .map_err(|source| self.failed(source))?;
        }
        self.tables.push(place);
        Ok(format!("{}{name}", self.url))
    }

    /// Removes the tables that were put there: nobody reads them any longer.
    pub(crate) async fn clear(self) -> Result<(), DatasetError> {
        for table in &self.tables {
            match self.store.objects().delete(table).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(self.failed(source)),
            }
        }
        Ok(())
    }

    async fn send(&self, file: &Path, place: &ObjectPath) -> Result<(), object_store::Error> {
        let unreadable = |source: std::io::Error| object_store::Error::Generic {
            store: "file",
            source: Box::new(source),
        };
        let mut file = File::open(file).await.map_err(unreadable)?;
        let parts = self.store.objects().put_multipart(place).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
        let mut bytes = vec![0; PART_BYTES];
        loop {
            let read = file.read(&mut bytes).await.map_err(unreadable)?;
            if read == 0 {
                break;
            }
            parts.wait_for_capacity(2).await?;
            parts.write(&bytes[..read]);
        }
        parts.finish().await.map(drop)
    }

    fn failed(&self, source: object_store::Error) -> DatasetError {
        DatasetError::Shared {
            folder: self.to_string(),
            source,
        }
    }
}

impl fmt::Display for SharedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.store.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tables_are_named_by_what_they_hold_and_go_when_the_run_is_over() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let url = Url::from_directory_path(there.path()).unwrap();
        let file = here.path().join("items.parquet");
        let mut folder = SharedFolder::open(&url, &Access::default()).unwrap();
        std::fs::write(&file, "one").unwrap();
        let one = folder.put("items", &file).await.unwrap();
        assert_eq!(std::fs::read(one.trim_start_matches("file://")).unwrap(), b"one");
        assert_eq!(folder.put("items", &file).await.unwrap(), one);
        std::fs::write(&file, "two").unwrap();
        let two = folder.put("items", &file).await.unwrap();
        assert_ne!(one, two);
        std::fs::write(there.path().join("another's"), "").unwrap();
        folder.clear().await.unwrap();
        let left: Vec<_> = std::fs::read_dir(there.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
