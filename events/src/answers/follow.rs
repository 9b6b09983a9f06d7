//! What followed an answer, by a metric.

use std::time::Duration;

use gondola_crds::experiment::MetricKind;
use gondola_experiments::settings::MetricSettings;
use gondola_wire::time::after;
use jiff::Timestamp;

use super::{Answer, Told, Unit};
use crate::event::is_in_its_second;

/// What a unit's answers came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Followed {
    /// For each answer whose window is over, its place among the unit's answers and its rewards, place by place.
    pub rewards: Vec<(usize, Vec<f64>)>,
    /// Answers whose window is not over yet.
    pub young: usize,
    /// Outcomes of items that were in no answer which they could follow.
    pub not_shown: usize,
    /// Outcomes that followed no answer, or one that is not in the log.
    pub without_answer: usize,
}

/// Where an outcome belongs.
enum Belongs {
    /// To an answer, at a place of it.
    At(usize, usize),
    NotShown,
    Nowhere,
}

impl Unit {
    /// What each of the unit's answers came to by `now`, where outcomes may be late by `lateness`.
    ///
    /// At a place stands what depends on the list as far as it: of a conversion, 1 at the first place whose item was bought; of a metric
    /// that is capped, what the place adds to the sum of those before it, below the cap.
    pub fn followed(&self, metric: &MetricSettings, now: Timestamp, lateness: Duration) -> Followed {
        let mut sums: Vec<Vec<f64>> = self
            .answers
            .iter()
            .map(|answer| vec![0.0; answer.items.len()])
            .collect();
        let mut followed = Followed::default();
        for told in self.outcomes.iter().filter(|told| *told.kind == *metric.outcome) {
            match self.belongs(told, metric.window) {
                Belongs::At(answer, place) => sums[answer][place] += amount(metric.kind, told.value),
                Belongs::NotShown => followed.not_shown += 1,
                Belongs::Nowhere => followed.without_answer += 1,
            }
        }
        for (place, (answer, sums)) in self.answers.iter().zip(sums).enumerate() {
            match after(after(answer.time, metric.window), lateness) <= now {
                true => followed.rewards.push((place, rewards(metric, sums))),
                false => followed.young += 1,
            }
        }
        followed
    }

    fn belongs(&self, told: &Told, window: Duration) -> Belongs {
        let mut before = self
            .answers
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, answer)| follows(told, answer, window));
        let found = match (&told.request, told.item) {
            (Some(request), _) => before.find(|(_, answer)| answer.request == *request),
            (None, None) => before.next(),
            (None, Some(item)) => {
                let mut before = before.peekable();
                if before.peek().is_none() {
                    return Belongs::Nowhere;
                }
                match before.find(|(_, answer)| place_of(item, answer).is_some()) {
                    None => return Belongs::NotShown,
                    found => found,
                }
            }
        };
        let Some((number, answer)) = found else {
            return Belongs::Nowhere;
        };
        let place = match told.item {
            None => Some(answer.items.len() - 1),
            Some(item) => place_of(item, answer),
        };
        place.map_or(Belongs::NotShown, |place| Belongs::At(number, place))
    }
}

/// Whether an outcome happened in the window of an answer.
fn follows(told: &Told, answer: &Answer, window: Duration) -> bool {
    let begun = told.time >= answer.time || is_in_its_second(told.time, answer.time);
    begun && told.time < after(answer.time, window)
}

fn place_of(item: Option<u32>, answer: &Answer) -> Option<usize> {
    answer.items.iter().position(|shown| Some(*shown) == item)
}

/// What an outcome adds to its place.
fn amount(kind: MetricKind, value: f64) -> f64 {
    match kind {
        MetricKind::Conversion | MetricKind::Count => 1.0,
        MetricKind::Sum | MetricKind::Ratio => value,
    }
}

/// What each place adds to the metric of the list that ends there.
fn rewards(metric: &MetricSettings, sums: Vec<f64>) -> Vec<f64> {
    let cap = match metric.kind {
        MetricKind::Conversion => Some(1.0),
        _ => metric.cap,
    };
    let Some(cap) = cap else {
        return sums;
    };
    let mut sum: f64 = 0.0;
    let added = |own: f64| {
        let before = sum.min(cap);
        sum += own;
        sum.min(cap) - before
    };
    sums.into_iter().map(added).collect()
}
