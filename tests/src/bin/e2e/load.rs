//! Clients that ask all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use gondola_tests::http;

/// Clients, and the pause of each between two asks: enough that every second of a rollout sees many.
const CLIENTS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// An answer that takes longer is a failure.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many requests were sent, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            failed: self.failed - before.failed,
        }
    }
}

/// Clients that ask until this is dropped.
pub(crate) struct Load {
    totals: Arc<Totals>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Totals {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Asks an address for the recommendations of one household after the other.
    pub(crate) fn start(address: &str) -> Self {
        let totals = Arc::new(Totals::default());
        let client = |number| tokio::spawn(ask_for_ever(address.to_owned(), number, Arc::clone(&totals)));
        let clients = (0..CLIENTS).map(client).collect();
        Self { totals, clients }
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            sent: self.totals.sent.load(Ordering::Relaxed),
            failed: self.totals.failed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

async fn ask_for_ever(address: String, first: u64, totals: Arc<Totals>) {
    for user in (first..).step_by(CLIENTS as usize) {
        let path = format!("/v1/recommend?user={}&k=12", 1 + user % 2_400);
        let answer = tokio::time::timeout(DEADLINE, http::get(&address, &path)).await;
        totals.sent.fetch_add(1, Ordering::Relaxed);
        let went_well = matches!(&answer, Ok(Ok(answer)) if answer.status == 200);
        if !went_well {
            totals.failed.fetch_add(1, Ordering::Relaxed);
            eprintln!("user {user}: {answer:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
