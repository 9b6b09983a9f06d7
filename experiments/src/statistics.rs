//! The statistics of experiments: pure functions of sums.
//!
//! An arm's users become [`Sums`], sums become an [`Estimate`] (a mean or a ratio with the variance of that), and two estimates
//! become an answer: once by [`welch`], at any time by a [`sequence`], as a relative [`lift`], or one-sided against a margin
//! ([`guardrail`]). [`cuped`] makes estimates sharper by what users did before. [`sample_ratio`] asks whether users are split as
//! planned, [`operations`] whether an arm has more errors than allowed, and [`planning`] how many users it takes.
//!
//! Notation in formulas: c the control, t the treatment, s² a variance with n−1, N = n_c + n_t, v = s²_t/n_t + s²_c/n_c,
//! d = mean_t − mean_c.

pub mod cuped;
pub mod estimate;
pub mod guardrail;
pub mod lift;
pub mod operations;
pub mod planning;
pub mod sample_ratio;
pub mod sequence;
pub mod welch;

pub use estimate::{Contrast, Estimate};

/// What all of it starts from, in the form in which it travels.
pub use gondola_wire::sums::{Observation, Sums};

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// All numbers.
    pub const EVERYTHING: Self = Self {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    /// What is within `width` of `center`.
    pub fn around(center: f64, width: f64) -> Self {
        Self {
            low: center - width,
            high: center + width,
        }
    }

    /// What lies in both.
    pub fn intersection(self, other: Self) -> Self {
        Self {
            low: self.low.max(other.low),
            high: self.high.min(other.high),
        }
    }

    /// Whether it lies within another.
    pub fn lies_within(self, other: Self) -> bool {
        other.low <= self.low && self.high <= other.high
    }
}

#[cfg(test)]
mod tests;
