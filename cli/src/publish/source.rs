//! What is to be published, wherever it is: on this machine, or below a URL of a store.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store};
use object_store::{ObjectMeta, ObjectStoreExt as _};

/// The largest model that is brought here, in bytes.
const MAX_BYTES: u64 = 16 << 30;

/// The path of what `source` names; what is in a store is brought into `folder`.
pub(super) async fn here(source: &str, access: &Access, folder: &Path) -> anyhow::Result<PathBuf> {
    if let Some(path) = source.strip_prefix("file://") {
        return Ok(path.into());
    }
    if !source.contains("://") {
        return Ok(source.into());
    }
    let store = Store::open_with(source, access)?;
    let bring = bring(&store, folder);
    bring
        .await
        .with_context(|| format!("{source} can't be brought here"))
}

async fn bring(store: &Store, folder: &Path) -> anyhow::Result<PathBuf> {
    let place = store.path("");
    let mut objects: Vec<ObjectMeta> = store.objects().list(Some(&place)).try_collect().await?;
    if objects.is_empty() {
        objects = vec![store.objects().head(&place).await.context("there is nothing")?];
    }
    let bytes: u64 = objects.iter().map(|object| object.size).sum();
    ensure!(
        bytes <= MAX_BYTES,
        "it has {bytes} bytes, and at most {MAX_BYTES} are brought here; name the model's own folder"
    );
    for object in &objects {
        // A lone object has no parts below itself.
        let parts = object.location.prefix_match(&place).into_iter().flatten();
        let inside: PathBuf = parts.map(|part| part.as_ref().to_owned()).collect();
        let name = object.location.filename().unwrap_or("model");
        let path = if inside.as_os_str().is_empty() {
            folder.join(name)
        } else {
            folder.join(inside)
        };
        let bytes = store.objects().get(&object.location).await?.bytes().await?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, &bytes)?;
    }
    Ok(folder.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path as Place;

    use super::*;

    #[tokio::test]
    async fn what_lies_in_a_store_is_brought_here_with_its_folders() {
        let objects = Arc::new(InMemory::new());
        for (place, content) in [
            ("models/mine/1/model.onnx", "first"),
            ("models/mine/config.pbtxt", "name"),
            ("models/minefield/model.txt", "another"),
            ("models/lone.bst", "alone"),
        ] {
            objects.put(&place.into(), content.into()).await.unwrap();
        }
        let store = |prefix: &str| Store::new(Arc::clone(&objects) as _, Place::from(prefix));
        let folder = tempfile::tempdir().unwrap();
        let here = bring(&store("models/mine"), folder.path()).await.unwrap();
        assert_eq!(std::fs::read(here.join("1/model.onnx")).unwrap(), b"first");
        assert_eq!(std::fs::read(here.join("config.pbtxt")).unwrap(), b"name");
        assert!(!here.join("model.txt").exists(), "that is another's");
        let folder = tempfile::tempdir().unwrap();
        let here = bring(&store("models/lone.bst"), folder.path()).await.unwrap();
        assert_eq!(std::fs::read(here.join("lone.bst")).unwrap(), b"alone");
        let nothing = bring(&store("models/nowhere"), folder.path()).await.unwrap_err();
        assert!(nothing.to_string().contains("there is nothing"), "{nothing}");
    }
}
