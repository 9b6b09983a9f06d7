//! The threads that run models, and the queue in front of them.
//!
//! Tokio's threads do input and output alone. A request's work waits here for a thread of its own kind; a full queue is said
//! at once, and work whose deadline passed while it waited is never started. Requests that are better answered together wait in the
//! same queue for one another ([`together`]).

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use gondola_server::metrics::ComputeMetrics;
use tokio::sync::oneshot;

mod gathered;
mod queue;
mod together;

pub use gathered::GatherSettings;
use queue::{Job, Next, Queue};
pub use together::Gatherer;

/// Why work was not done.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotDone {
    /// As much waits as may wait.
    #[error("{waiting} requests wait already, as many as may; ask again later, or add replicas")]
    QueueFull {
        /// How many wait.
        waiting: usize,
    },
    /// The deadline passed, before the work began or before it ended.
    #[error("the deadline passed before the answer was there; ask again, or allow more time")]
    Late,
    /// The work panicked: a bug of ours.
    #[error("the work on this request panicked; the server's log says where")]
    Panicked,
}

/// How large a pool is.
#[derive(Clone, Copy, Debug)]
pub struct ComputeSettings {
    /// Number of threads.
    pub threads: NonZeroUsize,
    /// How many requests may wait for a thread.
    pub queue: usize,
    /// How requests are gathered that are answered together.
    pub gather: GatherSettings,
}

impl Default for ComputeSettings {
    /// A thread a core, and as much waiting as a few deadlines can hold.
    fn default() -> Self {
        let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            threads,
            queue: threads.get() * 64,
            gather: GatherSettings::default(),
        }
    }
}

/// A pool of compute threads. They end when the pool is dropped and what waits is done.
pub struct Compute {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    capacity: usize,
    gather: GatherSettings,
    metrics: ComputeMetrics,
}

impl Compute {
    /// Starts the threads.
    pub fn start(settings: &ComputeSettings, metrics: ComputeMetrics) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            capacity: settings.queue,
            gather: settings.gather,
            metrics,
        });
        let compute = Self { shared };
        for number in 0..settings.threads.get() {
            let shared = Arc::clone(&compute.shared);
            thread::Builder::new()
                .name(format!("compute-{number}"))
                .spawn(move || shared.work())?;
        }
        Ok(compute)
    }

    /// Runs `work` on a compute thread and waits for it until the deadline. Work that has begun is finished even if nobody
    /// waits any more.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let (sender, receiver) = oneshot::channel();
        let expired = self.shared.metrics.expired.clone();
        let job = move || {
            if sender.is_closed() || Instant::now() >= deadline {
                expired.inc();
                return;
            }
            // Whoever stopped waiting does not need the result.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        };
        self.shared
            .add_with(|queue| queue.jobs.push_back(Box::new(job)))?;
        match tokio::time::timeout_at(deadline.into(), receiver).await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(_panic))) => Err(NotDone::Panicked),
            // A job that drops its sender was not begun: it was late.
            Ok(Err(_)) | Err(_) => Err(NotDone::Late),
        }
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    /// No job runs under the lock, so it is never left halfway.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one request, if there is room for it.
    fn add_with(&self, add: impl FnOnce(&mut Queue)) -> Result<(), NotDone> {
        let mut queue = self.lock();
        let waiting = queue.waiting();
        if waiting >= self.capacity {
            self.metrics.refused.inc();
            return Err(NotDone::QueueFull { waiting });
        }
        add(&mut queue);
        self.metrics.waiting.set(waiting as i64 + 1);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            queue = match queue.next() {
                Next::Work(job) => {
                    self.metrics.waiting.set(queue.waiting() as i64);
                    if queue.gathers() {
                        // This thread watched when they are due; now another has to.
                        self.wake.notify_one();
                    }
                    return Some(job);
                }
                Next::Wait if queue.closed => return None,
                Next::Wait => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Next::WaitUntil(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    let waited = self.wake.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn one_thread(queue: usize) -> (Arc<Compute>, ComputeMetrics) {
        let metrics = ComputeMetrics::default();
        let settings = ComputeSettings {
            threads: NonZeroUsize::MIN,
            queue,
            gather: GatherSettings::default(),
        };
        (
            Arc::new(Compute::start(&settings, metrics.clone()).unwrap()),
            metrics,
        )
    }

    pub(super) fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    /// Keeps the only thread busy until the sender is dropped.
    pub(super) fn occupy(compute: &Arc<Compute>) -> mpsc::Sender<()> {
        let (release, held) = mpsc::channel::<()>();
        let (started, starting) = mpsc::channel();
        let compute = Arc::clone(compute);
        let hold = move || {
            started.send(()).unwrap();
            let _ = held.recv();
        };
        tokio::spawn(async move { compute.run(soon(), hold).await });
        tokio::task::block_in_place(|| starting.recv().unwrap());
        release
    }

    #[tokio::test]
    async fn work_runs_on_a_compute_thread() {
        let (compute, _) = one_thread(1);
        let name = compute
            .run(soon(), || thread::current().name().map(str::to_owned))
            .await
            .unwrap();
        assert_eq!(name.as_deref(), Some("compute-0"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_full_queue_is_said_at_once() {
        let (compute, metrics) = one_thread(0);
        let refused = compute.run(soon(), || ()).await;
        assert_eq!(refused, Err(NotDone::QueueFull { waiting: 0 }));
        assert_eq!(metrics.refused.get(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_is_late_before_it_begins_is_never_begun() {
        let (compute, metrics) = one_thread(8);
        let release = occupy(&compute);
        let (begun, seen) = mpsc::channel();
        let late = compute
            .run(Instant::now() + Duration::from_millis(5), move || begun.send(()))
            .await;
        assert_eq!(late.err(), Some(NotDone::Late));
        drop(release);
        compute.run(soon(), || ()).await.unwrap();
        assert!(seen.recv().is_err());
        assert_eq!(metrics.expired.get(), 1);
    }

    #[tokio::test]
    async fn a_panic_costs_one_request_and_no_thread() {
        let (compute, _) = one_thread(8);
        assert_eq!(
            compute.run(soon(), || panic!("a test's own panic")).await,
            Err::<(), _>(NotDone::Panicked)
        );
        assert_eq!(compute.run(soon(), || 7).await, Ok(7));
    }
}
