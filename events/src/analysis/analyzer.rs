//! An analysis: what is new in the store, brought to a [`Merger`].

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use gondola_artifacts::Store;
use gondola_wire::evidence::Evidence;
use gondola_wire::time::{before, since};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::merger::{AnalysisError, Merger, NewFile};
use super::rules::Rules;
use super::state::{Consumed, StateReader};
use crate::place::{Kind, day_of, writer_of};

/// The largest file that is read, in bytes: routers write a quarter of it at most.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Files that are fetched ahead.
const AHEAD: usize = 2;
/// How long ago files are looked for at every analysis that came late, such as those of a router that had stopped.
const LOOK_BACK: Duration = Duration::from_secs(3 * 86_400);
/// How often all days are looked through: a store or a router may have been away for longer.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(3600);
/// A state of more bytes goes to the store every hour only.
const MAX_SMALL_STATE: u64 = 32 << 20;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(3600);

/// Analyzes the events of a pipeline.
pub struct Analyzer {
    store: Store,
    /// The pipeline's folder in the store: `namespace/pipeline`.
    base: String,
    folder: PathBuf,
    last_checkpoint: Option<Timestamp>,
    /// When all days were looked through last.
    last_look_through: Option<Timestamp>,
}

impl Analyzer {
    /// An analyzer of the events below `base` in a store, which works in a folder.
    pub fn new(store: Store, base: String, folder: PathBuf) -> Self {
        Self {
            store,
            base,
            folder,
            last_checkpoint: None,
            last_look_through: None,
        }
    }

    /// The store that it reads.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// All events that reached the store by `now`, as evidence. What takes a processor or a disk is done off the runtime's threads: a long
    /// merge holds up no health check, and no request where both run in one process.
    ///
    /// # Errors
    ///
    /// Where the store or the folder fails. A file that is damaged is named in the evidence, and tried again the next time.
    pub async fn analyze(&mut self, rules: &Rules, now: Timestamp) -> Result<Evidence, AnalysisError> {
        let state = self.state(rules).await?;
        let through = self.looks_through(now);
        let new = self.new_files(rules, &state.made.consumed, now, through).await?;
        let folder_failed = |source| self.folder_failed(source);
        let mut merger = Merger::new(rules.clone(), state, &self.folder).map_err(folder_failed)?;
        let objects = self.store.objects();
        let mut files = futures::stream::iter(new)
            .map(|file| async move {
                let bytes = if file.object.size > MAX_FILE_BYTES {
                    None
                } else {
                    let found = objects.get(&file.object.location).await?;
                    Some(found.bytes().await?)
                };
                Ok((file, bytes))
            })
            .buffered(AHEAD);
        while let Some(fetched) = files.next().await {
            let (file, bytes) = fetched.map_err(|source| self.store_failed(source))?;
            let (same, taken) = off_the_runtime(move || {
                let taken = merger.take(&file, bytes);
                (merger, taken)
            })
            .await;
            merger = same;
            taken.map_err(folder_failed)?;
        }
        drop(files);
        let path = self.state_file(rules);
        let (evidence, anything) = off_the_runtime(move || merger.finish(now, &path)).await?;
        if through {
            self.last_look_through = Some(now);
        }
        if anything {
            self.checkpoint(rules, now).await;
        }
        Ok(evidence)
    }

    fn state_file(&self, rules: &Rules) -> PathBuf {
        self.folder
            .join(format!("state-{}-{}.parquet", rules.experiment, rules.epoch))
    }

    /// Where the state is kept in the store.
    fn checkpoint_path(&self, rules: &Rules) -> object_store::path::Path {
        let Rules {
            experiment, epoch, ..
        } = rules;
        self.store
            .path(&format!("{}/state/{experiment}/{epoch}/units.parquet", self.base))
    }

