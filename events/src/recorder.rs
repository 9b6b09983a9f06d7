//! Keeps events until they are in the store: a bounded queue, a journal on disk, objects that are written once.
//!
//! Whoever answers a request hands an event to [`Recorder`] and goes on: where the queue is full, the event is dropped, and counted.
//! A thread takes events off the queue and appends them to a segment of the [`journal`]; once a minute, or when it is large, the
//! segment is closed and [`upload`]ed as Parquet, under a name that follows from the segment's: what was uploaded before a crash is
//! not uploaded twice. A process that starts finds the segments of the one before.
//!
//! What a container's restart can lose: the last milliseconds, which were not appended yet. What a node's loss can: what was not uploaded yet.

pub mod journal;
pub mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gondola_artifacts::Store;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::event::{Event, Exposure, Outcome};
use journal::Journal;

/// Events that may wait for the journal: a second's worth at fifty times what a router answers.
const QUEUE: usize = 1 << 16;
/// How often events are looked for.
const LOOK: Duration = Duration::from_millis(5);
/// A segment of more bytes is closed: four times what it is as Parquet.
const MAX_SEGMENT_BYTES: u64 = 64 << 20;

/// How events are recorded.
#[derive(Clone, Debug)]
pub struct RecorderSettings {
    /// The folder of the journal, which outlives the process.
    pub folder: PathBuf,
    /// The pipeline's folder in the store: `namespace/pipeline`.
    pub base: String,
    /// Who records: the pod's name, and something random, so that no two write one name.
    pub writer: String,
    /// How long events are gathered until they are uploaded.
    pub flush: Duration,
    /// Most bytes of segments that wait for the store; beyond that, events are dropped.
    pub max_waiting_bytes: u64,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The journal can't be written.
    #[error(
        "the journal of events in {folder} can't be used; give a folder of its own that can be written to"
    )]
    Journal {
        /// Its folder.
        folder: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Takes events, and never waits.
pub struct Recorder {
    queue: SyncSender<Command>,
    state: Arc<State>,
    max_waiting_bytes: u64,
    stopped: Mutex<Option<oneshot::Receiver<()>>>,
}

/// What goes through the queue.
enum Command {
    Record(Event),
    /// Close what is open, and upload all of it; then tell.
    Stop,
}

/// How recording goes, in numbers.
#[derive(Debug, Default)]
pub struct State {
    /// Events that were taken and are not in the store.
    waiting: AtomicU64,
    dropped: AtomicU64,
    /// Events that are in the store.
    stored: AtomicU64,
    /// Bytes of closed segments that are not.
    waiting_bytes: AtomicU64,
    /// Frames that a crash cut off.
    torn: AtomicU64,
    /// Milliseconds since 1970; 0 before the first upload.
    last_flush: AtomicI64,
    /// What went wrong last, until it goes well.
    problem: Mutex<Option<String>>,
}

impl State {
    /// Events that this process took and that are not in the store yet.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Events for which there was no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Events that are in the store.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Events of a crash that were cut off in the middle.
    pub fn torn(&self) -> u64 {
        self.torn.load(Ordering::Relaxed)
    }

    /// When events were uploaded last.
    pub fn last_flush(&self) -> Option<Timestamp> {
        let milliseconds = self.last_flush.load(Ordering::Relaxed);
        Timestamp::from_millisecond(milliseconds)
            .ok()
            .filter(|_| milliseconds != 0)
    }

    /// What keeps events from the store now, if anything does.
    pub fn problem(&self) -> Option<String> {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// One that waited is dropped.
    fn lost(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

impl Recorder {
    /// Starts to record into `store`, with what an earlier process left first. Must be called inside a runtime.
    ///
    /// # Errors
    ///
    /// Where the journal's folder can't be written. A store that doesn't answer is no error: events wait.
    pub fn start(settings: RecorderSettings, store: Store) -> Result<Self, RecorderError> {
        let state = Arc::new(State::default());
        let journal_failed = |source| RecorderError::Journal {
            folder: settings.folder.display().to_string(),
            source,
        };
        let journal = Journal::open(&settings.folder, &settings.writer).map_err(journal_failed)?;
        let (closed, segments) = mpsc::unbounded_channel();
        for left in journal::left_segments(&settings.folder).map_err(journal_failed)? {
            state.waiting_bytes.fetch_add(left.bytes, Ordering::Relaxed);
            // The uploader can't be gone: it is started below.
            let _ = closed.send(left);
        }
        let (queue, commands) = sync_channel(QUEUE);
        let (done, stopped) = oneshot::channel();
        let appending = Appending {
            journal,
            closed,
            state: Arc::clone(&state),
            flush: settings.flush,
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || appending.run(&commands))
            .map_err(journal_failed)?;
        let upload = upload::run(store, settings.base, segments, Arc::clone(&state));
        tokio::spawn(async move {
            upload.await;
            let _ = done.send(());
        });
        Ok(Self {
            queue,
            state,
            max_waiting_bytes: settings.max_waiting_bytes,
            stopped: Mutex::new(Some(stopped)),
        })
    }

    /// Takes an exposure; false where there is no room.
    pub fn exposure(&self, exposure: Exposure) -> bool {
        self.record(Event::Exposure(exposure))
    }

    /// Takes an outcome; false where there is no room.
    pub fn outcome(&self, outcome: Outcome) -> bool {
        self.record(Event::Outcome(outcome))
    }

    /// How it goes.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn record(&self, event: Event) -> bool {
        if self.state.waiting_bytes.load(Ordering::Relaxed) > self.max_waiting_bytes {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        // Counted before it is handed over, so that it can't be in the store before it waits.
        self.state.waiting.fetch_add(1, Ordering::Relaxed);
        match self.queue.try_send(Command::Record(event)) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.state.lost();
                false
            }
        }
    }

    /// Uploads everything that was taken and ends; gives up after `patience`, and then what is left waits in the journal. Whether
    /// all of it was uploaded.
    pub async fn stop(&self, patience: Duration) -> bool {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stopped) = stopped else {
            return true;
        };
        let queue = self.queue.clone();
        let stop = async move {
            // The queue may be full for a moment.
            let _ = tokio::task::spawn_blocking(move || queue.send(Command::Stop)).await;
            stopped.await
        };
        let done = tokio::time::timeout(patience, stop).await;
        done.is_ok_and(|done| done.is_ok()) && self.state.waiting() == 0
    }
}

/// The thread that appends.
struct Appending {
    journal: Journal,
    closed: mpsc::UnboundedSender<journal::Segment>,
    state: Arc<State>,
    flush: Duration,
}

impl Appending {
    /// It looks for events every few milliseconds: to be woken by each would cost whoever hands it over more than all the rest.
    fn run(mut self, commands: &Receiver<Command>) {
        loop {
            let ended = self.append_all(commands);
            if let Err(error) = self.journal.write_out() {
                self.state
                    .set_problem(Some(format!("the journal can't be written: {error}")));
            }
            if ended || self.journal.is_due(self.flush) || self.journal.bytes() >= MAX_SEGMENT_BYTES {
                self.close();
            }
            if ended {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Appends what waits; whether nothing more can come.
    fn append_all(&mut self, commands: &Receiver<Command>) -> bool {
        // A segment that is large is closed although more waits.
        while self.journal.bytes() < MAX_SEGMENT_BYTES {
            match commands.try_recv() {
                Ok(Command::Record(event)) => self.append(&event),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
        }
        false
    }

    fn append(&mut self, event: &Event) {
        if let Err(error) = self.journal.append(event) {
            self.state.lost();
            self.state
                .set_problem(Some(format!("the journal can't be written: {error}")));
        }
    }

    fn close(&mut self) {
        match self.journal.close() {
            Ok(Some(segment)) => {
                self.state
                    .waiting_bytes
                    .fetch_add(segment.bytes, Ordering::Relaxed);
                let _ = self.closed.send(segment);
            }
            Ok(None) => {}
            Err(error) => self
                .state
                .set_problem(Some(format!("the journal can't be written: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests;
