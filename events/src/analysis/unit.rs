//! All that is known of one unit.

use gondola_crds::experiment::MetricKind;
use gondola_experiments::statistics::Observation;

use super::rules::MetricRule;
use crate::event::Microseconds;

/// Most outcomes that are kept of one unit: a person has fewer, and a machine must not fill the memory.
const MOST_OUTCOMES: usize = 10_000;

/// One unit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// The first exposure, if there was one.
    pub first: Option<First>,
    /// Whether it was seen in two arms.
    pub crossover: bool,
    /// Answers that the control gave instead.
    pub fallbacks: u32,
    /// Ids of its exposures, ascending.
    pub exposures: Vec<u64>,
    /// Its outcomes, by id.
    pub outcomes: Vec<Happened>,
}

/// The first exposure: of two at one moment, the one with the smaller id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct First {
    /// When.
    pub time: Microseconds,
    /// Its id.
    pub id: u64,
    /// The arm, by its place.
    pub arm: u8,
}

/// An exposure, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When, which one, and in which arm.
    pub at: First,
    /// Whether the control answered instead.
    pub fallback: bool,
}

/// An outcome, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Happened {
    /// Which one.
    pub id: u64,
    /// Its type, by its place in the rules.
    pub kind: u8,
    /// When.
    pub time: Microseconds,
    /// How much.
    pub value: f64,
}

impl Happened {
    /// Of two tellings of one outcome, one is kept, whichever came first.
    fn before(&self, other: &Self) -> bool {
        (self.time, self.kind)
            .cmp(&(other.time, other.kind))
            .then(self.value.total_cmp(&other.value))
            .is_lt()
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is new.
    New,
    /// It was there already.
    Duplicate,
    /// There is no room for it.
    Beyond,
}

impl Unit {
    /// Takes an exposure.
    pub fn show(&mut self, shown: Shown) -> Fate {
        if let Some(first) = self.first {
            self.crossover |= first.arm != shown.at.arm;
        }
        self.first = Some(self.first.map_or(shown.at, |first| first.min(shown.at)));
        match self.exposures.binary_search(&shown.at.id) {
            Ok(_) => Fate::Duplicate,
            Err(place) => {
                self.exposures.insert(place, shown.at.id);
                self.fallbacks += u32::from(shown.fallback);
                Fate::New
            }
        }
    }

    /// Takes an outcome.
    pub fn happen(&mut self, happened: Happened) -> Fate {
        match self.outcomes.binary_search_by_key(&happened.id, |known| known.id) {
            Ok(place) => {
                if happened.before(&self.outcomes[place]) {
                    self.outcomes[place] = happened;
                }
                Fate::Duplicate
            }
            Err(_) if self.outcomes.len() >= MOST_OUTCOMES => Fate::Beyond,
            Err(place) => {
                self.outcomes.insert(place, happened);
                Fate::New
            }
        }
    }

    /// Forgets outcomes that can't matter any more: of a unit that was not exposed, those before `before`.
    pub fn forget(&mut self, before: Microseconds) {
        if self.first.is_none() {
            self.outcomes.retain(|outcome| outcome.time >= before);
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.outcomes.is_empty()
    }

    /// What it contributes to a metric, once its window is over.
    pub fn observe(&self, metric: &MetricRule, first: Microseconds) -> Observation {
        let within = |kind: u8, from: Microseconds, to: Microseconds| {
            let counted = self
                .outcomes
                .iter()
                .filter(move |outcome| outcome.kind == kind && (from..to).contains(&outcome.time));
            value(metric, counted)
        };
        let end = first.saturating_add(metric.window);
        Observation {
            y: within(metric.outcome, first, end),
            m: metric.below.map_or(0.0, |below| within(below, first, end)),
            x: metric.lookback.map_or(0.0, |lookback| {
                within(metric.outcome, first.saturating_sub(lookback), first)
            }),
        }
    }
}

fn value<'a>(metric: &MetricRule, outcomes: impl Iterator<Item = &'a Happened>) -> f64 {
    let value = match metric.kind {
        MetricKind::Conversion => f64::from(u8::from(outcomes.count() > 0)),
        MetricKind::Count | MetricKind::Ratio => outcomes.count() as f64,
        MetricKind::Sum => {
            // By id, so that the sum is the same to the last bit.
            outcomes.map(|outcome| outcome.value).sum()
        }
    };
    metric.cap.map_or(value, |cap| value.min(cap))
}
