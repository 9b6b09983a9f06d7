//! An analysis: what is new in the store, together with what was known.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use gondola_artifacts::Store;
use gondola_experiments::evidence::Evidence;
use gondola_experiments::moment::Moment;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::rules::Rules;
use super::spill::{New, Spill, Spilled};
use super::state::{Consumed, Counted, Made, StateReader, StateWriter};
use super::tally::Tally;
use super::unit::{First, Happened, Shown, Unit};
use super::{PARTS, part_of};
use crate::event::Microseconds;
use crate::place::{Kind, writer_of};
use crate::table::{TableError, read_exposures, read_outcomes};
use crate::unit::UnitHash;

/// Longest file that is read, in bytes: routers write a quarter of it at most.
const LARGEST_FILE: u64 = 256 << 20;
/// Files that are fetched ahead.
const AHEAD: usize = 2;
/// How long ago files are looked for at every analysis that came late, such as those of a router that had stopped.
const LOOK_BACK: Microseconds = 3 * DAY;
/// How often all days are looked through: a store or a router may have been away for longer.
const LOOK_THROUGH_MILLISECONDS: i64 = 3_600_000;
const DAY: Microseconds = 86_400 * 1_000_000;
/// Damaged files that are named.
const NAMED: usize = 5;
/// A state of more bytes goes to the store once an hour only.
const SMALL_STATE: u64 = 32 << 20;
const HOUR_MILLISECONDS: i64 = 3_600_000;

