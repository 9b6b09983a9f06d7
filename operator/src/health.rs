//! Whether the operator lives: its health endpoints, and the pulse of its reconcile loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::dashboard::Dashboard;
use crate::metrics::Metrics;

/// What the text of metrics ends in.
const END: &str = "# EOF\n";
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
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last: Arc::default(),
            ready: Arc::default(),
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

    /// Whether the loop moved lately.
    pub fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last) < STUCK_AFTER
    }

    /// The caches are filled, or this operator stands by for the leader: either way it does its work.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn router(pulse: Pulse, metrics: Metrics, dashboard: Dashboard) -> Router {
    // The end of the text is said once.
    let text = move || {
        let operator = metrics.text();
        format!("{}{}{END}", operator.trim_end_matches(END), dashboard.metrics())
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(pulse)
        .route("/metrics", get(move || std::future::ready(text())))
}

async fn healthz(State(pulse): State<Pulse>) -> (StatusCode, &'static str) {
    match pulse.is_alive() {
        true => (StatusCode::OK, "alive\n"),
        false => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the reconcile loop does not move\n",
        ),
    }
}

async fn readyz(State(pulse): State<Pulse>) -> (StatusCode, &'static str) {
    match pulse.ready.load(Ordering::Relaxed) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the caches are being filled\n"),
    }
}
