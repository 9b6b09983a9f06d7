//! One file on its way from the store to this machine's disk.
//!
//! A file comes in ranges of at most 8 MiB, because an object store's client bounds the time of a whole answer, and a large
//! file in one answer fails on a slow line. Every range requests the object version that the first one saw (`If-Match`). What has
//! arrived is kept in a `.partial` file; after a failure the next fetch hashes it and continues. Memory is bounded by one range a
//! file, and a caller sees the file only after its size and sha256 were checked.
//!
//! Who decides what to fetch and where it goes: [`crate::cache`].

mod partial;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStoreExt as _};

use partial::Partial;

use crate::digest::Digest;
use crate::manifest::BundleFile;
use crate::reference::Reference;
use crate::store::Store;

/// The most bytes of one GET.
pub(crate) const RANGE_BYTES: u64 = 8 << 20;
/// GETs that bring nothing before a fetch gives up.
const FRUITLESS_GETS: u32 = 3;
/// The pause after the first of them; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Why a bundle can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file isn't in the store.
    #[error(
        "{bundle}: {file} is in the manifest, but not at {location} in {store}; delete that version from the store and publish it again"
    )]
    Missing {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// Where it should be.
        location: Path,
        /// The store.
        store: String,
    },
    /// The file has another size.
    #[error(
        "{bundle}: {file} has {found} bytes in {store}, but {expected} in the manifest; delete that version from the store and publish it again"
    )]
    WrongSize {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The size in the manifest.
        expected: u64,
        /// The size in the store.
        found: u64,
        /// The store.
        store: String,
    },
    /// The file has other content.
    #[error(
        "{bundle}: {file} has {found} in {store}, but {expected} in the manifest; delete that version from the store and publish it again"
    )]
    WrongDigest {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The digest in the manifest.
        expected: Digest,
        /// The digest of what arrived.
        found: Digest,
        /// The store.
        store: String,
    },
    /// The file was replaced while it was read.
    #[error("{bundle}: {file} was replaced in {store} while it was fetched; fetch again")]
    Replaced {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The store.
        store: String,
    },
    /// The file can't be read from the store.
    #[error(
        "{bundle}: {file} can't be read from {store} ({arrived} of {size} bytes have arrived and are kept); fetch again to continue"
    )]
    Read {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The bytes that are here.
        arrived: u64,
        /// The bytes that it has.
        size: u64,
        /// The store.
        store: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// The disk is full.
    #[error("{bundle}: the disk of the cache is full at {file}: {missing} of its {size} bytes don't fit at {}; make room there, or choose a folder on another disk", .path.display())]
    DiskFull {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The bytes that could not be written.
        missing: u64,
        /// The bytes that it has.
        size: u64,
        /// The path.
        path: PathBuf,
    },
    /// The file can't be written.
    #[error("{bundle}: {file} can't be written to {}", .path.display())]
    Write {
        /// The bundle.
        bundle: Reference,
        /// The file.
        file: String,
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// The bytes of a bundle that are here, reported to a caller as they arrive.
pub(crate) struct Progress<'a> {
    here: AtomicU64,
    tell: &'a (dyn Fn(u64) + Send + Sync),
}

impl<'a> Progress<'a> {
    pub(crate) fn new(tell: &'a (dyn Fn(u64) + Send + Sync)) -> Self {
        Self {
            here: AtomicU64::new(0),
            tell,
        }
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.here.fetch_add(bytes, Ordering::Relaxed);
        (self.tell)(before + bytes);
    }

    fn take_back(&self, bytes: u64) {
        let before = self.here.fetch_sub(bytes, Ordering::Relaxed);
        (self.tell)(before - bytes);
    }
}

/// One file, where it comes from, and whom to blame.
pub(crate) struct Download<'a> {
    pub(crate) store: &'a Store,
    pub(crate) bundle: &'a Reference,
    pub(crate) version: &'a str,
    pub(crate) file: &'a BundleFile,
    pub(crate) progress: &'a Progress<'a>,
}

