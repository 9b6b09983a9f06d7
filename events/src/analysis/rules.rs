//! What counts in an epoch of an experiment.

use std::time::Duration;

use gondola_crds::experiment::MetricKind;
use gondola_experiments::settings::{MetricSettings, Settings};
use gondola_wire::arms::PerArm;
use gondola_wire::time::{before, since};
use jiff::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// What counts.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The experiment's name.
    pub experiment: String,
    /// Its epoch.
    pub epoch: u32,
    /// Names of the arms.
    pub arms: PerArm<String>,
    /// The metrics, in the order of the evidence.
    pub metrics: Vec<MetricRule>,
    /// Types of outcomes that count; an outcome remembers its place here.
    pub kinds: Vec<String>,
    /// When the epoch began.
    pub started: Timestamp,
    /// How late an event may come.
    pub lateness: Duration,
    /// How long a look covers.
    pub look: Duration,
    /// How long an outcome of a unit that was not exposed yet may matter.
    pub memory: Duration,
}

/// What counts for a metric.
#[derive(Clone, Debug)]
pub struct MetricRule {
    /// Its name.
    pub name: String,
    /// How.
    pub kind: MetricKind,
    /// The type of outcome that makes y, by its place.
    pub outcome: u8,
    /// Of a ratio, the type that makes m.
    pub below: Option<u8>,
    /// How long after the first exposure.
    pub window: Duration,
    /// How long before it.
    pub lookback: Option<Duration>,
    /// The most that y may be.
    pub cap: Option<f64>,
}

impl MetricRule {
    /// Whether outcomes of a type count for it.
    pub fn counts(&self, kind: u8) -> bool {
        self.outcome == kind || self.below == Some(kind)
    }
}

impl Rules {
    /// The rules of an epoch that began at `started`.
    pub fn new(settings: &Settings, epoch: u32, started: Timestamp) -> Self {
        let mut kinds: Vec<String> = settings
            .metrics()
            .flat_map(|metric| std::iter::once(&metric.outcome).chain(&metric.below))
            .cloned()
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let metrics: Vec<MetricRule> = settings.metrics().map(|metric| rule(metric, &kinds)).collect();
        let lateness = settings.cadence.lateness;
        let lookback = metrics.iter().filter_map(|metric| metric.lookback).max();
        Self {
            experiment: settings.name.clone(),
            epoch,
            arms: settings.arms.map(|arm| arm.name.clone()),
            metrics,
            kinds,
            started,
            lateness,
            look: settings.cadence.look.max(Duration::from_millis(1)),
            // An exposure may reach the store after its outcomes; a day on top costs little.
            memory: lookback.unwrap_or_default().max(lateness) + DAY,
        }
    }

    /// The place of a type of outcome, if it counts.
    pub fn kind(&self, name: &str) -> Option<u8> {
        self.kinds
            .iter()
            .position(|kind| kind == name)
            .map(|place| place as u8)
    }

    /// The place of an arm.
    pub fn arm(&self, name: &str) -> Option<u8> {
        self.arms
            .iter()
            .position(|arm| arm == name)
            .map(|place| place as u8)
    }

    /// Which look a moment falls into; the first one for all that is before.
    pub fn look_of(&self, time: Timestamp) -> u32 {
        let looks = since(self.started, time).as_micros() / self.look.as_micros();
        u32::try_from(looks).unwrap_or(u32::MAX)
    }

    /// The earliest moment from which outcomes matter.
    pub fn earliest(&self) -> Timestamp {
        let lookback = self.metrics.iter().filter_map(|metric| metric.lookback).max();
        before(self.started, lookback.unwrap_or_default())
    }
}

fn rule(metric: &MetricSettings, kinds: &[String]) -> MetricRule {
    // At most 12 metrics of two types each.
    let place = |name: &String| kinds.iter().position(|kind| kind == name).unwrap_or_default() as u8;
    MetricRule {
        name: metric.name.clone(),
        kind: metric.kind,
        outcome: place(&metric.outcome),
        below: metric.below.as_ref().map(place),
        window: metric.window,
        lookback: metric.lookback,
        cap: metric.cap,
    }
}