/// Why an analysis did not come about. What was known stays, and the next one makes up for it.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The store did not answer.
    #[error("the events' store {store} could not be read")]
    Store {
        /// Its URL.
        store: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The folder for work can't be used.
    #[error("the folder {folder} can't be used; give one that can be written to, with room")]
    Folder {
        /// It.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What was known can't be read back.
    #[error("what was known of the units can't be read or written")]
    State(#[source] TableError),
}

/// Analyses the events of a pipeline.
pub struct Analyzer {
    store: Store,
    /// The pipeline's folder in the store: `namespace/pipeline`.
    base: String,
    folder: PathBuf,
    last_checkpoint: Option<Moment>,
    /// When all days were looked through last.
    last_look_through: Option<Moment>,
}

/// A file of the store that was not read yet.
struct NewFile {
    kind: Kind,
    /// Who wrote it, with what kind of file it is.
    writer: String,
    number: u64,
    object: ObjectMeta,
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

    /// All events that reached the store by `now`, as evidence.
    ///
    /// # Errors
    ///
    /// Where the store or the folder fails. A file that is damaged is named in the evidence, and tried again the next time.
    pub async fn analyze(&mut self, rules: &Rules, now: Moment) -> Result<Evidence, AnalysisError> {
        let state = self.state(rules).await?;
        let mut consumed = state.made.consumed.clone();
        let through = self.looks_through(now);
        let new = self.new_files(rules, &consumed, now, through).await?;
        let mut spill = Spill::new(&self.folder).map_err(|source| self.folder_failed(source))?;
        let mut intake = Intake::new(rules);
        let objects = self.store.objects();
        let mut files = futures::stream::iter(new)
            .map(|file| async move {
                let bytes = if file.object.size > LARGEST_FILE {
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
            let taken = bytes.map(|bytes| intake.take(&file.kind, bytes, &mut spill));
            match taken {
                Some(Ok(())) => consumed.insert(&file.writer, file.number),
                Some(Err(IntakeError::Spill(source))) => return Err(self.folder_failed(source)),
                Some(Err(IntakeError::Table(error))) => {
                    tracing::warn!(file = %file.object.location, %error, "a file of events is damaged");
                    intake.damaged(&file);
                }
                None => intake.damaged(&file),
            }
        }
        drop(files);
        let Intake {
            mut counted, damaged, ..
        } = intake;
        counted.add(&state.made.counted);
        let anything = consumed != state.made.consumed;
        let spilled = spill.finish().map_err(|source| self.folder_failed(source))?;
        let made = Made { consumed, counted };
        let mut evidence = merge(rules, now, state, &spilled, made, &self.state_file(rules))?;
        evidence.health.damaged_files = damaged;
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
        std::fs::create_dir_all(&self.folder).map_err(|source| self.folder_failed(source))?;
        let path = self.state_file(rules);
        if !path.exists() {
            match self.store.objects().get(&self.checkpoint_path(rules)).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(StateReader::empty()),
                Err(source) => return Err(self.store_failed(source)),
                Ok(found) => {
                    let bytes = found.bytes().await.map_err(|source| self.store_failed(source))?;
                    let beside = path.with_extension("fetched");
                    std::fs::write(&beside, &bytes)
                        .and_then(|()| std::fs::rename(&beside, &path))
                        .map_err(|source| self.folder_failed(source))?;
                }
            }
        }
        let opened = File::open(&path).map_err(|source| self.folder_failed(source))?;
        match StateReader::open(opened) {
            Ok(state) => Ok(state),
            Err(error) => {
                tracing::warn!(%error, "what was known can't be read; everything is analysed anew");
                Ok(StateReader::empty())
            }
        }
    }

    /// Keeps the state in the store, so that another pod need not begin anew. A failure costs time only.
    async fn checkpoint(&mut self, rules: &Rules, now: Moment) {
        let path = self.state_file(rules);
        let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let lately = self
            .last_checkpoint
            .is_some_and(|last| now.0 - last.0 < HOUR_MILLISECONDS);
        if lately && size > SMALL_STATE {
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
    fn looks_through(&self, now: Moment) -> bool {
        self.last_look_through
            .is_none_or(|last| now.0 - last.0 >= LOOK_THROUGH_MILLISECONDS)
    }

    /// Files that were not read yet, in the order of their places.
    async fn new_files(
        &self,
        rules: &Rules,
        consumed: &Consumed,
        now: Moment,
        through: bool,
    ) -> Result<Vec<NewFile>, AnalysisError> {
        let exposures = Kind::Exposures {
            experiment: rules.experiment.clone(),
            epoch: rules.epoch,
        };
        let now = now.0.saturating_mul(1000);
        let mut new = Vec::new();
        for (kind, earliest) in [(exposures, rules.started), (Kind::Outcomes, rules.earliest())] {
            let from = if through {
                earliest
            } else {
                earliest.max(now - LOOK_BACK)
            };
            let mut day = from - from.rem_euclid(DAY) - DAY;
            while day <= now + DAY {
                new.extend(self.list(&kind, day, consumed).await?);
                day += DAY;
            }
        }
        Ok(new)
    }

    async fn list(
        &self,
        kind: &Kind,
        day: Microseconds,
        consumed: &Consumed,
    ) -> Result<Vec<NewFile>, AnalysisError> {
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

/// Reads files into parts, and counts what does not count.
struct Intake<'a> {
    rules: &'a Rules,
    counted: Counted,
    /// Names of the first few damaged files.
    damaged: Vec<String>,
}

enum IntakeError {
    Table(TableError),
    Spill(std::io::Error),
}

impl<'a> Intake<'a> {
    fn new(rules: &'a Rules) -> Self {
        Self {
            rules,
            counted: Counted::default(),
            damaged: Vec::new(),
        }
    }

    fn damaged(&mut self, file: &NewFile) {
        if self.damaged.len() < NAMED {
            self.damaged.push(file.object.location.to_string());
        }
    }

    /// Takes all rows of a file, or none of a damaged one.
    fn take(&mut self, kind: &Kind, file: Bytes, spill: &mut Spill) -> Result<(), IntakeError> {
        let mut rows = Vec::new();
        let mut counted = Counted::default();
        let rules = self.rules;
        match kind {
            Kind::Exposures { .. } => read_exposures(file, |row| {
                let Some(arm) = rules.arm(row.arm) else {
                    counted.other_arms += 1;
                    return;
                };
                // A clock that was behind: it would put the unit before all others.
                if row.time < rules.started - DAY / 24 / 12 {
                    counted.misdated += 1;
                    return;
                }
                let at = First {
                    time: row.time,
                    id: row.id.short(),
                    arm,
                };
                let shown = Shown {
                    at,
                    fallback: row.fallback,
                };
                rows.push((row.unit, New::Shown(shown)));
            }),
            Kind::Outcomes => read_outcomes(file, |row| {
                let Some(kind) = rules.kind(row.kind) else {
                    counted.other_types += 1;
                    return;
                };
                if !row.value.is_finite() {
                    counted.unusable += 1;
                } else if row.received - row.time > rules.lateness {
                    counted.late += 1;
                } else if row.time < rules.earliest() {
                    counted.misdated += 1;
                } else {
                    let happened = Happened {
                        id: row.id.short(),
                        kind,
                        time: row.time,
                        value: row.value,
                    };
                    rows.push((row.unit, New::Happened(happened)));
                }
            }),
        }
        .map_err(IntakeError::Table)?;
        for (unit, event) in rows {
            spill.add(unit, event).map_err(IntakeError::Spill)?;
        }
        self.counted.add(&counted);
        Ok(())
    }
}

/// Brings new events to what was known, part by part, and writes what is known now.
fn merge(
    rules: &Rules,
    now: Moment,
    mut state: StateReader,
    spilled: &Spilled,
    made: Made,
    path: &Path,
) -> Result<Evidence, AnalysisError> {
    let folder_failed = |source| AnalysisError::Folder {
        folder: path.display().to_string(),
        source,
    };
    let beside = path.with_extension("new");
    let mut writer = StateWriter::create(&beside).map_err(AnalysisError::State)?;
    let mut tally = Tally::new(rules, now);
    tally.note(&made.counted);
    let forgotten = now.0.saturating_mul(1000) - rules.memory;
    for part in 0..PARTS {
        let mut units: BTreeMap<UnitHash, Unit> = BTreeMap::new();
        while let Some((hash, unit)) = state
            .next_if(|hash| part_of(hash) == part)
            .map_err(AnalysisError::State)?
        {
            units.insert(hash, unit);
        }
        spilled
            .read(part, |hash, event| {
                let unit = units.entry(hash).or_default();
                match event {
                    New::Shown(shown) => tally.note_exposure(unit.show(shown)),
                    New::Happened(happened) => tally.note_outcome(unit.happen(happened)),
                }
            })
            .map_err(folder_failed)?;
        for (hash, mut unit) in units {
            tally.note_forgotten(unit.forget(forgotten));
            if !unit.is_empty() {
                tally.add(&unit);
                writer.add(hash, unit).map_err(AnalysisError::State)?;
            }
        }
    }
    let made = Made {
        counted: tally.counted(),
        ..made
    };
    writer.finish(&made).map_err(AnalysisError::State)?;
    std::fs::rename(&beside, path).map_err(folder_failed)?;
    let mut evidence = tally.finish();
    evidence.health.files = made.consumed.files();
    Ok(evidence)
}
