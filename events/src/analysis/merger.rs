//! New events and what was known, brought together: the part of an analysis that takes a processor and a disk, and no store.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use gondola_wire::evidence::Evidence;
use gondola_wire::time::{before, since};
use jiff::Timestamp;
use object_store::ObjectMeta;

use super::rules::Rules;
use super::spill::{New, Spill, Spilled};
use super::state::{Consumed, Counted, Sources, StateReader, StateWriter};
use super::tally::Tally;
use super::unit::{First, KnownExposure, KnownOutcome, Unit};
use super::{PARTS, part_of};
use crate::place::Kind;
use crate::table::{TableError, read_exposures, read_outcomes};
use crate::unit::UnitHash;

/// How far a router's clock may be behind the start of an epoch.
const BEHIND: Duration = Duration::from_secs(5 * 60);
/// Damaged files that are named.
const NAMED: usize = 5;

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

/// A file of the store that was not read yet.
pub(super) struct NewFile {
    pub(super) kind: Kind,
    /// Who wrote it, with what kind of file it is.
    pub(super) writer: String,
    pub(super) number: u64,
    pub(super) object: ObjectMeta,
}

/// Takes new files one by one, then merges all of them at once.
pub(super) struct Merger {
    rules: Rules,
    state: StateReader,
    spill: Spill,
    consumed: Consumed,
    counted: Counted,
    /// Names of the first few damaged files.
    damaged: Vec<String>,
}

impl Merger {
    /// Begins with what was known, and works in a folder.
    pub(super) fn new(rules: Rules, state: StateReader, folder: &Path) -> std::io::Result<Self> {
        Ok(Self {
            spill: Spill::new(folder)?,
            consumed: state.made.consumed.clone(),
            counted: Counted::default(),
            damaged: Vec::new(),
            rules,
            state,
        })
    }

    /// Takes all rows of a file, or none of one that is damaged or, without bytes, too large. Fails where the folder does.
    pub(super) fn take(&mut self, file: &NewFile, bytes: Option<Bytes>) -> std::io::Result<()> {
        let rows = bytes.map(|bytes| rows(&self.rules, &file.kind, bytes));
        match rows {
            Some(Ok((rows, counted))) => {
                for (unit, event) in rows {
                    self.spill.add(unit, event)?;
                }
                self.counted.add(&counted);
                self.consumed.insert(&file.writer, file.number);
            }
            Some(Err(error)) => {
                tracing::warn!(file = %file.object.location, %error, "a file of events is damaged");
                self.damaged(file);
            }
            None => self.damaged(file),
        }
        Ok(())
    }

    fn damaged(&mut self, file: &NewFile) {
        if self.damaged.len() < NAMED {
            self.damaged.push(file.object.location.to_string());
        }
    }

    /// The evidence, and whether anything was new. What is known now is at `path`.
    pub(super) fn finish(self, now: Timestamp, path: &Path) -> Result<(Evidence, bool), AnalysisError> {
        let Self {
            rules,
            state,
            spill,
            consumed,
            mut counted,
            damaged,
        } = self;
        counted.add(&state.made.counted);
        let anything = consumed != state.made.consumed;
        let spilled = spill.finish().map_err(|source| folder_failed(path, source))?;
        let made = Sources { consumed, counted };
        let mut evidence = merge(&rules, now, state, &spilled, made, path)?;
        evidence.health.damaged_files = damaged;
        Ok((evidence, anything))
    }
}

fn folder_failed(path: &Path, source: std::io::Error) -> AnalysisError {
    AnalysisError::Folder {
        folder: path.display().to_string(),
        source,
    }
}

/// The rows of a file that count, and how many don't.
fn rows(rules: &Rules, kind: &Kind, file: Bytes) -> Result<(Vec<(UnitHash, New)>, Counted), TableError> {
    let mut rows = Vec::new();
    let mut counted = Counted::default();
    match kind {
        Kind::Exposures { .. } => read_exposures(file, |row| {
            let Some(arm) = rules.arm(row.arm) else {
                counted.other_arms += 1;
                return;
            };
            // A clock that was behind: it would put the unit before all others.
            if row.time < before(rules.started, BEHIND) {
                counted.misdated += 1;
                return;
            }
            let at = First {
                time: row.time,
                id: row.id.short(),
                arm,
            };
            let shown = KnownExposure {
                at,
                fallback: row.fallback,
            };
            rows.push((row.unit, New::KnownExposure(shown)));
        }),
        Kind::Outcomes => read_outcomes(file, |row| {
            let Some(kind) = rules.kind(row.kind) else {
                counted.other_types += 1;
                return;
            };
            if !row.value.is_finite() {
                counted.unusable += 1;
            } else if since(row.time, row.received) > rules.lateness {
                counted.late += 1;
            } else if row.time < rules.earliest() {
                counted.misdated += 1;
            } else {
                let happened = KnownOutcome {
                    id: row.id.short(),
                    kind,
                    time: row.time,
                    value: row.value,
                };
                rows.push((row.unit, New::KnownOutcome(happened)));
            }
        }),
    }?;
    Ok((rows, counted))
}

/// Brings new events to what was known, part by part, and writes what is known now.
fn merge(
    rules: &Rules,
    now: Timestamp,
    mut state: StateReader,
    spilled: &Spilled,
    made: Sources,
    path: &Path,
) -> Result<Evidence, AnalysisError> {
    let folder_failed = |source| folder_failed(path, source);
    let beside = path.with_extension("new");
    let mut writer = StateWriter::create(&beside).map_err(AnalysisError::State)?;
    let mut tally = Tally::new(rules, now);
    tally.note(&made.counted);
    let forgotten = before(now, rules.memory);
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
                    New::KnownExposure(shown) => tally.note_exposure(unit.show(shown)),
                    New::KnownOutcome(happened) => tally.note_outcome(unit.happen(happened)),
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
    let made = Sources {
        counted: tally.counted(),
        ..made
    };
    writer.finish(&made).map_err(AnalysisError::State)?;
    std::fs::rename(&beside, path).map_err(folder_failed)?;
    let mut evidence = tally.finish();
    evidence.health.files = made.consumed.files();
    Ok(evidence)
}
