//! What the arms of an experiment did, for Prometheus: for alarms and pictures, never for a verdict.
//!
//! It is made from the router's own report at every scrape, so that an epoch that is over leaves nothing behind.

use gondola_wire::router_report::{ArmReport, RouterReport};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Name, meaning, and where the report has it.
type Count = (&'static str, &'static str, fn(&ArmReport) -> u64);

/// What is counted of each arm.
const COUNTS: [Count; 6] = [
    ("requests", "Answers and errors of participating units", |arm| {
        arm.counts.requests
    }),
    ("errors", "Errors", |arm| arm.counts.errors),
    ("slow", "Answers slower than the configured limit", |arm| {
        arm.counts.slow
    }),
    (
        "fallbacks",
        "Answers that came from a fallback instead of the arm",
        |arm| arm.counts.fallbacks,
    ),
    ("empty", "Answers without an item", |arm| arm.counts.empty),
    ("dropped", "Exposures that were not recorded", |arm| arm.dropped),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExperimentLabels {
    experiment: String,
    epoch: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ArmLabels {
    experiment: String,
    epoch: u32,
    arm: String,
}

/// A report as metrics, `gondola_experiment_...`.
pub(super) fn registry(report: &RouterReport) -> Registry {
    let RouterReport {
        experiment, epoch, ..
    } = report;
    let mut registry = Registry::with_prefix("gondola_experiment");
    for (name, meaning, count) in COUNTS {
        let family = Family::<ArmLabels, Counter>::default();
        for arm in &report.arms {
            let labels = ArmLabels {
                experiment: experiment.clone(),
                epoch: *epoch,
                arm: arm.name.clone(),
            };
            family.get_or_create(&labels).inc_by(count(arm));
        }
        registry.register(name, meaning, family);
    }
    let labels = ExperimentLabels {
        experiment: experiment.clone(),
        epoch: *epoch,
    };
    let outcomes = Family::<ExperimentLabels, Counter>::default();
    outcomes.get_or_create(&labels).inc_by(report.outcomes);
    registry.register("outcomes", "Outcomes accepted", outcomes);
    let waiting = Family::<ExperimentLabels, Gauge>::default();
    let count = i64::try_from(report.waiting).unwrap_or(i64::MAX);
    waiting.get_or_create(&labels).set(count);
    registry.register("waiting", "Events not in the store yet", waiting);
    registry
}
