//! The end of runs that take too long.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use ort::session::{NoSelectedOutputs, RunOptions};

/// A run that can be ended from another thread, between two of its operators.
pub(crate) type Run = RunOptions<NoSelectedOutputs>;

/// Ends the runs of one network that take longer than its limit, in a thread that ends with it.
#[derive(Debug)]
pub(crate) struct Watch {
    limit: Duration,
    /// Runs have one limit: the first to begin is the first to end.
    begun: Sender<(Instant, Weak<Run>)>,
}

impl Watch {
    pub(crate) fn new(limit: Duration) -> std::io::Result<Self> {
        let (begun, runs) = channel();
        thread::Builder::new()
            .name("network-watch".to_owned())
            .spawn(move || end_late(&runs))?;
        Ok(Self { limit, begun })
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Watches a run for as long as it is kept.
    pub(crate) fn begin(&self, run: &Arc<Run>) {
        let watched = (Instant::now() + self.limit, Arc::downgrade(run));
        // The thread lives as long as this sender.
        let _ = self.begun.send(watched);
    }
}

fn end_late(runs: &Receiver<(Instant, Weak<Run>)>) {
    for (end, run) in runs {
        thread::sleep(end.saturating_duration_since(Instant::now()));
        if let Some(run) = run.upgrade() {
            // What can't be ended goes on: there is nothing else to do about it.
            let _ = run.terminate();
        }
    }
}
