//! Whether a log can speak for a new policy at all.

use std::fmt;

use super::{Round, Rules, Units};

/// How many standard errors the mean weight must be below what is wanted before it counts as below: it is a mean of a
/// sample, and a log must not be refused for its luck.
const SURE: f64 = 2.0;

/// How far two policies make the same choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overlap {
    /// How many rounds there are.
    pub rounds: usize,
    /// How many units they are of.
    pub units: usize,
    /// How many unweighted rounds the weighted ones are worth: (Σ w)² / Σ w² (Kish, 1965).
    pub effective_rounds: f64,
    /// The same of units, where a unit's weight is the sum of its rounds'.
    pub effective_units: f64,
    /// The same of units whose rewards are not all 0, where a unit's weight is the sum of its rounds' with such a reward.
    pub effective_outcomes: f64,
    /// The mean of weights, after they are cut. Where the logged policy may make every choice of the new one and none is cut, it is 1
    /// on average; what lacks is the new policy's chance of choices of which the log can't say anything.
    pub mean_weight: f64,
    /// Its standard error.
    pub mean_weight_error: f64,
    /// The largest weight, before it is cut.
    pub largest_weight: f64,
    /// The share of rounds whose weight is cut.
    pub cut: f64,
}

/// Why a log can't speak for a new policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shortfall {
    /// The mean weight is surely below 1: the logged policy never makes, or next to never, what the new one would.
    Uncovered {
        /// The mean weight.
        mean_weight: f64,
        /// What it must not be surely below.
        least: f64,
    },
    /// A few units carry all the weight.
    Units {
        /// What they are worth.
        effective: f64,
        /// The fewest.
        least: f64,
    },
    /// A few units carry all the reward.
    Outcomes {
        /// What they are worth.
        effective: f64,
        /// The fewest.
        least: f64,
    },
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncovered { mean_weight, least } => write!(
                f,
                "the log speaks for {:.1} % of the new policy's choices, and must for {:.1} %; log at a higher temperature, or allow \
                 larger weights",
                100.0 * mean_weight,
                100.0 * least
            ),
            Self::Units { effective, least } => write!(
                f,
                "the weighted units are worth {effective:.1}, and must be worth {least}; log for longer, or at a higher temperature"
            ),
            Self::Outcomes { effective, least } => write!(
                f,
                "the weighted units with an outcome are worth {effective:.1}, and must be worth {least}; log for longer"
            ),
        }
    }
}

impl Overlap {
    pub(super) fn of(rounds: &[Round], units: &Units, rules: &Rules) -> Self {
        let weight = |round: &Round| round.weight().min(rules.max_weight);
        let weights: Vec<f64> = rounds.iter().map(weight).collect();
        let count = rounds.len() as f64;
        let of_units = units.sums(weights.iter().copied());
        let sizes = units.sums(rounds.iter().map(|_| 1.0));
        let with_outcome = rounds.iter().zip(&weights);
        let with_outcome =
            units.sums(with_outcome.map(|(round, weight)| if round.reward == 0.0 { 0.0 } else { *weight }));
        let mean_weight = weights.iter().sum::<f64>() / count;
        let distances = of_units.iter().zip(&sizes);
        let squares: f64 = distances
            .map(|(weight, size)| (weight - mean_weight * size).powi(2))
            .sum();
        let share = |counted: usize| counted as f64 / count;
        Self {
            rounds: rounds.len(),
            units: units.count,
            effective_rounds: effective(&weights),
            effective_units: effective(&of_units),
            effective_outcomes: effective(&with_outcome),
            mean_weight,
            mean_weight_error: squares.sqrt() / count,
            largest_weight: rounds.iter().map(Round::weight).fold(0.0, f64::max),
            cut: share(
                rounds
                    .iter()
                    .filter(|round| round.weight() > rules.max_weight)
                    .count(),
            ),
        }
    }

    /// The first reason, in this order, why the log can't speak for the new policy.
    pub fn shortfall(&self, rules: &Rules) -> Option<Shortfall> {
        let least = 1.0 - rules.max_uncovered;
        if self.mean_weight + SURE * self.mean_weight_error < least {
            Some(Shortfall::Uncovered {
                mean_weight: self.mean_weight,
                least,
            })
        } else if self.effective_units < rules.min_effective_units {
            Some(Shortfall::Units {
                effective: self.effective_units,
                least: rules.min_effective_units,
            })
        } else if self.effective_outcomes < rules.min_effective_outcomes {
            Some(Shortfall::Outcomes {
                effective: self.effective_outcomes,
                least: rules.min_effective_outcomes,
            })
        } else {
            None
        }
    }
}

/// How many equal weights these are worth; 0 where all are 0.
pub(super) fn effective(weights: &[f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
    if squares > 0.0 { sum * sum / squares } else { 0.0 }
}
