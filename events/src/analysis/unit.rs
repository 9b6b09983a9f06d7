//! All that is known of one unit.

use gondola_crds::experiment::MetricKind;
use gondola_wire::sums::Observation;
use gondola_wire::time::{after, before};
use jiff::Timestamp;

use super::rules::MetricRule;
use crate::event::is_in_its_second;

/// Most outcomes that are kept of one unit: a person has fewer, and a machine must not fill the memory.
const MAX_OUTCOMES: usize = 10_000;

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
    pub outcomes: Vec<KnownOutcome>,
}

/// The first exposure: of two at one moment, the one with the smaller id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct First {
    /// When.
    pub time: Timestamp,
    /// Its id.
    pub id: u64,
    /// The arm, by its place.
    pub arm: u8,
}

/// An exposure, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownExposure {
    /// When, which one, and in which arm.
    pub at: First,
    /// Whether the control answered instead.
    pub fallback: bool,
}

/// An outcome, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownOutcome {
    /// Which one.
    pub id: u64,
    /// Its type, by its place in the rules.
    pub kind: u8,
    /// When.
    pub time: Timestamp,
    /// How much.
    pub value: f64,
}

impl KnownOutcome {
    /// Of two reports of one outcome, the same one is kept, whichever came first.
    fn before(&self, other: &Self) -> bool {
        (self.time, self.kind)
            .cmp(&(other.time, other.kind))
            .then(self.value.total_cmp(&other.value))
            .is_lt()
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is new.
    New,
    /// It was there already.
    Duplicate,
    /// There is no room for it.
    Beyond,
}

impl Unit {
    /// Takes an exposure.
    pub fn show(&mut self, shown: KnownExposure) -> Admission {
        if let Some(first) = self.first {
            self.crossover |= first.arm != shown.at.arm;
        }
        self.first = Some(self.first.map_or(shown.at, |first| first.min(shown.at)));
        match self.exposures.binary_search(&shown.at.id) {
            Ok(_) => Admission::Duplicate,
            Err(place) => {
                self.exposures.insert(place, shown.at.id);
                self.fallbacks += u32::from(shown.fallback);
                Admission::New
            }
        }
    }

    /// Takes an outcome.
    pub fn happen(&mut self, happened: KnownOutcome) -> Admission {
        match self.outcomes.binary_search_by_key(&happened.id, |known| known.id) {
            Ok(place) => {
                if happened.before(&self.outcomes[place]) {
                    self.outcomes[place] = happened;
                }
                Admission::Duplicate
            }
            Err(_) if self.outcomes.len() >= MAX_OUTCOMES => Admission::Beyond,
            Err(place) => {
                self.outcomes.insert(place, happened);
                Admission::New
            }
        }
    }

    /// Forgets outcomes that can't matter any more: of a unit that was not exposed, those before `before`. Gives how many.
    pub fn forget(&mut self, before: Timestamp) -> u64 {
        let known = self.outcomes.len();
        if self.first.is_none() {
            self.outcomes.retain(|outcome| outcome.time >= before);
        }
        (known - self.outcomes.len()) as u64
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.outcomes.is_empty()
    }

    /// What it contributes to a metric, once its window is over.
    pub fn observe(&self, metric: &MetricRule, first: Timestamp) -> Observation {
        let reach = Span::new(metric, first);
        let value = |kind: u8, when: When| {
            let counted = self
                .outcomes
                .iter()
                .filter(|outcome| outcome.kind == kind && reach.when(outcome) == when);
            value(metric.kind, counted)
        };
        let capped = |value: f64| metric.cap.map_or(value, |cap| value.min(cap));
        Observation {
            y: capped(value(metric.outcome, When::Window)),
            m: metric.below.map_or(0.0, |below| value(below, When::Window)),
            x: metric
                .lookback
                .map_or(0.0, |_| capped(value(metric.outcome, When::Lookback))),
        }
    }

    /// How many of its outcomes lie outside of what any metric looks at: before, and after.
    pub fn left_out(&self, metrics: &[MetricRule], first: Timestamp) -> (u64, u64) {
        let spans: Vec<Span> = metrics.iter().map(|metric| Span::new(metric, first)).collect();
        let (mut before, mut after) = (0, 0);
        for outcome in &self.outcomes {
            let of_all = metrics.iter().zip(&spans);
            let of_kind = of_all.filter(|(metric, _)| metric.counts(outcome.kind));
            let mut whens = of_kind.map(|(_, reach)| reach.when(outcome)).peekable();
            let is_after = whens.peek() == Some(&When::After);
            if whens.any(|when| matches!(when, When::Lookback | When::Window)) {
                continue;
            }
            if is_after {
                after += 1;
            } else {
                before += 1;
            }
        }
        (before, after)
    }
}

/// Where an outcome lies, as a metric sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Too early to matter.
    Before,
    /// Before the first exposure, where behavior before counts.
    Lookback,
    /// After the first exposure, within the window.
    Window,
    /// Too late to matter.
    After,
}

/// From when to when a metric looks at the outcomes of a unit.
struct Span {
    /// Where behavior before counts.
    lookback: Option<Timestamp>,
    first: Timestamp,
    end: Timestamp,
}

impl Span {
    fn new(metric: &MetricRule, first: Timestamp) -> Self {
        Self {
            lookback: metric.lookback.map(|lookback| before(first, lookback)),
            first,
            end: after(first, metric.window),
        }
    }

    fn when(&self, outcome: &KnownOutcome) -> When {
        let time = outcome.time;
        if time >= self.end {
            When::After
        } else if time >= self.first || is_in_its_second(time, self.first) {
            When::Window
        } else if self.lookback.is_some_and(|lookback| time >= lookback) {
            When::Lookback
        } else {
            When::Before
        }
    }
}

fn value<'a>(kind: MetricKind, outcomes: impl Iterator<Item = &'a KnownOutcome>) -> f64 {
    match kind {
        MetricKind::Conversion => f64::from(u8::from(outcomes.count() > 0)),
        MetricKind::Count | MetricKind::Ratio => outcomes.count() as f64,
        // By id, so that the sum is the same to the last bit.
        MetricKind::Sum => outcomes.map(|outcome| outcome.value).sum(),
    }
}
