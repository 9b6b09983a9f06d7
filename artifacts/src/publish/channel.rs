//! Moving a channel.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutMode, UpdateVersion};

use crate::manifest;
use crate::reference::{Reference, ReferenceError};
use crate::resolve::{ChannelFile, MAX_CHANNEL_BYTES, ResolveError, resolve};
use crate::store::{Store, StoreError};

/// A lock is held for the time of one read and one write.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How a channel moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMove {
    /// The version that it pointed to; none for a new channel.
    pub from: Option<String>,
    /// The version that it points to now.
    pub to: String,
}

/// Why a channel can't be moved.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The name, channel or version can't be one.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// There is nothing to point to.
    #[error("{channel} can't be pointed to version {version}")]
    Version {
        /// The channel.
        channel: Reference,
        /// The version.
        version: String,
        /// The cause.
        #[source]
        source: Box<ResolveError>,
    },
    /// Someone else moved it at the same moment.
    #[error(
        "{channel} was moved by someone else in the meantime; look at where it points now, and set it again"
    )]
    Moved {
        /// The channel.
        channel: Reference,
    },
    /// Someone else is moving it, or died while doing so.
    #[error(
        "{channel} is locked by {lock} in {store} ({holder}); if nothing is publishing now, delete that file"
    )]
    Locked {
        /// The channel.
        channel: Reference,
        /// The lock.
        lock: Path,
        /// The store, as messages name it.
        store: String,
        /// Who says that they hold it.
        holder: String,
    },
    /// The store failed.
    #[error("{channel} can't be set")]
    Store {
        /// The channel.
        channel: Reference,
        /// What the store says.
        #[source]
        source: StoreError,
    },
}

/// Points a channel to a version that is there, unless someone else moves the channel at the same moment.
pub async fn set_channel(
    store: &Store,
    name: &str,
    channel: &str,
    version: &str,
) -> Result<ChannelMove, ChannelError> {
    let reference = Reference::channel(name, channel)?;
    let target = resolve(store, &Reference::version(name, version)?)
        .await
        .map_err(|source| {
            let source = Box::new(source);
            ChannelError::Version {
                channel: reference.clone(),
                version: version.to_owned(),
                source,
            }
        })?;
    let file = ChannelFile {
        version: version.to_owned(),
        digest: target.digest,
    };
    let bytes = serde_json::to_vec(&file).expect("a channel's file is always JSON");
    Mover {
        store,
        path: store.channel(name, channel),
        reference,
        file,
        bytes: bytes.into(),
    }
    .set()
    .await
}

struct Mover<'a> {
    store: &'a Store,
    path: Path,
    reference: Reference,
    file: ChannelFile,
    bytes: Bytes,
}

impl Mover<'_> {
    async fn set(&self) -> Result<ChannelMove, ChannelError> {
        let found = self.read().await?;
        let from = found.as_ref().and_then(|(bytes, _)| version_in(bytes));
        let done = ChannelMove {
            from,
            to: self.file.version.clone(),
        };
        let Some((before, seen)) = found else {
            return match self
                .store
                .put(&self.path, self.bytes.clone(), PutMode::Create)
                .await
            {
                Ok(()) => Ok(done),
                Err(source) => Err(self.put_error(source)),
            };
        };
        if before == self.bytes {
            return Ok(done);
        }
        match self
            .store
            .put(&self.path, self.bytes.clone(), PutMode::Update(seen))
            .await
        {
            Ok(()) => Ok(done),
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                self.replace_under_lock(&before).await.map(|()| done)
            }
            Err(source) => Err(self.put_error(source)),
        }
    }

    /// For stores without a conditional put.
    async fn replace_under_lock(&self, before: &Bytes) -> Result<(), ChannelError> {
        let lock = Path::from(format!("{}.lock", self.path));
        self.lock(&lock).await?;
        let replaced = match self.read().await {
            Ok(Some((now, _))) if now == before => {
                let put = self
                    .store
                    .put(&self.path, self.bytes.clone(), PutMode::Overwrite)
                    .await;
                put.map_err(|source| self.put_error(source))
            }
            Ok(_) => Err(ChannelError::Moved {
                channel: self.reference.clone(),
            }),
            Err(error) => Err(error),
        };
        let unlocked = self.store.objects.delete(&lock).await;
        replaced?;
        unlocked.map_err(|source| self.store_error(self.store.write_error(&lock, source)))
    }

    async fn lock(&self, lock: &Path) -> Result<(), ChannelError> {
        let since = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true);
        let holder = format!("process {} since {since}", std::process::id());
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.store.put(lock, holder.clone().into(), PutMode::Create).await {
                Ok(()) => return Ok(()),
                Err(object_store::Error::AlreadyExists { .. }) if Instant::now() < patience => {
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(object_store::Error::AlreadyExists { .. }) => return Err(self.locked(lock).await?),
                Err(source) => return Err(self.store_error(self.store.write_error(lock, source))),
            }
        }
    }

    async fn locked(&self, lock: &Path) -> Result<ChannelError, ChannelError> {
        let read = self
            .store
            .read(lock, manifest::MAX_BYTES)
            .await
            .map_err(|source| self.store_error(source))?;
        let holder = read.map(|(bytes, _)| String::from_utf8_lossy(&bytes).chars().take(200).collect());
        Ok(ChannelError::Locked {
            channel: self.reference.clone(),
            lock: lock.clone(),
            store: self.store.to_string(),
            holder: holder.unwrap_or_else(|| "gone just now".to_owned()),
        })
    }

    async fn read(&self) -> Result<Option<(Bytes, UpdateVersion)>, ChannelError> {
        self.store
            .read(&self.path, MAX_CHANNEL_BYTES)
            .await
            .map_err(|source| self.store_error(source))
    }

    fn put_error(&self, source: object_store::Error) -> ChannelError {
        match source {
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
                ChannelError::Moved {
                    channel: self.reference.clone(),
                }
            }
            source => self.store_error(self.store.write_error(&self.path, source)),
        }
    }

    fn store_error(&self, source: StoreError) -> ChannelError {
        ChannelError::Store {
            channel: self.reference.clone(),
            source,
        }
    }
}

