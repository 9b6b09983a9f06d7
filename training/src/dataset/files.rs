//! Where the shop's files are, and what they hold.
//!
//! A table is one file, or a folder of parts. Files of this machine are read where they are; those of an
//! object store are fetched first, with the settings and credentials that bundles are published with. What a
//! run read is named by the content of its files and never by their places.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use gondola_artifacts::{Access, Store, StoreError};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path as ObjectPath};
use sha2::{Digest, Sha256};
use url::Url;

use super::format::Format;

/// Bytes that are hashed at a time.
const HASHED_AT_A_TIME: usize = 1 << 16;

/// Why a table's files can't be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A name that says nothing of the format.
    #[error("{file} ends neither in .parquet nor in .csv; convert it to one of the two")]
    Format {
        /// The file, as messages name it.
        file: String,
    },
    /// The data's URL names no folder of this machine.
    #[error("the URL {url} is not a folder on this machine; write an absolute path after file://")]
    Url {
        /// The URL.
        url: String,
    },
    /// A file can't be read.
    #[error("cannot read {file}")]
    Read {
        /// The file, as messages name it.
        file: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A folder without anything to read.
    #[error("{file} is a folder without files that end in .{ending}; put the parts of the table there")]
    NoParts {
        /// Which folder.
        file: String,
        /// What their names should end in.
        ending: &'static str,
    },
    /// The object store can't be opened.
    #[error("cannot read the data")]
    Store(#[source] StoreError),
    /// A file that the object store doesn't have.
    #[error("there is no {file} in {store}; name a file below the URL of the data")]
    Missing {
        /// The file, as messages name it.
        file: String,
        /// The data's URL, without secrets.
        store: String,
    },
    /// A file can't be fetched.
    #[error("cannot fetch {file} from {store}")]
    Fetch {
        /// The file, as messages name it.
        file: String,
        /// The data's URL, without secrets.
        store: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
}

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in messages: relative to the data's folder or URL.
    pub name: String,
    /// Where it is on this machine.
    pub path: PathBuf,
}

/// The files of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFiles {
    /// Its name in the configuration.
    pub name: String,
    /// What its parts are written as.
    pub format: Format,
    /// Its parts, in the order of their names.
    pub parts: Vec<Part>,
}

impl TableFiles {
    /// Finds the files of the table `file` below `data`; those of an object store are fetched into `folder`.
    pub async fn find(data: &Url, file: &str, access: &Access, folder: &Path) -> Result<Self, FileError> {
        let format = Format::of(file).ok_or_else(|| FileError::Format {
            file: file.to_owned(),
        })?;
        let parts = if data.scheme() == "file" {
            local(data, file, format)?
        } else {
            let store = Store::open_with(data.as_str(), access).map_err(FileError::Store)?;
            fetched(&store, file, format, folder).await?
        };
        Ok(Self {
            name: file.to_owned(),
            format,
            parts,
        })
    }

