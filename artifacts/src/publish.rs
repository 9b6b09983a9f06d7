//! A folder becomes a bundle; a channel moves.
//!
//! A bundle's version is a digest of its content, so publishing the same content twice gives one bundle, and uploads nothing
//! the second time. The manifest goes last and only where none is: until then there is no bundle, and afterwards it never
//! changes.
//!
//! A channel moves with a compare-and-swap: of two publishers that move it at the same moment, one gets the error that the other was
//! first. Object stores do this by a conditional put. A file system has no such call; there, a lock file beside the channel
//! is created (only one can), the channel is read again, and replaced by a rename. A publisher that dies in between leaves the
//! lock, and the next publisher's error names the file to delete.

mod channel;
mod upload;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use object_store::PutMode;

pub use channel::{ChannelError, ChannelMove, set_channel};
use upload::upload;

use crate::contract::Contract;
use crate::digest::{Digest, Hasher};
use crate::kind::Kind;
use crate::manifest::{self, BundleFile, FORMAT_VERSION, Manifest, ManifestError};
use crate::reference::{ReferenceError, check_name};
use crate::store::{Store, StoreError};

/// How many digits of the content's digest make a version.
const VERSION_DIGITS: usize = 12;
/// The longest pointer of git-lfs, in bytes.
const MAX_POINTER: u64 = 1024;

/// What a publisher says of a folder.
#[derive(Clone, Debug)]
pub struct BundleDescription {
    /// The bundle's name.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// What it was built with.
    pub contract: Contract,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version that the content gives.
    pub version: String,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// Why a folder can't be published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The name can't be one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// The contract lacks what its kind needs.
    #[error("a {kind} bundle's contract needs {field}, which {name} lacks")]
    ContractLacks {
        /// The bundle.
        name: String,
        /// Its kind.
        kind: Kind,
        /// What is missing.
        field: &'static str,
    },
    /// The folder or a file in it can't be read.
    #[error("{} can't be read", .path.display())]
    Folder {
        /// What can't be read.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Something in the folder is neither a plain file nor a folder.
    #[error("{} is neither a file nor a folder; a bundle consists of plain files", .path.display())]
    NotPlain {
        /// What it is about.
        path: PathBuf,
    },
    /// A file is what git-lfs has in a working copy until the content is fetched.
    #[error("{} is a pointer of git-lfs, not the file that it points to; fetch the file with `git lfs pull`", .path.display())]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file's name isn't UTF-8.
    #[error("{} has a name that isn't UTF-8; rename it", .path.display())]
    NotUtf8 {
        /// What it is about.
        path: PathBuf,
    },
    /// The folder has what a manifest can't hold.
    #[error("{} can't become a bundle", .folder.display())]
    Bounds {
        /// The folder.
        folder: PathBuf,
        /// Which bound.
        #[source]
        source: ManifestError,
    },
    /// A file changed while it was read.
    #[error("{} changed while it was published; wait until nothing writes to the folder and publish again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The store failed.
    #[error("{name} can't be published")]
    Store {
        /// The bundle.
        name: String,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// There is a manifest for this version already, and it is another's.
    #[error(
        "{name}/{version} is in {store} already, with a manifest that isn't the one of this content; delete that version and publish again"
    )]
    Differs {
        /// The bundle.
        name: String,
        /// The version.
        version: String,
        /// The store, as messages name it.
        store: String,
    },
}