impl Download<'_> {
    /// Brings the file to `path`, continuing what is there; after `Ok`, it is whole and on the disk.
    ///
    /// After an error, `path` is gone if what it held is worthless, and can be continued otherwise.
    pub(crate) async fn to(&self, path: PathBuf) -> Result<(), FetchError> {
        let done = self.bring(&path).await;
        let worthless = matches!(
            done,
            Err(FetchError::Missing { .. }
                | FetchError::WrongSize { .. }
                | FetchError::WrongDigest { .. }
                | FetchError::Replaced { .. })
        );
        if worthless {
            match tokio::fs::remove_file(&path).await {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %source, "a useless file can't be removed");
                }
                _ => {}
            }
        }
        done
    }

    async fn bring(&self, path: &std::path::Path) -> Result<(), FetchError> {
        let expected = self.file.sha256;
        let object = self.head().await?;
        let written = |source| self.write_error(path, 0, source);
        let mut partial = Partial::open(path.to_owned(), self.file.size)
            .await
            .map_err(written)?;
        self.progress.add(partial.length());
        let continued = partial.length() > 0;
        self.read_to_end(&object, &mut partial).await?;
        let mut found = partial.digest();
        if found != expected && continued {
            // What an earlier fetch left may be to blame, so the store gets a second chance.
            self.progress.take_back(partial.length());
            partial.restart().await.map_err(written)?;
            self.read_to_end(&object, &mut partial).await?;
            found = partial.digest();
        }
        if found != expected {
            self.progress.take_back(partial.length());
            let (bundle, file, store) = self.names();
            return Err(FetchError::WrongDigest {
                bundle,
                file,
                expected,
                found,
                store,
            });
        }
        partial
            .finish()
            .await
            .map_err(|source| self.write_error(path, self.file.size, source))
    }

    /// The object as it is now; its size is checked before anything is read.
    async fn head(&self) -> Result<ObjectMeta, FetchError> {
        let found = self
            .store
            .objects
            .head(&self.location())
            .await
            .map_err(|source| self.read_error(0, source))?;
        if found.size != self.file.size {
            let (bundle, file, store) = self.names();
            let (expected, found) = (self.file.size, found.size);
            return Err(FetchError::WrongSize {
                bundle,
                file,
                expected,
                found,
                store,
            });
        }
        Ok(found)
    }

    async fn read_to_end(&self, object: &ObjectMeta, partial: &mut Partial) -> Result<(), FetchError> {
        let mut fruitless = 0;
        while partial.length() < self.file.size {
            let before = partial.length();
            let Err(error) = self.read_range(object, partial).await else {
                fruitless = 0;
                continue;
            };
            fruitless = if partial.length() > before {
                0
            } else {
                fruitless + 1
            };
            let passing = matches!(&error, FetchError::Read { source, .. } if may_pass(source));
            if !passing || fruitless == FRUITLESS_GETS {
                return Err(error);
            }
            tracing::debug!(%error, "the download of a range was interrupted");
            tokio::time::sleep(FIRST_PAUSE * (1 << fruitless)).await;
        }
        Ok(())
    }

    async fn read_range(&self, object: &ObjectMeta, partial: &mut Partial) -> Result<(), FetchError> {
        let start = partial.length();
        let end = self.file.size.min(start + RANGE_BYTES);
        let options = GetOptions::new()
            .with_range(Some(start..end))
            .with_if_match(object.e_tag.clone());
        let failed = |arrived, source| self.read_error(arrived, source);
        let answer = self
            .store
            .objects
            .get_opts(&self.location(), options)
            .await
            .map_err(|source| failed(start, source))?;
        if answer.range.start != start {
            let source = format!(
                "asked for bytes from {start}, and the answer begins at {}",
                answer.range.start
            );
            return Err(failed(
                start,
                object_store::Error::Generic {
                    store: "range",
                    source: source.into(),
                },
            ));
        }
        // A local file comes in one read: its stream would hop to another thread for every 8 KiB.
        let mut pieces: BoxStream<'_, object_store::Result<Bytes>> = match answer.payload {
            GetResultPayload::Stream(pieces) => pieces,
            payload => {
                let answer = object_store::GetResult { payload, ..answer };
                stream::once(answer.bytes()).boxed()
            }
        };
        while let Some(piece) = pieces.next().await {
            let mut piece = piece.map_err(|source| failed(partial.length(), source))?;
            // An answer that is longer than requested doesn't reach the disk.
            piece.truncate(usize::try_from(end - partial.length()).unwrap_or(usize::MAX));
            let count = piece.len() as u64;
            let at = partial.length();
            partial
                .write(&piece)
                .await
                .map_err(|source| self.write_error(partial.path(), at, source))?;
            self.progress.add(count);
        }
        if partial.length() < end {
            let source = format!(
                "asked for bytes {start} to {end}, and the answer ended at {}",
                partial.length()
            );
            let source = object_store::Error::Generic {
                store: "range",
                source: source.into(),
            };
            return Err(failed(partial.length(), source));
        }
        Ok(())
    }

    fn location(&self) -> Path {
        self.store.file(self.bundle.name(), self.version, &self.file.path)
    }

    fn names(&self) -> (Reference, String, String) {
        (
            self.bundle.clone(),
            self.file.path.clone(),
            self.store.to_string(),
        )
    }

    fn read_error(&self, arrived: u64, source: object_store::Error) -> FetchError {
        let (bundle, file, store) = self.names();
        match source {
            object_store::Error::NotFound { .. } => FetchError::Missing {
                bundle,
                file,
                location: self.location(),
                store,
            },
            object_store::Error::Precondition { .. } => FetchError::Replaced { bundle, file, store },
            source => FetchError::Read {
                bundle,
                file,
                arrived,
                size: self.file.size,
                store,
                source,
            },
        }
    }

    fn write_error(&self, path: &std::path::Path, written: u64, source: io::Error) -> FetchError {
        write_error(
            self.bundle,
            &self.file.path,
            path,
            self.file.size,
            written,
            source,
        )
    }
}

/// Whether the same request may succeed a moment later.
fn may_pass(error: &object_store::Error) -> bool {
    matches!(
        error,
        object_store::Error::Generic { .. } | object_store::Error::JoinError { .. }
    )
}

/// Tells a full disk from other failures to write.
pub(crate) fn write_error(
    bundle: &Reference,
    file: &str,
    path: &std::path::Path,
    size: u64,
    written: u64,
    source: io::Error,
) -> FetchError {
    let (bundle, file, path) = (bundle.clone(), file.to_owned(), path.to_owned());
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FetchError::DiskFull {
            bundle,
            file,
            missing: size.saturating_sub(written),
            size,
            path,
        },
        _ => FetchError::Write {
            bundle,
            file,
            path,
            source,
        },
    }
}
