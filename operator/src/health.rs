//! Whether the operator is alive: its health endpoints, and the pulse of its reconcile loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::caches::lists::Lists;
use crate::metrics::Metrics;

/// Everything is listed again every ten minutes; caches whose last good list is older than this don't know what is there.
const OLD_AFTER: Duration = Duration::from_secs(1500);
/// A loop that did not move for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// How often the loop shows that it moves.
const BEAT: Duration = Duration::from_secs(5);

/// The pulse of the reconcile loop: it beats as long as the task moves that passes run in. One pass that never ends has a time limit
/// of its own.
#[derive(Clone, Debug)]
pub struct Pulse {
    started: Instant,
    last: Arc<AtomicU64>,
    ready: Arc<AtomicBool>,
    lists: Lists,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: Arc::default(),
            ready: Arc::default(),
            lists: Lists::default(),
        }
    }
}

impl Pulse {
    fn beat(&self) {
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(milliseconds, Ordering::Relaxed);
    }

    /// Beats for as long as it is polled: beside the passes, or while standing by.
    pub async fn keep_beating(&self) {
        loop {
            self.beat();
            tokio::time::sleep(BEAT).await;
        }
    }

    /// Whether the loop moved recently.
    pub fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) < STUCK_AFTER
    }

    /// When each kind was listed last.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// The caches are filled, or this operator is on standby: either way it is ready.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// `/healthz`, `/readyz` and `/metrics`: the operator's own, which say nothing of any tenant.
pub fn router(pulse: Pulse, metrics: Metrics) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pulse)
        .route("/metrics", get(move || std::future::ready(metrics.text())))
}

async fn healthz(State(pulse): State<Pulse>) -> (StatusCode, &'static str) {
    match pulse.is_alive() {
        true => (StatusCode::OK, "alive\n"),
        false => (StatusCode::INTERNAL_SERVER_ERROR, "the reconcile loop is stuck\n"),
    }
}

async fn readyz(State(pulse): State<Pulse>) -> (StatusCode, String) {
    if !pulse.ready.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the caches are still filling\n".to_owned(),
        );
    }
    match pulse.lists.oldest() {
        Some((kind, age)) if age > OLD_AFTER => {
            let message = format!(
                "{kind} could not be listed for {} seconds; see the log\n",
                age.as_secs()
            );
            (StatusCode::SERVICE_UNAVAILABLE, message)
        }
        _ => (StatusCode::OK, "ready\n".to_owned()),
    }
}
