//! What happened, in numbers that Prometheus reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters of the operator.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Histogram,
    failures: Counter,
    writes: Counter,
    leading: Gauge,
    oldest_list: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gondola_operator");
        let passes = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let (failures, writes, leading) = (Counter::default(), Counter::default(), Gauge::default());
        let oldest_list = Gauge::default();
        registry.register_with_unit(
            "oldest_list",
            "Age of the oldest of the last good lists of all kinds",
            Unit::Seconds,
            oldest_list.clone(),
        );
        registry.register_with_unit(
            "reconcile",
            "Passes and how long they took",
            Unit::Seconds,
            passes.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Passes that are made again",
            failures.clone(),
        );
        registry.register(
            "writes",
            "Objects written or deleted, statuses among them",
            writes.clone(),
        );
        registry.register("leading", "Whether this operator leads", leading.clone());
        Self {
            registry: Arc::new(registry),
            passes,
            failures,
            writes,
            leading,
            oldest_list,
        }
    }
}

/// Measures a pass until it is dropped.
pub struct PassTimer {
    passes: Histogram,
    started: Instant,
}

impl Drop for PassTimer {
    fn drop(&mut self) {
        self.passes.observe(self.started.elapsed().as_secs_f64());
    }
}

impl Metrics {
    /// Begins to measure a pass.
    pub fn pass(&self) -> PassTimer {
        PassTimer {
            passes: self.passes.clone(),
            started: Instant::now(),
        }
    }

    /// A pass failed.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// So many objects were written.
    pub fn wrote(&self, objects: usize) {
        self.writes.inc_by(objects as u64);
    }

    /// Whether this operator leads.
    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// How old the oldest of the last good lists is.
    pub fn set_oldest_list(&self, age: Duration) {
        self.oldest_list
            .set(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    }

    /// All of them, in Prometheus' text form.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String never fails.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
