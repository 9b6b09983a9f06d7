//! What an arm's answers come to: the counters that routers report and the analyzer sums up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// A kind of bad answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Kind {
    /// There was none.
    Errors,
    /// It took longer than it may.
    Slow,
    /// The control gave it instead.
    Fallbacks,
    /// It was empty.
    Empty,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Errors, Self::Slow, Self::Fallbacks, Self::Empty];

    /// The word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What one arm did. Only requests of units that take part count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmCounts {
    /// Answers and errors.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Answers that took longer than they may, and clients that did not wait so long.
    pub slow: u64,
    /// Answers that fell back to something else: the control, or an order that the arm's models did not make.
    pub fallbacks: u64,
    /// Empty answers.
    pub empty: u64,
}

impl ArmCounts {
    /// Adds more.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.slow += other.slow;
        self.fallbacks += other.fallbacks;
        self.empty += other.empty;
    }

    /// What was added since `earlier`; nothing where that was more.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            errors: self.errors.saturating_sub(earlier.errors),
            slow: self.slow.saturating_sub(earlier.slow),
            fallbacks: self.fallbacks.saturating_sub(earlier.fallbacks),
            empty: self.empty.saturating_sub(earlier.empty),
        }
    }

    /// Answers of one kind: never more than there were requests.
    pub fn bad(&self, kind: Kind) -> u64 {
        let bad = match kind {
            Kind::Errors => self.errors,
            Kind::Slow => self.slow,
            Kind::Fallbacks => self.fallbacks,
            Kind::Empty => self.empty,
        };
        bad.min(self.requests)
    }
}
