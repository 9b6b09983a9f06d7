//! A folder that is on this machine, or in an object store and fetched from there.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store};
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use url::Url;

/// A folder of this machine; what was fetched goes when this value goes.
#[derive(Debug)]
pub(crate) struct FetchedFolder {
    path: PathBuf,
    _fetched: Option<TempDir>,
}

impl FetchedFolder {
    /// The folder at a path or a URL.
    pub(crate) async fn at(place: &str, access: &Access) -> anyhow::Result<Self> {
        if !place.contains("://") {
            return Ok(Self::here(place.into()));
        }
        let url = Url::parse(place).with_context(|| format!("{place} is not a valid URL"))?;
        if url.scheme() == "file" {
            let path = url.to_file_path();
            let path =
                path.map_err(|()| anyhow::anyhow!("the URL {place} is not a folder on this machine"))?;
            return Ok(Self::here(path));
        }
        let folder = tempfile::tempdir().context("cannot make a folder for fetched files")?;
        fetch(&Store::open_with(place, access)?, folder.path()).await?;
        Ok(Self {
            path: folder.path().to_owned(),
            _fetched: Some(folder),
        })
    }

    fn here(path: PathBuf) -> Self {
        Self { path, _fetched: None }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

async fn fetch(store: &Store, folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("cannot fetch the files of {}", store.url());
    let root = store.path("");
    let listed: Vec<_> = store
        .objects()
        .list(Some(&root))
        .try_collect()
        .await
        .with_context(failed)?;
    ensure!(
        !listed.is_empty(),
        "there are no files in {}; name the URL of a folder with files",
        store.url()
    );
    for object in listed {
        // A store's own paths have no `..` in them.
        let inside = object.location.prefix_match(&root).into_iter().flatten();
        let path = inside.fold(folder.to_owned(), |path, part| path.join(part.as_ref()));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(failed)?;
        }
        let mut file = tokio::fs::File::create(&path).await.with_context(failed)?;
        let mut bytes = store
            .objects()
            .get(&object.location)
            .await
            .with_context(failed)?
            .into_stream();
        while let Some(chunk) = bytes.try_next().await.with_context(failed)? {
            file.write_all(&chunk).await.with_context(failed)?;
        }
        file.flush().await.with_context(failed)?;
    }
    Ok(())
}
