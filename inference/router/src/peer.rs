//! One pod of a variant: the connection to it, and whether it can be counted on.
//!
//! A pod that fails several times in a row is set aside for a second, then for twice as long, up to half a minute; after that one
//! request finds out whether it is well again. A [`Peer`] outlives the routers that use it, so that a change of routes does not reset it.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_server::front::MAX_BODY_BYTES;
use gondola_server::tls::ClientTls;

/// Why a variant can't be called at an address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is not an address.
    #[error("{address:?} of variant {variant} is not an address; write HOST:PORT")]
    Form {
        /// The variant.
        variant: String,
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// There is none.
    #[error("variant {variant} has no address; give it one")]
    None {
        /// The variant.
        variant: String,
    },
}

/// Half of what a request has by default: a connection that takes longer helps nobody.
const CONNECT_WITHIN: Duration = Duration::from_millis(100);
/// A connection whose other end is gone without a word is found out by pings.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WITHIN: Duration = Duration::from_secs(3);

/// Failures in a row after which a pod is set aside.
const MAX_FAILURES: u32 = 3;
/// For how long at first, in milliseconds.
const FIRST_ASIDE: u64 = 1_000;
/// For how long at most.
const MAX_ASIDE: u64 = 30_000;

/// A pod at an address.
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) client: RecommenderClient<Channel>,
    pub(super) standing: Standing,
}

impl Peer {
    /// Connects on the first request: over TLS, where that is wanted.
    pub(super) fn new(variant: &str, address: &str, tls: Option<&ClientTls>) -> Result<Self, AddressError> {
        let wrong = |source| AddressError::Form {
            variant: variant.to_owned(),
            address: address.to_owned(),
            source,
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(wrong)?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WITHIN);
        let channel = match tls.cloned() {
            None => endpoint.connect_lazy(),
            Some(tls) => {
                let (tls, address) = (Arc::new(tls), Arc::<str>::from(address));
                endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
                    let (tls, address) = (Arc::clone(&tls), Arc::clone(&address));
                    async move {
                        let stream = TcpStream::connect(&*address).await?;
                        stream.set_nodelay(true)?;
                        let stream = tls.connect(stream).await;
                        // tonic keeps the cause to itself, and a certificate that does not fit is for somebody to mend.
                        stream.map(TokioIo::new).inspect_err(|error| {
                            tracing::warn!(pod = &*address, %error, "a pod did not shake hands as its certificate should");
                        })
                    }
                }))
            }
        };
        Ok(Self {
            address: address.to_owned(),
            client: RecommenderClient::new(channel).max_decoding_message_size(MAX_BODY_BYTES),
            standing: Standing::default(),
        })
    }
}

/// Milliseconds since the first call of this function, and never 0.
pub(super) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis())
        .unwrap_or(u64::MAX)
        .saturating_add(1)
}

/// How a pod does. Times are milliseconds of [`now`].
#[derive(Default)]
pub(super) struct Standing {
    under_way: AtomicUsize,
    /// In a row.
    failures: AtomicU32,
    /// Until when it is set aside; 0 where it isn't.
    aside_until: AtomicU64,
    /// For how long it was set aside last.
    aside_for: AtomicU64,
}

/// Counts a request for as long as it is running.
pub(super) struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Standing {
    /// The number of running requests. They pile up at a pod that hangs, so that others get requests even before the hang is detected.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) -> UnderWay<'_> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(&self.under_way)
    }

    /// Whether other pods should be preferred.
    pub(super) fn is_aside(&self, now: u64) -> bool {
        self.aside_until.load(Ordering::Relaxed) > now
    }

    /// Whether it has been aside for long enough, and this caller is the one who finds out how it does. If it still fails, it stays
    /// aside for twice as long from now.
    pub(super) fn claim_probe(&self, now: u64) -> bool {
        let until = self.aside_until.load(Ordering::Relaxed);
        if until == 0 || until > now {
            return false;
        }
        let longer = (self.aside_for.load(Ordering::Relaxed) * 2).clamp(FIRST_ASIDE, MAX_ASIDE);
        let mine = self
            .aside_until
            .compare_exchange(until, now + longer, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if mine {
            self.aside_for.store(longer, Ordering::Relaxed);
        }
        mine
    }

    /// It answered; whether it was set aside until now.
    pub(super) fn succeeded(&self) -> bool {
        // Written only where it changes: every request comes by here.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.aside_until.load(Ordering::Relaxed) != 0 && self.aside_until.swap(0, Ordering::Relaxed) != 0
    }

    /// It did not answer; whether it is set aside from now on.
    pub(super) fn failed(&self, now: u64) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < MAX_FAILURES {
            return false;
        }
        let until = now + FIRST_ASIDE;
        let set = self
            .aside_until
            .compare_exchange(0, until, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if set {
            self.aside_for.store(FIRST_ASIDE, Ordering::Relaxed);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_set_a_pod_aside_and_an_answer_between_them_does_not() {
        let standing = Standing::default();
        for _ in 0..10 {
            assert!(!standing.failed(1) && !standing.failed(1));
            assert!(!standing.succeeded());
        }
        assert!(!standing.failed(1) && !standing.failed(1) && standing.failed(1));
        assert!(standing.is_aside(1_000) && !standing.is_aside(1_001));
        assert!(standing.succeeded() && !standing.is_aside(2));
    }

    #[test]
    fn one_request_at_a_time_finds_out_and_each_waits_longer() {
        let standing = Standing::default();
        assert!(!standing.claim_probe(1));
        for _ in 0..MAX_FAILURES {
            standing.failed(1);
        }
        let mut now = 1;
        for aside in [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            assert!(!standing.claim_probe(now + aside - 1), "not before {aside} ms");
            now += aside;
            assert!(standing.claim_probe(now), "after {aside} ms");
            assert!(!standing.claim_probe(now), "one alone");
            assert!(!standing.failed(now), "it is aside already");
        }
        assert!(standing.succeeded());
        assert!(!standing.claim_probe(now + 60_000) && !standing.is_aside(now));
    }

    #[test]
    fn asks_that_are_under_way_are_counted() {
        let standing = Standing::default();
        let (one, two) = (standing.begin(), standing.begin());
        assert_eq!(standing.under_way(), 2);
        drop((one, two));
        assert_eq!(standing.under_way(), 0);
    }
}
