//! Answers that were drawn by chance, and what followed each of them: what a new policy is previewed on.
//!
//! A [`Log`] reads exposures and outcomes, each once however often it is there, and [`Unit::followed`] says for a metric what every answer
//! came to, place by place. Outcomes belong to answers, not to units as in an experiment's [analysis](crate::analysis): a unit's next
//! answer is another choice.
//!
//! - An outcome that names its request belongs to that answer; any other to the unit's last answer before it that shows its item, or,
//!   where it has none, to the last answer.
//! - It counts at the place of its item, and without an item at the last place: of the whole list.
//! - It counts within the metric's window from the answer on. One that belongs to no answer, or is of an item that was not shown, is
//!   left out, and counted.

mod follow;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub use follow::Followed;

use crate::table::{DrawnRow, FollowingRow, TableError, read_drawn, read_following};
use crate::unit::{EventId, UnitHash};

/// An answer whose items were drawn by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// When.
    pub time: Timestamp,
    /// Tells it from other answers at the same time.
    id: EventId,
    /// The request.
    pub request: Arc<str>,
    /// The items in their order, as places in [`Log::items`].
    pub items: Vec<u32>,
    /// The chance of each, given the items before it.
    pub chances: Vec<f32>,
}

/// An outcome of somebody who had an answer.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    time: Timestamp,
    kind: Arc<str>,
    value: f64,
    /// Its place in [`Log::items`]; an item that was never shown has none.
    item: Option<Option<u32>>,
    request: Option<Arc<str>>,
}

/// What one unit was answered and did.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// In the order of time.
    pub answers: Vec<Answer>,
    outcomes: Vec<Told>,
}

/// Answers that were drawn, and outcomes.
#[derive(Clone, Debug, Default)]
pub struct Log {
    items: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    units: BTreeMap<UnitHash, Unit>,
    seen: HashSet<EventId>,
    /// Answers whose order was not drawn.
    pub not_drawn: usize,
    /// Answers that were drawn.
    pub drawn: usize,
}

impl Log {
    /// Takes the exposures of a file; of an arm alone where one is named. All of them come before outcomes.
    pub fn take_exposures(&mut self, file: Bytes, arm: Option<&str>) -> Result<(), TableError> {
        read_drawn(file, |row| {
            if arm.is_none_or(|arm| arm == row.arm) && self.seen.insert(row.id) {
                self.take_answer(&row);
            }
        })
    }

    fn take_answer(&mut self, row: &DrawnRow<'_>) {
        if row.drawn.is_empty() {
            self.not_drawn += 1;
            return;
        }
        self.drawn += 1;
        let answer = Answer {
            time: row.time,
            id: row.id,
            request: row.request.into(),
            items: row.drawn.iter().map(|(item, _)| self.number(item)).collect(),
            chances: row.drawn.iter().map(|(_, chance)| *chance).collect(),
        };
        let unit = self.units.entry(row.unit).or_default();
        let place = unit
            .answers
            .partition_point(|other| (other.time, other.id) < (answer.time, answer.id));
        unit.answers.insert(place, answer);
    }

    /// Takes the outcomes of a file that are of one of `kinds` and of units with answers.
    pub fn take_outcomes(&mut self, file: Bytes, kinds: &[Arc<str>]) -> Result<(), TableError> {
        read_following(file, |row| {
            let kind = kinds.iter().find(|kind| ***kind == *row.outcome.kind);
            if let Some(kind) = kind {
                self.take_outcome(&row, kind);
            }
        })
    }

    fn take_outcome(&mut self, row: &FollowingRow<'_>, kind: &Arc<str>) {
        let Some(unit) = self.units.get_mut(&row.outcome.unit) else {
            return;
        };
        if self.seen.insert(row.outcome.id) && row.outcome.value.is_finite() {
            unit.outcomes.push(Told {
                time: row.outcome.time,
                kind: Arc::clone(kind),
                value: row.outcome.value,
                item: row.item.map(|item| self.numbers.get(item).copied()),
                request: row.request.map(Arc::from),
            });
        }
    }

    fn number(&mut self, item: &str) -> u32 {
        if let Some(number) = self.numbers.get(item) {
            return *number;
        }
        let number = self.items.len() as u32;
        let item: Arc<str> = item.into();
        self.items.push(Arc::clone(&item));
        self.numbers.insert(item, number);
        number
    }

    /// Every item that was shown.
    pub fn items(&self) -> &[Arc<str>] {
        &self.items
    }

    /// Every unit that had an answer which was drawn, in the order of their hashes.
    pub fn units(&self) -> impl ExactSizeIterator<Item = (UnitHash, &Unit)> {
        self.units.iter().map(|(hash, unit)| (*hash, unit))
    }
}

#[cfg(test)]
mod tests;