/// Makes a bundle of the files in `folder`.
pub async fn publish(
    store: &Store,
    folder: &Path,
    description: &BundleDescription,
) -> Result<Published, PublishError> {
    let name = &description.name;
    check_name(name)?;
    if let Some(field) = description.contract.lacks(description.kind) {
        return Err(PublishError::ContractLacks {
            name: name.clone(),
            kind: description.kind,
            field,
        });
    }
    let files = files_of(folder).await?;
    let created = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true);
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        name: name.clone(),
        version: version_of(&files, description),
        kind: description.kind,
        created,
        files,
        contract: description.contract.clone(),
    };
    let bounds = |source| PublishError::Bounds {
        folder: folder.to_owned(),
        source,
    };
    manifest.validate().map_err(bounds)?;
    let bytes = serde_json::to_vec_pretty(&manifest).expect("a manifest is always JSON");
    if bytes.len() as u64 > manifest::MAX_BYTES {
        return Err(bounds(ManifestError::Long {
            found: bytes.len() as u64,
        }));
    }

    if let Some(published) = already_there(store, &manifest).await? {
        tracing::info!(%name, version = published.version, "nothing new to publish");
        return Ok(published);
    }
    upload(store, folder, &manifest).await?;
    let path = store.manifest(name, &manifest.version);
    let digest = Digest::of(&bytes);
    match store.put(&path, bytes.into(), PutMode::Create).await {
        Ok(()) => {
            tracing::info!(%name, version = manifest.version, %digest, "published");
            Ok(Published {
                version: manifest.version,
                digest,
            })
        }
        // Another publisher of the same content was first.
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            already_there(store, &manifest)
                .await?
                .ok_or_else(|| differs(store, &manifest))
        }
        Err(source) => Err(PublishError::Store {
            name: name.clone(),
            source: store.write_error(&path, source),
        }),
    }
}

/// The bundle with the content of `ours`, if it has been published.
async fn already_there(store: &Store, ours: &Manifest) -> Result<Option<Published>, PublishError> {
    let path = store.manifest(&ours.name, &ours.version);
    let failed = |source| PublishError::Store {
        name: ours.name.clone(),
        source,
    };
    let Some((bytes, _)) = store.read(&path, manifest::MAX_BYTES).await.map_err(failed)? else {
        return Ok(None);
    };
    let same = Manifest::parse(&bytes).is_ok_and(|theirs| {
        Manifest {
            created: ours.created.clone(),
            ..theirs
        } == *ours
    });
    if !same {
        return Err(differs(store, ours));
    }
    Ok(Some(Published {
        version: ours.version.clone(),
        digest: Digest::of(&bytes),
    }))
}

fn differs(store: &Store, ours: &Manifest) -> PublishError {
    PublishError::Differs {
        name: ours.name.clone(),
        version: ours.version.clone(),
        store: store.to_string(),
    }
}

fn version_of(files: &[BundleFile], description: &BundleDescription) -> String {
    let content = serde_json::to_vec(&(description.kind, files, &description.contract));
    let digest = Digest::of(&content.expect("kinds, files and contracts are always JSON"));
    digest.hex()[..VERSION_DIGITS].to_owned()
}

/// Every file in `folder`, sorted by path, with its size and digest.
async fn files_of(folder: &Path) -> Result<Vec<BundleFile>, PublishError> {
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        walk(&folder, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    })
    .await
    .expect("walking a folder doesn't panic, and nobody aborts it")
}

fn walk(folder: &Path, inside: &str, files: &mut Vec<BundleFile>) -> Result<(), PublishError> {
    let failed = |path: &Path, source| PublishError::Folder {
        path: path.to_owned(),
        source,
    };
    for entry in std::fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        let file_name = file_name.ok_or_else(|| PublishError::NotUtf8 { path: path.clone() })?;
        let relative = if inside.is_empty() {
            file_name.to_owned()
        } else {
            format!("{inside}/{file_name}")
        };
        // A link to a file is as good as the file; a link to a folder could lead round in circles.
        if path
            .symlink_metadata()
            .map_err(|source| failed(&path, source))?
            .is_dir()
        {
            walk(&path, &relative, files)?;
        } else if path.metadata().map_err(|source| failed(&path, source))?.is_file() {
            manifest::check_path(&relative).map_err(|source| PublishError::Bounds {
                folder: folder.to_owned(),
                source,
            })?;
            let mut file = std::fs::File::open(&path).map_err(|source| failed(&path, source))?;
            let mut hasher = Hasher::default();
            let size = hasher
                .read_all(&mut file)
                .map_err(|source| failed(&path, source))?;
            if size <= MAX_POINTER && is_lfs_pointer(&path).map_err(|source| failed(&path, source))? {
                return Err(PublishError::LfsPointer { path });
            }
            files.push(BundleFile {
                path: relative,
                size,
                sha256: hasher.digest(),
            });
        } else {
            return Err(PublishError::NotPlain { path });
        }
    }
    Ok(())
}

