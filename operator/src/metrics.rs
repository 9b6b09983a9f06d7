//! The operator's metrics for Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::caches::lists::Lists;

/// Counters of the operator.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    passes: Histogram,
    failures: Counter,
    writes: Counter,
    leading: Gauge,
}

/// Reads the age of the oldest list at every scrape.
#[derive(Debug)]
struct OldestList(Lists);

impl Collector for OldestList {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let age = self.0.oldest().map_or(Duration::ZERO, |(_, age)| age);
        let help = "Age of the oldest successful list, over all kinds";
        let gauge =
            encoder.encode_descriptor("oldest_list", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(age.as_secs()).unwrap_or(i64::MAX)).encode(gauge)
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
    /// Metrics of an operator that keeps these lists.
    pub fn new(lists: Lists) -> Self {
        let mut registry = Registry::with_prefix("gondola_operator");
        let passes = Histogram::new(exponential_buckets(0.001, 2.0, 14));
        let (failures, writes, leading) = (Counter::default(), Counter::default(), Gauge::default());
        registry.register_collector(Box::new(OldestList(lists)));
        registry.register_with_unit(
            "reconcile",
            "Number and duration of passes",
            Unit::Seconds,
            passes.clone(),
        );
        registry.register(
            "reconcile_failures",
            "Passes that failed and are retried",
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
        }
    }

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

    /// All of them, in Prometheus' text form.
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes all that is written to it");
        text
    }
}
