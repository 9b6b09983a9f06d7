//! From a reference to a checked manifest.
//!
//! A reference that leads nowhere is answered with what exists, so that a typing error is seen at a glance.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::kind::Kind;
use crate::manifest::{self, Manifest, ManifestError};
use crate::reference::{Reference, ReferenceError, Target};
use crate::store::{Store, StoreError};
use crate::together::{ContractError, check_kind, check_together};

/// The longest channel file.
pub(crate) const MAX_CHANNEL_BYTES: u64 = 64 << 10;
/// How many names a message lists.
const NAMES_IN_A_MESSAGE: usize = 10;

/// What a reference leads to now.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The requested reference.
    pub reference: Reference,
    /// The version that it leads to.
    pub version: String,
    /// The digest of that version's manifest, and so of every byte of the bundle.
    pub digest: Digest,
    /// The manifest, checked.
    pub manifest: Manifest,
    /// As it was read, for the copy in the bundle's folder.
    pub(crate) manifest_bytes: Bytes,
}

impl Resolved {
    /// Refuses a bundle of another kind.
    pub fn require(&self, kind: Kind) -> Result<(), ContractError> {
        check_kind(&self.reference, &self.manifest, kind)
    }
}

/// What a channel's file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelFile {
    pub(crate) version: String,
    /// The digest of that version's manifest when the channel was pointed at it.
    pub(crate) digest: Digest,
}

/// Why a reference leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No such bundle.
    #[error("{reference} names an unknown bundle: {store} has {}", list(.known, "no bundles"))]
    UnknownBundle {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// The bundles that are there.
        known: Vec<String>,
    },
    /// No such channel.
    #[error("{reference} names an unknown channel: in {store} the bundle has {}", list(.known, "no channels"))]
    UnknownChannel {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// The channels that are there.
        known: Vec<String>,
    },
    /// No such version, or one that was never finished.
    #[error("{reference} names an unknown version: in {store} the bundle has {}", list(.known, "no version with a manifest"))]
    UnknownVersion {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// The versions that are there.
        known: Vec<String>,
    },
    /// The channel points to a version that is gone.
    #[error("{reference} points to version {version}, which has no manifest in {store}; point the channel to {}", list(.known, "a version that you publish again"))]
    Dangling {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// Where the channel points.
        version: String,
        /// The versions that are there.
        known: Vec<String>,
    },
    /// The channel's file is damaged.
    #[error("the channel file of {reference} in {store} can't be read as JSON; set the channel again")]
    Channel {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// The channel's file names a version that can't be one.
    #[error("the channel file of {reference} in {store} names no version; set the channel again")]
    ChannelVersion {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
    /// The manifest was changed after the channel was pointed at it.
    #[error(
        "{reference} points to manifest {expected}, but version {version} in {store} has {found}; it was changed after it was published; delete that version, publish it again and set the channel"
    )]
    Altered {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// Where the channel points.
        version: String,
        /// The digest that the channel has.
        expected: Digest,
        /// The manifest's digest.
        found: Digest,
    },
    /// The manifest is refused.
    #[error("{reference}: its manifest in {store} is refused")]
    Manifest {
        /// The requested reference.
        reference: Reference,
        /// The store, as messages name it.
        store: String,
        /// The cause.
        #[source]
        source: ManifestError,
    },
    /// The manifest is another bundle's.
    #[error(
        "{reference}: the manifest stored there belongs to {found}; delete that version from the store and publish it again"
    )]
    Misplaced {
        /// The requested reference.
        reference: Reference,
        /// What the manifest says.
        found: String,
    },
    /// The store can't be read.
    #[error("{reference} can't be resolved")]
    Store {
        /// The requested reference.
        reference: Reference,
        /// What the store says.
        #[source]
        source: StoreError,
    },
}

/// Why a set of references can't be served.
#[derive(Debug, thiserror::Error)]
pub enum TogetherError {
    /// One of them leads nowhere.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// They don't belong together.
    #[error(transparent)]
    Contract(#[from] ContractError),
}

/// Looks up what `reference` leads to now.
pub async fn resolve(store: &Store, reference: &Reference) -> Result<Resolved, ResolveError> {
    Resolver { store, reference }.resolve().await
}

/// Looks up every reference, and refuses the set if it can't be served together.
pub async fn resolve_together(
    store: &Store,
    references: &[Reference],
) -> Result<Vec<Resolved>, TogetherError> {
    let found =
        futures::future::try_join_all(references.iter().map(|reference| resolve(store, reference))).await?;
    let set: Vec<_> = found
        .iter()
        .map(|bundle| (bundle.reference.clone(), &bundle.manifest))
        .collect();
    check_together(&set)?;
    Ok(found)
}

struct Resolver<'a> {
    store: &'a Store,
    reference: &'a Reference,
}