    /// What was known: here, else in the store, else nothing.
    async fn state(&self, rules: &Rules) -> Result<StateReader, AnalysisError> {
        let made = tokio::fs::create_dir_all(&self.folder).await;
        made.map_err(|source| self.folder_failed(source))?;
        let path = self.state_file(rules);
        let is_here = tokio::fs::try_exists(&path).await;
        if !is_here.map_err(|source| self.folder_failed(source))? {
            match self.store.objects().get(&self.checkpoint_path(rules)).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(StateReader::empty()),
                Err(source) => return Err(self.store_failed(source)),
                Ok(found) => {
                    let bytes = found.bytes().await.map_err(|source| self.store_failed(source))?;
                    let beside = path.with_extension("fetched");
                    let fetched = tokio::fs::write(&beside, &bytes).await;
                    fetched.map_err(|source| self.folder_failed(source))?;
                    let renamed = tokio::fs::rename(&beside, &path).await;
                    renamed.map_err(|source| self.folder_failed(source))?;
                }
            }
        }
        let opened = off_the_runtime(move || File::open(&path).map(StateReader::open)).await;
        match opened.map_err(|source| self.folder_failed(source))? {
            Ok(state) => Ok(state),
            Err(error) => {
                tracing::warn!(%error, "what was known can't be read; everything is analyzed again");
                Ok(StateReader::empty())
            }
        }
    }

    /// Keeps the state in the store, so that another pod need not begin again. A failure costs time only.
    async fn checkpoint(&mut self, rules: &Rules, now: Timestamp) {
        let path = self.state_file(rules);
        let metadata = tokio::fs::metadata(&path).await;
        let size = metadata.map_or(0, |metadata| metadata.len());
        let lately = self
            .last_checkpoint
            .is_some_and(|last| since(last, now) < CHECKPOINT_EVERY);
        if lately && size > MAX_SMALL_STATE {
            return;
        }
        let place = self.checkpoint_path(rules);
        let put = async {
            let bytes = tokio::fs::read(&path).await.map_err(|error| error.to_string())?;
            let put = self.store.objects().put(&place, bytes.into());
            put.await.map_err(|error| error.to_string())
        };
        match put.await {
            Ok(_) => self.last_checkpoint = Some(now),
            Err(error) => tracing::warn!(error, "the state could not be kept in the store"),
        }
    }

    /// Whether it is time to look through all days: at first, and then every hour.
    fn looks_through(&self, now: Timestamp) -> bool {
        self.last_look_through
            .is_none_or(|last| since(last, now) >= LOOK_THROUGH_EVERY)
    }

    /// Files that were not read yet, in the order of their places.
    async fn new_files(
        &self,
        rules: &Rules,
        consumed: &Consumed,
        now: Timestamp,
        through: bool,
    ) -> Result<Vec<NewFile>, AnalysisError> {
        let exposures = Kind::Exposures {
            experiment: rules.experiment.clone(),
            epoch: rules.epoch,
        };
        let mut new = Vec::new();
        for (kind, earliest) in [(exposures, rules.started), (Kind::Outcomes, rules.earliest())] {
            let from = if through {
                earliest
            } else {
                earliest.max(before(now, LOOK_BACK))
            };
            // Clocks of writers and of this process differ: the days before and after count as well.
            let (first, last) = (
                day_of(from).saturating_sub(1.day()),
                day_of(now).saturating_add(1.day()),
            );
            for day in first.series(1.day()).take_while(|day| *day <= last) {
                new.extend(self.list(&kind, day, consumed).await?);
            }
        }
        Ok(new)
    }

    async fn list(&self, kind: &Kind, day: Date, consumed: &Consumed) -> Result<Vec<NewFile>, AnalysisError> {
        let folder = self.store.path(&format!("{}/{}", self.base, kind.day(day)));
        let listed: Vec<ObjectMeta> = self
            .store
            .objects()
            .list(Some(&folder))
            .try_collect()
            .await
            .map_err(|source| self.store_failed(source))?;
        let new = listed.into_iter().filter_map(|object| {
            let (writer, number) = writer_of(object.location.filename()?)?;
            let writer = format!("{}/{writer}", kind.folder());
            (!consumed.contains(&writer, number)).then(|| NewFile {
                kind: kind.clone(),
                writer,
                number,
                object,
            })
        });
        Ok(new.collect())
    }

    fn store_failed(&self, source: object_store::Error) -> AnalysisError {
        AnalysisError::Store {
            store: self.store.url().to_owned(),
            source,
        }
    }

    fn folder_failed(&self, source: std::io::Error) -> AnalysisError {
        AnalysisError::Folder {
            folder: self.folder.display().to_string(),
            source,
        }
    }
}

/// Does blocking work, and hands a panic on to whoever waits for it.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => std::panic::resume_unwind(broken.into_panic()),
    }
}