    /// Adds what the files hold to a digest.
    pub fn hash_into(&self, digest: &mut Sha256) -> Result<(), FileError> {
        digest.update((self.parts.len() as u64).to_le_bytes());
        for part in &self.parts {
            hash_file(&part.path, digest).map_err(|source| FileError::Read {
                file: part.name.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Adds a file's length and bytes to a digest.
pub fn hash_file(path: &Path, digest: &mut Sha256) -> io::Result<()> {
    let mut file = File::open(path)?;
    digest.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; HASHED_AT_A_TIME];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => digest.update(&buffer[..count]),
        }
    }
}

fn local(data: &Url, file: &str, format: Format) -> Result<Vec<Part>, FileError> {
    let folder = data.to_file_path().map_err(|()| FileError::Url {
        url: data.to_string(),
    })?;
    let path = folder.join(file);
    let read = |source| FileError::Read {
        file: path.display().to_string(),
        source,
    };
    if !fs::metadata(&path).map_err(read)?.is_dir() {
        let name = file.to_owned();
        return Ok(vec![Part { name, path }]);
    }
    let mut paths = Vec::new();
    walk(&path, format, &mut paths).map_err(read)?;
    paths.sort();
    let parts: Vec<Part> = paths
        .into_iter()
        .map(|path| Part {
            name: path.strip_prefix(&folder).unwrap_or(&path).display().to_string(),
            path,
        })
        .collect();
    some(parts, file, format)
}

/// The files of a format below a folder. What begins with a dot or an underscore was left there by the
/// program that wrote the others.
fn walk(folder: &Path, format: Format, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if is_hidden(&name.to_string_lossy()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, format, found)?;
        } else if path.extension().is_some_and(|ending| ending == format.ending()) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn some(parts: Vec<Part>, file: &str, format: Format) -> Result<Vec<Part>, FileError> {
    if parts.is_empty() {
        return Err(FileError::NoParts {
            file: file.to_owned(),
            ending: format.ending(),
        });
    }
    Ok(parts)
}

async fn fetched(store: &Store, file: &str, format: Format, folder: &Path) -> Result<Vec<Part>, FileError> {
    let objects = store.objects();
    let fetch = |source| FileError::Fetch {
        file: file.to_owned(),
        store: store.url().to_owned(),
        source,
    };
    let whole = store.path(file);
    let places = match objects.head(&whole).await {
        Ok(_) => vec![whole.clone()],
        Err(object_store::Error::NotFound { .. }) => below(objects, &whole, format).await.map_err(fetch)?,
        Err(error) => return Err(fetch(error)),
    };
    if places.is_empty() {
        return Err(FileError::Missing {
            file: file.to_owned(),
            store: store.url().to_owned(),
        });
    }
    let mut parts = Vec::with_capacity(places.len());
    for (number, place) in places.iter().enumerate() {
        let inside = place.as_ref().strip_prefix(whole.as_ref()).unwrap_or_default();
        let part = Part {
            name: format!("{file}{inside}"),
            path: folder.join(format!("{number}.{}", format.ending())),
        };
        copy(objects, place, &part.path).await.map_err(fetch)?;
        parts.push(part);
    }
    Ok(parts)
}

/// The parts of a table that is a folder, as [`walk`] finds them; none where there is no such folder.
async fn below(
    objects: &dyn ObjectStore,
    folder: &ObjectPath,
    format: Format,
) -> Result<Vec<ObjectPath>, object_store::Error> {
    let listed: Vec<_> = objects.list(Some(folder)).try_collect().await?;
    let is_part = |place: &ObjectPath| {
        let mut inside = place.prefix_match(folder).into_iter().flatten();
        place.extension() == Some(format.ending()) && !inside.any(|part| is_hidden(part.as_ref()))
    };
    let mut places: Vec<ObjectPath> = listed.into_iter().map(|object| object.location).collect();
    places.retain(is_part);
    places.sort();
    Ok(places)
}

async fn copy(objects: &dyn ObjectStore, from: &ObjectPath, to: &Path) -> Result<(), object_store::Error> {
    let written = |source: io::Error| object_store::Error::Generic {
        store: "this machine's folder for temporary files",
        source: Box::new(source),
    };
    let mut file = File::create(to).map_err(written)?;
    let mut pieces = objects.get(from).await?.into_stream();
    while let Some(piece) = pieces.try_next().await? {
        file.write_all(&piece).map_err(written)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    async fn store(files: &[(&str, &str)]) -> Store {
        let objects = InMemory::new();
        for (place, content) in files {
            let content = content.as_bytes().to_vec();
            objects.put(&(*place).into(), content.into()).await.unwrap();
        }
        Store::new(Arc::new(objects), "shop".into())
    }

    async fn read(store: &Store, file: &str, format: Format) -> Result<Vec<(String, String)>, FileError> {
        let folder = tempfile::tempdir().unwrap();
        let parts = fetched(store, file, format, folder.path()).await?;
        let content = |part: &Part| fs::read_to_string(&part.path).unwrap();
        Ok(parts
            .iter()
            .map(|part| (part.name.clone(), content(part)))
            .collect())
    }

    #[tokio::test]
    async fn a_table_of_an_object_store_is_fetched_whole() {
        let store = store(&[
            ("shop/tx.csv", "one"),
            ("shop/items.parquet/b.parquet", "two"),
            ("shop/items.parquet/a/part-0.parquet", "three"),
            ("shop/items.parquet/_SUCCESS", ""),
            ("shop/items.parquet/_tmp/c.parquet", "half"),
            ("shop/items.parquet2/d.parquet", "another table"),
        ])
        .await;
        let part = |name: &str, content: &str| (name.to_owned(), content.to_owned());
        assert_eq!(
            read(&store, "tx.csv", Format::Csv).await.unwrap(),
            [part("tx.csv", "one")]
        );
        assert_eq!(
            read(&store, "items.parquet", Format::Parquet).await.unwrap(),
            [
                part("items.parquet/a/part-0.parquet", "three"),
                part("items.parquet/b.parquet", "two"),
            ]
        );
    }

    #[tokio::test]
    async fn a_file_that_an_object_store_lacks_is_named() {
        let store = store(&[("shop/tx.csv", "one")]).await;
        let message = read(&store, "users.csv", Format::Csv)
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!("there is no users.csv in {store}; name a file below the URL of the data")
        );
    }

    #[tokio::test]
    async fn an_object_store_that_cannot_be_opened_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::parse("ftp://host/shop").unwrap();
        let error = TableFiles::find(&url, "tx.csv", &Access::default(), folder.path())
            .await
            .unwrap_err();
        assert_eq!(
            gondola_causes::with_causes(&error),
            "cannot read the data: this program has no store for ftp://host/shop; it was built with file://, memory://, s3://, gs://, \
             az://, https://"
        );
    }
}