fn is_lfs_pointer(path: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read(path)?.starts_with(b"version https://git-lfs.github.com/spec/"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{Watched, chain, folder, stores};

    #[tokio::test]
    async fn a_pointer_of_git_lfs_is_not_published() {
        let (files, description) = folder(
            "two-tower",
            Kind::Retrieval,
            &[("index.faiss", b"IxFI"), ("items.json", b"[]")],
        );
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        std::fs::write(files.path().join("index.faiss"), pointer).unwrap();
        let (store, _kept) = &stores()[0];
        let error = publish(store, files.path(), &description).await.unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("index.faiss is a pointer of git-lfs"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn the_same_content_is_one_bundle_and_is_uploaded_once() {
        let watched = Arc::new(Watched::default());
        let (files, description) = folder(
            "dlrm",
            Kind::Scorer,
            &[("scorer.json", b"{}"), ("deep/er/model", b"m")],
        );
        let first = publish(&watched.store(), files.path(), &description)
            .await
            .unwrap();
        assert_eq!(watched.puts.swap(0, Ordering::SeqCst), 3);
        let second = publish(&watched.store(), files.path(), &description)
            .await
            .unwrap();
        assert_eq!((watched.puts.load(Ordering::SeqCst), &second), (0, &first));
    }

    #[tokio::test]
    async fn other_content_or_another_contract_is_another_version() {
        let store = Store::open("memory:///").unwrap();
        let (files, mut description) = folder("dlrm", Kind::Scorer, &[("scorer.json", b"{}")]);
        let first = publish(&store, files.path(), &description).await.unwrap();
        std::fs::write(files.path().join("scorer.json"), b"{ }").unwrap();
        let second = publish(&store, files.path(), &description).await.unwrap();
        description.contract.inputs = Some(vec!["item.price".into()]);
        let third = publish(&store, files.path(), &description).await.unwrap();
        assert_ne!(first.version, second.version);
        assert_ne!(second.version, third.version);
        assert_eq!(first.version.len(), 12);
        assert_eq!(store.versions("dlrm").await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_a_bundle_is_refused() {
        let store = Store::open("memory:///").unwrap();
        let (empty, description) = folder("dlrm", Kind::Scorer, &[]);
        let message = chain(&publish(&store, empty.path(), &description).await.unwrap_err());
        assert_eq!(
            message,
            format!(
                "{} can't become a bundle: the manifest has no files",
                empty.path().display()
            )
        );

        let (files, mut description) = folder("dlrm", Kind::Scorer, &[("manifest.json", b"{}")]);
        let message = chain(&publish(&store, files.path(), &description).await.unwrap_err());
        assert!(
            message.contains("\"manifest.json\", which is the manifest itself"),
            "{message}"
        );

        description.contract.inputs = None;
        let message = chain(&publish(&store, files.path(), &description).await.unwrap_err());
        assert_eq!(
            message,
            "a scorer bundle's contract needs inputs, which dlrm lacks"
        );

        let missing = files.path().join("missing");
        let (_, description) = folder("dlrm", Kind::Scorer, &[]);
        let message = chain(&publish(&store, &missing, &description).await.unwrap_err());
        assert!(
            message.starts_with(&format!("{} can't be read: No such file", missing.display())),
            "{message}"
        );
    }

    #[tokio::test]
    async fn a_version_with_another_manifest_is_never_replaced() {
        for (store, _folder) in stores() {
            let (files, description) = folder("dlrm", Kind::Scorer, &[("a", b"1")]);
            let version = publish(&store, files.path(), &description).await.unwrap().version;
            let path = store.manifest("dlrm", &version);
            store.put(&path, "{}".into(), PutMode::Overwrite).await.unwrap();
            let message = chain(&publish(&store, files.path(), &description).await.unwrap_err());
            assert_eq!(
                message,
                format!(
                    "dlrm/{version} is in {store} already, with a manifest that isn't the one of this content; delete that version and publish again"
                )
            );
        }
    }
}
