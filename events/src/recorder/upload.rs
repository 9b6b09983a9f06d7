//! From segments to objects in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use gondola_artifacts::Store;
use jiff::Timestamp;
use object_store::{PutMode, PutOptions};
use tokio::sync::mpsc;

use super::State;
use super::journal::{self, Segment};
use crate::event::{Event, Exposure, Outcome};
use crate::place::Kind;
use crate::table::{TableError, encode_exposures, encode_outcomes};

/// After a failure it is tried again this soon, then later and later.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Uploads segments as they come, until no more can come.
pub(super) async fn run(
    mut store: Store,
    base: String,
    mut segments: mpsc::UnboundedReceiver<Segment>,
    state: Arc<State>,
) {
    while let Some(segment) = segments.recv().await {
        let mut wait = FIRST_WAIT;
        loop {
            match upload(&store, &base, &segment, &state).await {
                Ok(()) => break,
                // Nothing brings it back, and the next ones must not wait for it.
                Err(problem) if !segment.path.exists() => {
                    tracing::error!(
                        problem,
                        events = segment.events,
                        "events were removed before they were stored"
                    );
                    state.dropped.fetch_add(segment.events, Ordering::Relaxed);
                    break;
                }
                Err(problem) => {
                    tracing::warn!(segment = %segment.path.display(), problem, "events wait for the store");
                    state.set_problem(Some(problem));
                    // It may have refused credentials that were changed since.
                    if let Ok(reopened) = store.reopened() {
                        store = reopened;
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(MAX_WAIT);
        }
        state.set_problem(None);
        state.waiting.fetch_sub(segment.events, Ordering::Relaxed);
        state.waiting_bytes.fetch_sub(segment.bytes, Ordering::Relaxed);
        state
            .last_flush
            .store(Timestamp::now().as_millisecond(), Ordering::Relaxed);
    }
}

/// Uploads a segment and removes it. Repeated after a crash, it writes the same objects, which are there already.
async fn upload(store: &Store, base: &str, segment: &Segment, state: &State) -> Result<(), String> {
    let made_of = segment.clone();
    // It takes long enough to be felt by requests on the same threads.
    let made = tokio::task::spawn_blocking(move || Objects::of(&made_of)).await;
    let Objects {
        objects,
        events,
        torn,
    } = made.map_err(|error| format!("{} can't be read: {error}", segment.path.display()))??;
    for (place, bytes) in objects {
        let path = store.path(&format!("{base}/{place}"));
        let put = store
            .objects()
            .put_opts(&path, bytes.into(), PutOptions::from(PutMode::Create));
        match put.await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(format!("{path} can't be written: {error}")),
        }
    }
    tokio::fs::remove_file(&segment.path)
        .await
        .map_err(|error| format!("{} can't be removed: {error}", segment.path.display()))?;
    state.stored.fetch_add(events, Ordering::Relaxed);
    state.torn.fetch_add(u64::from(torn), Ordering::Relaxed);
    Ok(())
}

/// A segment as it goes into the store.
struct Objects {
    /// Place below the pipeline's folder, and content.
    objects: Vec<(String, Bytes)>,
    events: u64,
    /// Whether a crash cut off the segment's end.
    torn: bool,
}

impl Objects {
    fn of(segment: &Segment) -> Result<Self, String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("{} can't be read: {error}", segment.path.display());
        let content = journal::read(&segment.path).map_err(|error| failed(&error))?;
        Ok(Self {
            events: content.events.len() as u64,
            torn: content.torn,
            objects: objects(content.events, segment).map_err(|error| failed(&error))?,
        })
    }
}

/// The objects of a segment: one for each epoch of an experiment, and one for outcomes.
fn objects(events: Vec<Event>, segment: &Segment) -> Result<Vec<(String, Bytes)>, TableError> {
    let mut exposures: BTreeMap<Kind, Vec<Exposure>> = BTreeMap::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for event in events {
        match event {
            Event::Exposure(exposure) => {
                let kind = Kind::Exposures {
                    experiment: exposure.experiment.to_string(),
                    epoch: exposure.epoch,
                };
                exposures.entry(kind).or_default().push(exposure);
            }
            Event::Outcome(outcome) => outcomes.push(outcome),
        }
    }
    let Segment { writer, number, .. } = segment;
    let mut objects = Vec::new();
    for (kind, rows) in exposures {
        objects.push((kind.file(rows[0].time, writer, *number), encode_exposures(&rows)?));
    }
    if let Some(first) = outcomes.first() {
        // By when they arrived: a client may say anything of when they happened.
        let place = Kind::Outcomes.file(first.received, writer, *number);
        objects.push((place, encode_outcomes(&outcomes)?));
    }
    Ok(objects)
}