impl Resolver<'_> {
    async fn resolve(&self) -> Result<Resolved, ResolveError> {
        let (version, expected) = match self.reference.target() {
            Target::Version(version) => (version.clone(), None),
            Target::Channel(channel) => {
                let file = self.channel(channel).await?;
                (file.version, Some(file.digest))
            }
        };
        let path = self.store.manifest(self.reference.name(), &version);
        let read = self
            .store
            .read(&path, manifest::MAX_BYTES)
            .await
            .map_err(|source| self.store_error(source))?;
        let Some((bytes, _)) = read else {
            return Err(self.without_manifest(version).await?);
        };
        let found = Digest::of(&bytes);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            let (reference, store) = self.place();
            return Err(ResolveError::Altered {
                reference,
                store,
                version,
                expected,
                found,
            });
        }
        let manifest = Manifest::parse(&bytes).map_err(|source| {
            let (reference, store) = self.place();
            ResolveError::Manifest {
                reference,
                store,
                source,
            }
        })?;
        if (manifest.name.as_str(), &manifest.version) != (self.reference.name(), &version) {
            let found = format!("{}/{}", manifest.name, manifest.version);
            return Err(ResolveError::Misplaced {
                reference: self.reference.clone(),
                found,
            });
        }
        Ok(Resolved {
            reference: self.reference.clone(),
            version,
            digest: found,
            manifest,
            manifest_bytes: bytes,
        })
    }

    async fn channel(&self, channel: &str) -> Result<ChannelFile, ResolveError> {
        let path = self.store.channel(self.reference.name(), channel);
        let read = self
            .store
            .read(&path, MAX_CHANNEL_BYTES)
            .await
            .map_err(|source| self.store_error(source))?;
        let (reference, store) = self.place();
        let Some((bytes, _)) = read else {
            self.check_bundle_is_there().await?;
            let known = self.store.channel_names(reference.name()).await;
            let known = known.map_err(|source| self.store_error(source))?;
            return Err(ResolveError::UnknownChannel {
                reference,
                store,
                known,
            });
        };
        let file: ChannelFile = match serde_json::from_slice(&bytes) {
            Ok(file) => file,
            Err(source) => {
                return Err(ResolveError::Channel {
                    reference,
                    store,
                    source,
                });
            }
        };
        match Reference::version(reference.name(), &file.version) {
            Ok(_) => Ok(file),
            Err(source) => Err(ResolveError::ChannelVersion {
                reference,
                store,
                source,
            }),
        }
    }

    /// What to say where there is no manifest.
    async fn without_manifest(&self, version: String) -> Result<ResolveError, ResolveError> {
        self.check_bundle_is_there().await?;
        let (reference, store) = self.place();
        let known = self
            .store
            .versions(reference.name())
            .await
            .map_err(|source| self.store_error(source))?;
        Ok(match reference.target() {
            Target::Version(_) => ResolveError::UnknownVersion {
                reference,
                store,
                known,
            },
            Target::Channel(_) => ResolveError::Dangling {
                reference,
                store,
                version,
                known,
            },
        })
    }

    async fn check_bundle_is_there(&self) -> Result<(), ResolveError> {
        let known = self
            .store
            .bundles()
            .await
            .map_err(|source| self.store_error(source))?;
        if known.iter().any(|name| name == self.reference.name()) {
            return Ok(());
        }
        let (reference, store) = self.place();
        Err(ResolveError::UnknownBundle {
            reference,
            store,
            known,
        })
    }

    fn place(&self) -> (Reference, String) {
        (self.reference.clone(), self.store.to_string())
    }

    fn store_error(&self, source: StoreError) -> ResolveError {
        ResolveError::Store {
            reference: self.reference.clone(),
            source,
        }
    }
}

/// Some names for a message, or `none`.
fn list(names: &[String], none: &str) -> String {
    match names.len() {
        0 => none.to_owned(),
        1..=NAMES_IN_A_MESSAGE => names.join(", "),
        many => format!(
            "{} and {} more",
            names[..NAMES_IN_A_MESSAGE].join(", "),
            many - NAMES_IN_A_MESSAGE
        ),
    }
}

#[cfg(test)]
mod tests {
    use object_store::PutMode;

    use super::*;
    use crate::publish::set_channel;
    use crate::testing::{chain, publish_files, stores};

    async fn refusal(store: &Store, reference: &str) -> String {
        chain(&resolve(store, &reference.parse().unwrap()).await.unwrap_err())
    }