/// The version in a channel's file; a damaged one points nowhere, and setting the channel repairs it.
fn version_in(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice::<ChannelFile>(bytes)
        .ok()
        .map(|file| file.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use crate::testing::{chain, publish_files, stores};

    async fn versions(store: &Store) -> [String; 3] {
        let mut versions = Vec::new();
        for content in [b"1", b"2", b"3"] {
            versions.push(
                publish_files(store, "dlrm", Kind::Scorer, &[("a", content)])
                    .await
                    .version,
            );
        }
        versions.try_into().unwrap()
    }

    #[tokio::test]
    async fn a_channel_moves_from_version_to_version() {
        for (store, _folder) in stores() {
            let [one, two, _] = versions(&store).await;
            let to = |from: Option<&String>, to: &String| ChannelMove {
                from: from.cloned(),
                to: to.clone(),
            };
            assert_eq!(
                set_channel(&store, "dlrm", "stable", &one).await.unwrap(),
                to(None, &one)
            );
            assert_eq!(
                set_channel(&store, "dlrm", "stable", &two).await.unwrap(),
                to(Some(&one), &two)
            );
            assert_eq!(
                set_channel(&store, "dlrm", "stable", &two).await.unwrap(),
                to(Some(&two), &two)
            );
            assert_eq!(
                resolve(&store, &"dlrm@stable".parse().unwrap())
                    .await
                    .unwrap()
                    .version,
                two
            );
            assert_eq!(store.channel_names("dlrm").await.unwrap(), ["stable"]);
        }
    }

    #[tokio::test]
    async fn a_channel_never_points_to_what_is_not_there() {
        for (store, _folder) in stores() {
            let mut known = versions(&store).await;
            known.sort();
            assert_eq!(
                chain(&set_channel(&store, "dlrm", "stable", "v9").await.unwrap_err()),
                format!(
                    "dlrm@stable can't be pointed to version v9: dlrm/v9 names an unknown version: in {store} the bundle has {}",
                    known.join(", ")
                )
            );
        }
    }

    #[tokio::test]
    async fn of_two_that_move_a_channel_at_once_the_later_is_told() {
        for (store, _folder) in stores() {
            let [one, two, three] = versions(&store).await;
            set_channel(&store, "dlrm", "stable", &one).await.unwrap();
            let path = store.channel("dlrm", "stable");
            let (before, seen) = store.read(&path, MAX_CHANNEL_BYTES).await.unwrap().unwrap();
            set_channel(&store, "dlrm", "stable", &two).await.unwrap();

            let late = Mover {
                store: &store,
                path: path.clone(),
                reference: "dlrm@stable".parse().unwrap(),
                file: serde_json::from_slice(&before).unwrap(),
                bytes: three.into(),
            };
            let refused = match late
                .store
                .put(&path, late.bytes.clone(), PutMode::Update(seen))
                .await
            {
                Err(object_store::Error::NotImplemented { .. }) => {
                    late.replace_under_lock(&before).await.unwrap_err()
                }
                put => late.put_error(put.unwrap_err()),
            };
            assert_eq!(
                refused.to_string(),
                "dlrm@stable was moved by someone else in the meantime; look at where it points now, and set it again"
            );
            assert_eq!(
                resolve(&store, &"dlrm@stable".parse().unwrap())
                    .await
                    .unwrap()
                    .version,
                two
            );
        }
    }

    #[tokio::test]
    async fn many_at_once_leave_one_of_their_versions() {
        for (store, _folder) in stores() {
            let versions = versions(&store).await;
            set_channel(&store, "dlrm", "stable", &versions[0]).await.unwrap();
            let movers = (0..12).map(|n| set_channel(&store, "dlrm", "stable", &versions[n % 3]));
            for moved in futures::future::join_all(movers).await {
                assert!(
                    matches!(moved, Ok(_) | Err(ChannelError::Moved { .. })),
                    "{moved:?}"
                );
            }
            assert!(
                versions.contains(
                    &resolve(&store, &"dlrm@stable".parse().unwrap())
                        .await
                        .unwrap()
                        .version
                )
            );
        }
    }

    #[tokio::test]
    async fn a_lock_that_was_left_behind_is_named() {
        let [(store, _folder), _] = stores();
        let [one, two, _] = versions(&store).await;
        set_channel(&store, "dlrm", "stable", &one).await.unwrap();
        let lock = Path::from(format!("{}.lock", store.channel("dlrm", "stable")));
        store
            .put(
                &lock,
                "process 7 since 2026-01-31T12:00:00Z".into(),
                PutMode::Create,
            )
            .await
            .unwrap();
        let message = chain(&set_channel(&store, "dlrm", "stable", &two).await.unwrap_err());
        assert_eq!(
            message,
            format!(
                "dlrm@stable is locked by {lock} in {store} (process 7 since 2026-01-31T12:00:00Z); if nothing is publishing now, delete that file"
            )
        );
        store.objects.delete(&lock).await.unwrap();
        set_channel(&store, "dlrm", "stable", &two).await.unwrap();
    }
}
