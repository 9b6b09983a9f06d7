//! What a variant's pod counts of its online store.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::bounds;

/// How a request came to know what the online store holds of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OnlineRead {
    /// It was known here.
    Cached,
    /// The store was asked.
    Read,
    /// It did not come to know: the store took too long.
    Late,
    /// The same: too many waited for the store.
    Busy,
    /// The same: the store failed several times, and was left alone.
    Resting,
    /// The same: the store failed.
    Failed,
}

/// What a variant's pod counts of its online store.
#[derive(Clone, Debug)]
pub struct OnlineMetrics {
    reads: Family<OutcomeLabels, Counter>,
    read_seconds: Histogram,
    /// Changes that the store's news told of.
    pub news: Counter,
    /// Items that the store holds and that can't be served.
    pub refused_items: Counter,
    /// 1 while the news are followed.
    pub followed: Gauge,
}

impl Default for OnlineMetrics {
    fn default() -> Self {
        Self {
            reads: Family::default(),
            read_seconds: Histogram::new(bounds()),
            news: Counter::default(),
            refused_items: Counter::default(),
            followed: Gauge::default(),
        }
    }
}

impl OnlineMetrics {
    /// Notes how a user was read, and how long that took where the store was asked.
    pub fn read(&self, outcome: OnlineRead, took: Duration) {
        let outcome_label = OutcomeLabels {
            outcome: outcome.into(),
        };
        self.reads.get_or_create(&outcome_label).inc();
        if matches!(outcome, OnlineRead::Read | OnlineRead::Late | OnlineRead::Failed) {
            self.read_seconds.observe(took.as_secs_f64());
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "online_reads",
            "Reads of users from the online store, by outcome",
            self.reads.clone(),
        );
        registry.register(
            "online_read_seconds",
            "Seconds that requests waited for the online store",
            self.read_seconds.clone(),
        );
        registry.register(
            "online_news",
            "Changes that the online store told of",
            self.news.clone(),
        );
        registry.register(
            "online_refused_items",
            "Items of the online store that could not be served",
            self.refused_items.clone(),
        );
        registry.register(
            "online_followed",
            "1 while the changes of the online store are followed",
            self.followed.clone(),
        );
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}