    #[tokio::test]
    async fn a_channel_and_its_version_lead_to_the_same_manifest() {
        for (store, _folder) in stores() {
            let published = publish_files(&store, "dlrm", Kind::Scorer, &[("scorer.json", b"{}")]).await;
            set_channel(&store, "dlrm", "stable", &published.version)
                .await
                .unwrap();
            let by_channel = resolve(&store, &"dlrm@stable".parse().unwrap()).await.unwrap();
            let by_version = resolve(&store, &format!("dlrm/{}", published.version).parse().unwrap())
                .await
                .unwrap();
            assert_eq!(
                (by_channel.digest, &by_channel.version),
                (published.digest, &published.version)
            );
            assert_eq!(by_channel.manifest, by_version.manifest);
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_answered_with_what_is() {
        for (store, _folder) in stores() {
            assert_eq!(
                refusal(&store, "dlrm@stable").await,
                format!("dlrm@stable names an unknown bundle: {store} has no bundles")
            );
            let version = publish_files(&store, "dlrm", Kind::Scorer, &[("scorer.json", b"{}")])
                .await
                .version;
            assert_eq!(
                refusal(&store, "dlrm@stable").await,
                format!("dlrm@stable names an unknown channel: in {store} the bundle has no channels")
            );
            set_channel(&store, "dlrm", "canary", &version).await.unwrap();
            assert_eq!(
                refusal(&store, "dlrm@stable").await,
                format!("dlrm@stable names an unknown channel: in {store} the bundle has canary")
            );
            assert_eq!(
                refusal(&store, "forest@stable").await,
                format!("forest@stable names an unknown bundle: {store} has dlrm")
            );
            assert_eq!(
                refusal(&store, "dlrm/v9").await,
                format!("dlrm/v9 names an unknown version: in {store} the bundle has {version}")
            );
        }
    }

    #[tokio::test]
    async fn without_a_manifest_there_is_no_bundle() {
        for (store, _folder) in stores() {
            let file = store.file("dlrm", "v1", "model.txt");
            store
                .put(&file, Bytes::from_static(b"model"), PutMode::Create)
                .await
                .unwrap();
            assert_eq!(
                refusal(&store, "dlrm/v1").await,
                format!(
                    "dlrm/v1 names an unknown version: in {store} the bundle has no version with a manifest"
                )
            );
        }
    }

    #[tokio::test]
    async fn a_channel_whose_version_is_gone_says_where_to_point_it() {
        for (store, _folder) in stores() {
            let gone = publish_files(&store, "dlrm", Kind::Scorer, &[("a", b"1")])
                .await
                .version;
            let there = publish_files(&store, "dlrm", Kind::Scorer, &[("a", b"2")])
                .await
                .version;
            set_channel(&store, "dlrm", "stable", &gone).await.unwrap();
            use object_store::ObjectStoreExt as _;
            store
                .objects
                .delete(&store.manifest("dlrm", &gone))
                .await
                .unwrap();
            assert_eq!(
                refusal(&store, "dlrm@stable").await,
                format!(
                    "dlrm@stable points to version {gone}, which has no manifest in {store}; point the channel to {there}"
                )
            );
        }
    }

    #[tokio::test]
    async fn an_altered_manifest_is_refused() {
        for (store, _folder) in stores() {
            let published = publish_files(&store, "dlrm", Kind::Scorer, &[("a", b"1")]).await;
            let version = &published.version;
            set_channel(&store, "dlrm", "stable", version).await.unwrap();
            let altered = Bytes::from_static(b"{\"format_version\": 2}");
            store
                .put(
                    &store.manifest("dlrm", version),
                    altered.clone(),
                    PutMode::Overwrite,
                )
                .await
                .unwrap();
            assert_eq!(
                refusal(&store, "dlrm@stable").await,
                format!(
                    "dlrm@stable points to manifest {}, but version {version} in {store} has {}; it was changed after it was published; delete that version, publish it again and set the channel",
                    published.digest,
                    Digest::of(&altered)
                )
            );
            assert_eq!(
                refusal(&store, &format!("dlrm/{version}")).await,
                format!(
                    "dlrm/{version}: its manifest in {store} is refused: the manifest has format version 2, and this program reads 1; update the older of the two"
                )
            );
        }
    }

    #[tokio::test]
    async fn a_manifest_in_the_wrong_place_is_refused() {
        for (store, _folder) in stores() {
            let version = publish_files(&store, "dlrm", Kind::Scorer, &[("a", b"1")])
                .await
                .version;
            let (manifest, _) = store
                .read(&store.manifest("dlrm", &version), 1 << 20)
                .await
                .unwrap()
                .unwrap();
            store
                .put(&store.manifest("forest", "v1"), manifest, PutMode::Create)
                .await
                .unwrap();
            assert_eq!(
                refusal(&store, "forest/v1").await,
                format!(
                    "forest/v1: the manifest stored there belongs to dlrm/{version}; delete that version from the store and publish it again"
                )
            );
        }
    }

    #[tokio::test]
    async fn bundles_that_do_not_belong_together_are_refused() {
        for (store, _folder) in stores() {
            publish_files(&store, "features", Kind::Features, &[("a", b"1")]).await;
            let (folder, mut description) =
                crate::testing::folder("dlrm", Kind::Scorer, &[("model.safetensors", b"weights")]);
            let (ours, other) = (Digest::of(b"workflow"), Digest::of(b"another"));
            description.contract.workflow = Some(other);
            let scorer = crate::publish(&store, folder.path(), &description)
                .await
                .unwrap()
                .version;
            let features = store.versions("features").await.unwrap().remove(0);
            let set =
                [format!("dlrm/{scorer}"), format!("features/{features}")].map(|text| text.parse().unwrap());
            assert_eq!(
                chain(&resolve_together(&store, &set).await.unwrap_err()),
                format!(
                    "dlrm/{scorer} was built for workflow {other}, but features/{features} carries {ours}; publish both from one run"
                )
            );
        }
    }
}
