//! What a run depends on, as one name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::dataset::files::hash_file;
use crate::dataset::{DatasetConfig, ShopFiles};

/// What the names of an encoder's files end in.
const ENCODER_ENDINGS: [&str; 4] = ["json", "onnx", "safetensors", "txt"];

/// Names everything that a run depends on: the configuration, what the data and the encoder hold, and this
/// version. Their paths play no part.
pub(super) fn fingerprint(
    dataset: &DatasetConfig,
    data: &str,
    encoder: Option<&Path>,
) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    digest.update(serde_json::to_vec(&dataset.without_files()).expect("configurations are always JSON"));
    digest.update(data);
    if let Some(encoder) = encoder {
        digest.update(of_encoder(encoder)?);
    }
    Ok(hex::encode(digest.finalize()))
}

/// Names what the data hold, which of them are the test where that follows from them, and this version.
pub(super) fn of_data(files: &ShopFiles, test_latest: bool) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    files.hash_into(&mut digest)?;
    if test_latest {
        digest.update("tested until the data's end");
    }
    digest.update(env!("CARGO_PKG_VERSION"));
    Ok(hex::encode(digest.finalize()))
}

/// Names what the files of an encoder hold.
pub(super) fn of_encoder(folder: &Path) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    hash_encoder(folder, &mut digest)
        .with_context(|| format!("cannot read the encoder in {}", folder.display()))?;
    Ok(hex::encode(digest.finalize()))
}

/// Adds the names and the contents of the encoder's files.
fn hash_encoder(folder: &Path, digest: &mut Sha256) -> io::Result<()> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    for file in files {
        let name = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy();
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name.as_bytes());
        hash_file(&file, digest)?;
    }
    Ok(())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|ending| ENCODER_ENDINGS.iter().any(|known| ending == *known))
        {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const CONFIG: &str = "
name: tiny
transactions: {file: tx.csv, user: cid, item: aid, time: when}
items: {file: items.csv, key: aid}
features: {}
windows: {test_start: 2024-05-20}
";

    /// A shop's folder with an encoder, and what names its content.
    struct Shop(tempfile::TempDir);

    impl Shop {
        fn new() -> Self {
            let shop = Self(tempfile::tempdir().unwrap());
            fs::create_dir(shop.0.path().join("encoder")).unwrap();
            shop.with("dataset.yaml", CONFIG)
                .with("tx.csv", "when,cid,aid\n2024-01-01,u,i\n")
                .with("items.csv", "aid\ni\n")
                .with("encoder/config.json", "{}")
                .with("encoder/README.md", "what it is")
        }

        fn with(self, file: &str, content: &str) -> Self {
            fs::write(self.0.path().join(file), content).unwrap();
            self
        }

        async fn fingerprint(&self) -> String {
            let folder = self.0.path();
            let config = DatasetConfig::read(&folder.join("dataset.yaml")).unwrap();
            let files = ShopFiles::find(&config, &Url::from_directory_path(folder).unwrap())
                .await
                .unwrap();
            let data = of_data(&files, false).unwrap();
            fingerprint(&config, &data, Some(&folder.join("encoder"))).unwrap()
        }
    }

    #[tokio::test]
    async fn a_run_is_named_by_what_it_reads_and_not_by_where_that_lies() {
        let named = Shop::new().fingerprint().await;
        let elsewhere = Shop::new()
            .with("renamed.csv", "when,cid,aid\n2024-01-01,u,i\n")
            .with("dataset.yaml", &CONFIG.replace("tx.csv", "renamed.csv"))
            .with("encoder/README.md", "what it is, in other words");
        assert_eq!(elsewhere.fingerprint().await, named);
        for (file, content) in [
            ("tx.csv", "when,cid,aid\n2024-01-02,u,i\n"),
            ("items.csv", "aid\ni\nj\n"),
            ("encoder/config.json", "{ }"),
            ("dataset.yaml", &CONFIG.replace("05-20", "05-21")),
        ] {
            let changed = Shop::new().with(file, content);
            assert_ne!(changed.fingerprint().await, named, "{file}");
        }
    }
}
