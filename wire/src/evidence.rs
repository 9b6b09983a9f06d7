//! What the analyzer found: sufficient statistics and counts, as one JSON object. All that is known of users stays behind it.
//!
//! Sums are kept by look (a day, unless the spec says otherwise): a user adds to `units` in the look of their first exposure, and
//! to a metric's sums in the look in which their window for it is over. So every course over time, the smallest p so far and the one
//! read at the planned number of users follow from one object, and a program that starts again comes to the same end.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::arms::PerArm;
use crate::operations::Operations;
use crate::sums::Sums;
use crate::time::after;

/// The key of the ConfigMap that holds it.
pub const EVIDENCE_KEY: &str = "evidence.json";
/// The form of this object. A program refuses another.
pub const FORMAT: u32 = 2;

/// What the data of an epoch come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// [`FORMAT`].
    pub format: u32,
    /// The experiment's name.
    pub experiment: String,
    /// Its epoch.
    pub epoch: u32,
    /// When the epoch began: the start of look 0.
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub started_at: Timestamp,
    /// How long a look covers.
    #[serde(rename = "lookMilliseconds", with = "crate::time::milliseconds")]
    pub look: Duration,
    /// Up to when events were taken into account.
    #[serde(
        rename = "analysedAt",
        with = "jiff::fmt::serde::timestamp::millisecond::required"
    )]
    pub analyzed_at: Timestamp,
    /// The arms.
    pub arms: PerArm<ArmEvidence>,
    /// Names of the metrics: success, then guardrails, in the spec's order.
    pub metrics: Vec<String>,
    /// Sums by look, ascending; looks without users are left out.
    pub looks: Vec<Look>,
    /// Errors and latency.
    pub operations: Operations,
    /// What the routers said last.
    pub routers: Vec<RouterEvidence>,
    /// How complete the data are.
    pub health: Health,
    /// Where this object lies in the experiment's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<String>,
}

/// What an arm's users did, up to now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArmEvidence {
    /// The variant's name.
    pub name: String,
    /// Users who were exposed.
    pub units: u64,
    /// Answers that they got.
    pub exposures: u64,
    /// Those that the control gave instead.
    pub fallbacks: u64,
}

/// What a stretch of time added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Look {
    /// Which stretch since the start, from 0.
    pub number: u32,
    /// Users of each arm whose first exposure falls into it.
    pub units: PerArm<u64>,
    /// For each metric, each arm's users whose window ended in it.
    pub metrics: Vec<PerArm<Sums>>,
}

/// What a router said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterEvidence {
    /// Its pod or address.
    pub name: String,
    /// The revision of the configuration that it answers by.
    pub revision: String,
    /// Exposures that it dropped, of each arm, since it started.
    pub dropped: Vec<u64>,
    /// Why it writes no events, if it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// How complete the data are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Files that were read.
    pub files: u64,
    /// Files that could not be read, by name; at most five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged_files: Vec<String>,
    /// Exposures, without duplicates.
    pub exposures: u64,
    /// Outcomes of exposed users, without duplicates.
    pub outcomes: u64,
    /// Exposures that were there already.
    pub duplicate_exposures: u64,
    /// Outcomes that were there already.
    pub duplicate_outcomes: u64,
    /// Events that came after their user's window had been closed.
    pub late: u64,
    /// Outcomes of users whom nobody saw exposed, by now.
    pub outcomes_of_unknown_units: u64,
    /// Outcomes from before the user's first exposure, and before what any metric looks back to: not counted. One that was reported in
    /// whole seconds, and in the second of the first exposure, came after it.
    pub outcomes_before_exposure: u64,
    /// Outcomes after the last window of the user: not counted.
    pub outcomes_after_window: u64,
    /// Outcomes of users seen in two arms: not counted.
    pub outcomes_of_crossover_units: u64,
    /// Events from the future, or from before anything began: not counted.
    pub misdated: u64,
    /// Outcomes of a type that no metric names: not counted.
    pub outcomes_of_other_types: u64,
    /// Outcomes whose value is not a finite number: not counted.
    pub unusable_values: u64,
    /// Exposures of an arm that the experiment does not have: not counted.
    pub exposures_of_other_arms: u64,
    /// Outcomes beyond the most that are kept of one user.
    pub outcomes_beyond_bound: u64,
    /// Users seen in two arms: not counted in either.
    pub crossover_units: u64,
    /// Answers that were never recorded, of each arm, because a queue was full.
    pub dropped: Vec<u64>,
    /// When the newest exposure happened.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub newest_exposure: Option<Timestamp>,
}

/// Why evidence can't be used.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It is not JSON, or not of this shape.
    #[error("the analyzer's report can't be read")]
    Json(#[from] serde_json::Error),
    /// It is of another form, or does not fit itself.
    #[error("the analyzer's report {problem}; let the analyzer and the operator have the same version")]
    Form {
        /// What is wrong.
        problem: String,
    },
}

impl Evidence {
    /// Reads and checks.
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let evidence: Self = serde_json::from_str(text)?;
        evidence
            .check()
            .map_err(|problem| EvidenceError::Form { problem })?;
        Ok(evidence)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("has format {}, not {FORMAT}", self.format));
        }
        let (arms, metrics) = (self.arms.count(), self.metrics.len());
        let fits = |look: &Look| {
            look.units.count() == arms
                && look.metrics.len() == metrics
                && look.metrics.iter().all(|sums| sums.count() == arms)
        };
        if !self.looks.iter().all(fits) {
            return Err("has looks that don't fit its arms and metrics".to_owned());
        }
        if !self.looks.is_sorted_by(|a, b| a.number < b.number) || self.look.is_zero() {
            return Err("has looks out of order".to_owned());
        }
        Ok(())
    }

    /// When a look ends.
    pub fn end_of(&self, look: u32) -> Timestamp {
        after(self.started_at, self.look.saturating_mul(look.saturating_add(1)))
    }

    /// Users of each arm up to and with each look, and the moment at which that was so. The last look may still go on.
    pub fn units_over_time(&self) -> impl Iterator<Item = (Timestamp, PerArm<u64>)> {
        let mut counts = self.arms.map(|_| 0);
        self.looks.iter().map(move |look| {
            for (count, new) in counts.iter_mut().zip(look.units.iter()) {
                *count += new;
            }
            (self.end_of(look.number).min(self.analyzed_at), counts.clone())
        })
    }

    /// The sums of each arm for one metric, up to and with each look.
    pub fn sums_over_time(&self, metric: usize) -> impl Iterator<Item = (Point, PerArm<Sums>)> {
        let mut sums = self.arms.map(|_| Sums::default());
        self.looks.iter().map(move |look| {
            for (sum, new) in sums.iter_mut().zip(look.metrics[metric].iter()) {
                sum.merge(new);
            }
            let end = self.end_of(look.number);
            let point = Point {
                at: end.min(self.analyzed_at),
                complete: end <= self.analyzed_at,
            };
            (point, sums.clone())
        })
    }
}

/// A point of a course over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Whether its look is over, so that it never changes.
    pub complete: bool,
}
