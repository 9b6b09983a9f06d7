//! The folder that a batch is written into: any object store's, each object whole or not there.

use bytes::Bytes;
use gondola_artifacts::{Access, Digest, Store, StoreError};
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::plan::{Difference, File, Manifest, Plan, Written};
use super::shard::{Part, Shard};

const PLAN: &str = "batch.json";
const MANIFEST: &str = "manifest.json";

/// A batch's folder.
#[derive(Clone, Debug)]
pub struct Folder {
    store: Store,
}

/// How far a batch has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// These shards are not there yet.
    Missing(Vec<Shard>),
    /// All of them are, and the manifest is written.
    Finished(Box<Manifest>),
}

/// Why a batch can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder can't be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another number of shards was begun.
    #[error(
        "{folder} has a batch whose number of shards is {there}, and --shard says {here}; go on with --shard 0/{there} to {}/{there}, or \
         choose another --out", there - 1
    )]
    Shards {
        /// The folder.
        folder: String,
        /// How many shards its batch has.
        there: u16,
        /// How many this one has.
        here: u16,
    },
    /// Another batch was begun, and perhaps finished.
    #[error(
        "{folder} has another batch: its {} is {}, and this one's is {}; choose another --out, or delete that batch first",
        differs.field, differs.there, differs.here
    )]
    Other {
        /// The folder.
        folder: String,
        /// What they do not share.
        differs: Box<Difference>,
    },
    /// An object can't be read.
    #[error("cannot read {place} in {folder}")]
    Read {
        /// The object.
        place: String,
        /// The folder.
        folder: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// An object is something else.
    #[error("{place} in {folder} was not written by this command; choose another --out")]
    Foreign {
        /// The object.
        place: String,
        /// The folder.
        folder: String,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// An object was changed.
    #[error("{place} in {folder} has digest {found}, and {wanted} was written; run its shard again")]
    Altered {
        /// The object.
        place: String,
        /// The folder.
        folder: String,
        /// What it has.
        found: Digest,
        /// What it should have.
        wanted: Digest,
    },
    /// An object can't be written.
    #[error(
        "cannot write {place} to {folder}; the batch isn't finished, and nothing of it is half-written: make room, or mend the store, and \
         run the same command again"
    )]
    Write {
        /// The object.
        place: String,
        /// The folder.
        folder: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
}

impl Folder {
    /// Opens the folder at a URL.
    pub fn open(url: &str, access: &Access) -> Result<Self, FolderError> {
        Ok(Self::new(Store::open_with(url, access)?))
    }

    /// The folder of a store that is open.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Its URL, without secrets.
    pub fn url(&self) -> &str {
        self.store.url()
    }

    /// Begins a batch, or goes on with the same one. The first shard to come decides; whoever has another plan is refused.
    pub async fn begin(&self, plan: &Plan) -> Result<(), FolderError> {
        let begun = self.put(PLAN, json(plan), PutMode::Create).await;
        let there: Plan = match begun {
            Err(FolderError::Write {
                source: object_store::Error::AlreadyExists { .. },
                ..
            }) => match self.read_json(PLAN).await? {
                Some(there) => there,
                None => return begun,
            },
            begun => return begun,
        };
        let folder = self.url().to_owned();
        match plan.difference(&there) {
            None => Ok(()),
            Some(differs) if differs.field == "shards" => Err(FolderError::Shards {
                folder,
                there: there.shards,
                here: plan.shards,
            }),
            Some(differs) => Err(FolderError::Other {
                folder,
                differs: Box::new(differs),
            }),
        }
    }

    /// Writes the lists of a part.
    pub async fn write_part(&self, part: Part, users: usize, lists: Bytes) -> Result<File, FolderError> {
        let file = File {
            path: part.place(),
            users,
            size: lists.len() as u64,
            sha256: Digest::of(&lists),
        };
        self.put(&file.path, lists, PutMode::Overwrite).await?;
        Ok(file)
    }

    /// Writes which files a shard has, and the manifest if it was the last one.
    pub async fn finish_shard(
        &self,
        plan: Plan,
        shard: Shard,
        files: Vec<File>,
    ) -> Result<Progress, FolderError> {
        let written = json(&Written { files });
        self.put(&shard.place(), written, PutMode::Overwrite).await?;
        let (mut files, mut missing) = (Vec::new(), Vec::new());
        for shard in Shard::all(shard.of()) {
            match self.read_json::<Written>(&shard.place()).await? {
                Some(written) => files.extend(written.files),
                None => missing.push(shard),
            }
        }
        if !missing.is_empty() {
            return Ok(Progress::Missing(missing));
        }
        let manifest = Manifest { plan, files };
        self.put(MANIFEST, json(&manifest), PutMode::Overwrite).await?;
        Ok(Progress::Finished(Box::new(manifest)))
    }

    /// A file's bytes, if they are those that were written.
    pub async fn read(&self, file: &File) -> Result<Bytes, FolderError> {
        let bytes = self
            .get(&file.path)
            .await
            .map_err(|source| self.unread(&file.path, source))?;
        let found = Digest::of(&bytes);
        if found != file.sha256 {
            return Err(FolderError::Altered {
                place: file.path.clone(),
                folder: self.url().to_owned(),
                found,
                wanted: file.sha256,
            });
        }
        Ok(bytes)
    }

    async fn read_json<T: DeserializeOwned>(&self, place: &str) -> Result<Option<T>, FolderError> {
        let bytes = match self.get(place).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            read => read.map_err(|source| self.unread(place, source))?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| FolderError::Foreign {
                place: place.to_owned(),
                folder: self.url().to_owned(),
                source,
            })
    }

    async fn get(&self, place: &str) -> Result<Bytes, object_store::Error> {
        self.store
            .objects()
            .get(&self.store.path(place))
            .await?
            .bytes()
            .await
    }

    async fn put(&self, place: &str, bytes: Bytes, mode: PutMode) -> Result<(), FolderError> {
        let path = self.store.path(place);
        let put = self
            .store
            .objects()
            .put_opts(&path, bytes.into(), PutOptions::from(mode));
        put.await.map(drop).map_err(|source| FolderError::Write {
            place: place.to_owned(),
            folder: self.url().to_owned(),
            source,
        })
    }

    fn unread(&self, place: &str, source: object_store::Error) -> FolderError {
        FolderError::Read {
            place: place.to_owned(),
            folder: self.url().to_owned(),
            source,
        }
    }
}

fn json(value: &impl Serialize) -> Bytes {
    let mut json = serde_json::to_vec_pretty(value).expect("what is written has string keys only");
    json.push(b'\n');
    json.into()
}
