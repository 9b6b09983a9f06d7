//! What runs left in the S3-compatible server, and what is put there for them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use arrow::array::AsArray as _;
use bytes::Bytes;
use gondola_artifacts::Store;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// The list of one user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct List {
    pub(crate) user: String,
    pub(crate) items: Vec<String>,
}

/// The lists of every batch below a store's URL, by the batch's folder: each has its manifest.
pub(crate) async fn batches(store: Store) -> anyhow::Result<BTreeMap<String, Vec<List>>> {
    let root = store.path("");
    let listed = store.objects().list_with_delimiter(Some(&root)).await?;
    let mut folders: Vec<String> = listed
        .common_prefixes
        .iter()
        .map(|path| below(&root, path))
        .collect();
    for folder in folders.clone() {
        let inside = store
            .objects()
            .list_with_delimiter(Some(&store.path(&folder)))
            .await?;
        folders.extend(inside.common_prefixes.iter().map(|path| below(&root, path)));
    }
    let mut batches = BTreeMap::new();
    for folder in folders {
        let manifest = store.path(&format!("{folder}/manifest.json"));
        match store.objects().get(&manifest).await {
            Ok(found) => {
                let manifest: Value = serde_json::from_slice(&found.bytes().await?)?;
                batches.insert(folder.clone(), read(&store, &folder, &manifest).await?);
            }
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(batches)
}

fn below(root: &object_store::path::Path, path: &object_store::path::Path) -> String {
    let inside = path.as_ref().strip_prefix(root.as_ref()).unwrap_or_default();
    inside.trim_start_matches('/').to_owned()
}

async fn read(store: &Store, folder: &str, manifest: &Value) -> anyhow::Result<Vec<List>> {
    let mut lists = Vec::new();
    for file in manifest["files"]
        .as_array()
        .context("the manifest has no files")?
    {
        let path = file["path"].as_str().context("a file has a path")?;
        let found = store
            .objects()
            .get(&store.path(&format!("{folder}/{path}")))
            .await?;
        let before = lists.len();
        rows(found.bytes().await?, &mut lists)?;
        ensure!(
            file["users"] == lists.len() - before,
            "{path} has other users than the manifest says"
        );
    }
    Ok(lists)
}

fn rows(file: Bytes, lists: &mut Vec<List>) -> anyhow::Result<()> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let column = |name| {
            batch
                .column_by_name(name)
                .with_context(|| format!("there is no column {name}"))
        };
        let (users, items) = (
            column("user")?.as_string::<i32>(),
            column("items")?.as_list::<i32>(),
        );
        for row in 0..batch.num_rows() {
            let items = items.value(row);
            let items = items.as_string::<i32>().iter().flatten();
            lists.push(List {
                user: users.value(row).to_owned(),
                items: items.map(str::to_owned).collect(),
            });
        }
    }
    Ok(())
}

/// Puts the files of a folder below `place`.
pub(crate) async fn upload(store: &Store, folder: &Path, place: &str) -> anyhow::Result<()> {
    let wrong = || format!("cannot read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(wrong)? {
        let path = entry.with_context(wrong)?.path();
        let name = path.file_name().context("a file has a name")?.to_string_lossy();
        let target = store.path(&format!("{place}/{name}"));
        store.objects().put(&target, std::fs::read(&path)?.into()).await?;
    }
    Ok(())
}
