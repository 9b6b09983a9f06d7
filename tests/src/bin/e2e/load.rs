//! Clients that ask all the time, each in one of the ways in which clients connect.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gondola_protocol::proto::RecommendRequest;
use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_tests::http::{self, Kept, Version};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

/// The pause of each client between two asks: short enough that every second of a rollout sees many.
const PAUSE: Duration = Duration::from_millis(15);
/// An answer that takes longer is a failure.
const DEADLINE: Duration = Duration::from_secs(5);
/// How many failures of a step are told in full.
const COMPLAINTS: usize = 6;
/// Households of The Complete Journey that are asked for.
const USERS: u64 = 2_400;

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A connection for each request, as `curl` does.
    Anew,
    /// One HTTP/1.1 connection, kept.
    Http1,
    /// One HTTP/2 connection, kept.
    Http2,
    /// One gRPC channel, kept.
    Grpc,
}

impl Way {
    const ALL: [Self; 4] = [Self::Anew, Self::Http1, Self::Http2, Self::Grpc];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anew => "new connections",
            Self::Http1 => "kept HTTP/1.1",
            Self::Http2 => "kept HTTP/2",
            Self::Grpc => "kept gRPC",
        })
    }
}

/// How many requests were sent, and how many of them failed, by way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts([(u64, u64); Way::ALL.len()]);

impl Counts {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for (now, then) in since.0.iter_mut().zip(&before.0) {
            *now = (now.0 - then.0, now.1 - then.1);
        }
        since
    }

    pub(crate) fn sent(&self) -> u64 {
        self.0.iter().map(|(sent, _)| sent).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.0.iter().map(|(_, failed)| failed).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.sent())?;
        for (way, (_, failed)) in Way::ALL
            .iter()
            .zip(&self.0)
            .filter(|(_, (_, failed))| *failed > 0)
        {
            write!(f, ", {failed} failed of {way}")?;
        }
        Ok(())
    }
}

/// Clients that ask until this is dropped.
pub(crate) struct Load {
    totals: Arc<Totals>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Totals {
    sent: [AtomicU64; Way::ALL.len()],
    failed: [AtomicU64; Way::ALL.len()],
    resting: AtomicBool,
    complaints: Mutex<Vec<String>>,
}

impl Load {
    /// Asks an address for the recommendations of one household after the other.
    pub(crate) fn start(address: &str) -> Self {
        let totals = Arc::new(Totals::default());
        let client = |way| tokio::spawn(ask_for_ever(way, address.to_owned(), Arc::clone(&totals)));
        let clients = Way::ALL.into_iter().map(client).collect();
        Self { totals, clients }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for (place, count) in counts.0.iter_mut().enumerate() {
            let read = |of: &[AtomicU64]| of[place].load(Ordering::Relaxed);
            *count = (read(&self.totals.sent), read(&self.totals.failed));
        }
        counts
    }

    /// Why requests failed since this was asked last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        std::mem::take(&mut *self.totals.complaints.lock().expect("nobody panics with it"))
    }

    /// Whether nobody asks for now: some steps take away what is asked.
    pub(crate) fn rest(&self, rest: bool) {
        self.totals.resting.store(rest, Ordering::Relaxed);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.clients.iter().for_each(JoinHandle::abort);
    }
}

impl Totals {
    fn count(&self, way: Way, user: u64, outcome: &anyhow::Result<()>) {
        let place = way as usize;
        self.sent[place].fetch_add(1, Ordering::Relaxed);
        let Err(why) = outcome else { return };
        self.failed[place].fetch_add(1, Ordering::Relaxed);
        let mut complaints = self.complaints.lock().expect("nobody panics with it");
        if complaints.len() < COMPLAINTS {
            complaints.push(format!("user {user}, {way}: {why:#}"));
        }
    }
}

async fn ask_for_ever(way: Way, address: String, totals: Arc<Totals>) {
    let first = way as u64;
    let mut client = Client::new(way, &address);
    for user in (first..).step_by(Way::ALL.len()).map(|user| 1 + user % USERS) {
        while totals.resting.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
        }
        let outcome = tokio::time::timeout(DEADLINE, client.ask(user)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {DEADLINE:?}")));
        totals.count(way, user, &outcome);
        tokio::time::sleep(PAUSE).await;
    }
}

enum Client {
    Anew(String),
    Kept(Kept),
    Grpc(RecommenderClient<Channel>),
}

impl Client {
    fn new(way: Way, address: &str) -> Self {
        match way {
            Way::Anew => Self::Anew(address.to_owned()),
            Way::Http1 => Self::Kept(Kept::new(address, Version::Http1)),
            Way::Http2 => Self::Kept(Kept::new(address, Version::Http2)),
            Way::Grpc => {
                let endpoint =
                    Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
                Self::Grpc(RecommenderClient::new(endpoint.connect_lazy()))
            }
        }
    }

    async fn ask(&mut self, user: u64) -> anyhow::Result<()> {
        let path = format!("/v1/recommend?user={user}&k=12");
        match self {
            Self::Anew(address) => http::get(address, &path).await?.json().map(drop),
            Self::Kept(kept) => kept.get(&path).await?.json().map(drop),
            Self::Grpc(client) => ask_by_grpc(client, user).await,
        }
    }
}

async fn ask_by_grpc(client: &mut RecommenderClient<Channel>, user: u64) -> anyhow::Result<()> {
    let request = || RecommendRequest {
        user: user.to_string(),
        k: Some(12),
        ..RecommendRequest::default()
    };
    match client.recommend(request()).await {
        // Every gRPC client but tonic's sends such a request again by itself.
        Err(status) if was_never_sent(&status) => client.recommend(request()).await.map(drop)?,
        other => other.map(drop)?,
    }
    Ok(())
}

/// Whether the connection was given up before the request left.
fn was_never_sent(status: &tonic::Status) -> bool {
    let mut causes = std::iter::successors(status.source(), |cause| (*cause).source());
    causes.any(|cause| {
        cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled)
    })
}
