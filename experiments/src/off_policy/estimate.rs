//! The estimators, and how uncertain they are.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{OffPolicyError, Round, Rules, Units, check, overlap::effective};
use crate::statistics::Interval;

/// What answers of the new policy would bring, by each estimator; per round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimates {
    /// Inverse propensity scores: the mean of w·r. Right on average, and of the widest spread.
    pub ips: Estimate,
    /// Self-normalized: Σ w·r / Σ w. It can't leave the range of the rewards.
    pub snips: Estimate,
    /// What the model of rewards expects, and nothing else: as wrong as the model is. Only where rounds have one.
    pub direct: Option<Estimate>,
    /// That, corrected by the weights where rewards differ from the model's: the mean of expected + w·(r − shown).
    pub doubly_robust: Option<Estimate>,
}

/// What an estimator says of the new policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// What its answers bring.
    pub value: Figure,
    /// How much more that is than what was logged. Both are of the same units, so that this is often known better than either.
    pub gain: Figure,
}

/// A number and how uncertain it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The number.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Where it may lie: all numbers where there is one unit only.
    pub interval: Interval,
}

impl Figure {
    /// The same in another unit, such as per answer of several rounds.
    pub fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            standard_error: self.standard_error * factor,
            interval: Interval {
                low: self.interval.low * factor,
                high: self.interval.high * factor,
            },
        }
    }
}

/// Estimates, whether or not the log can speak for them: [`preview`](super::preview) is what asks that as well.
pub fn estimates(rounds: &[Round], rules: &Rules) -> Result<Estimates, OffPolicyError> {
    check(rounds, rules)?;
    Ok(Estimator::new(rounds, rules).estimates())
}

/// What estimates of one log have in common.
pub(super) struct Estimator<'a> {
    rounds: &'a [Round],
    pub(super) units: Units,
    rules: &'a Rules,
    logged: Ratio,
    /// How many units the weighted ones are worth: by these, not by all, an interval of Student's t is wide.
    effective: f64,
}

impl<'a> Estimator<'a> {
    /// Of rounds that were checked.
    pub(super) fn new(rounds: &'a [Round], rules: &'a Rules) -> Self {
        let units = Units::of(rounds);
        let weights = rounds.iter().map(|round| round.weight().min(rules.max_weight));
        Self {
            rounds,
            rules,
            logged: Ratio::of(rounds, &units, |round| round.reward, |_| 1.0),
            effective: effective(&units.sums(weights)),
            units,
        }
    }

    /// Every estimate, whether or not the log can speak for it.
    pub(super) fn estimates(&self) -> Estimates {
        let weight = |round: &Round| round.weight().min(self.rules.max_weight);
        let modelled = self.rounds[0].modelled.is_some();
        let expected = |round: &Round| round.modelled.map_or(0.0, |modelled| modelled.expected);
        let shown = |round: &Round| round.modelled.map_or(0.0, |modelled| modelled.shown);
        let corrected = |round: &Round| expected(round) + weight(round) * (round.reward - shown(round));
        Estimates {
            ips: self.mean(|round| weight(round) * round.reward),
            snips: self.ratio(|round| weight(round) * round.reward, weight),
            direct: modelled.then(|| self.mean(expected)),
            doubly_robust: modelled.then(|| self.mean(corrected)),
        }
    }

    /// The rewards as they were logged, per round.
    pub(super) fn logged(&self) -> Figure {
        let Ratio { value, influence } = &self.logged;
        figure(*value, influence, self.units.count as f64, self.rules)
    }

    fn mean(&self, value: impl Fn(&Round) -> f64) -> Estimate {
        self.ratio(value, |_| 1.0)
    }

    fn ratio(&self, above: impl Fn(&Round) -> f64, below: impl Fn(&Round) -> f64) -> Estimate {
        let ratio = Ratio::of(self.rounds, &self.units, above, below);
        let differences = ratio.influence.iter().zip(&self.logged.influence);
        let differences: Vec<f64> = differences.map(|(new, logged)| new - logged).collect();
        let gain = ratio.value - self.logged.value;
        Estimate {
            value: figure(ratio.value, &ratio.influence, self.effective, self.rules),
            gain: figure(gain, &differences, self.effective, self.rules),
        }
    }
}

/// Σ above / Σ below, and what each unit adds to its distance from the truth: (A_u − ratio · B_u) / Σ B.
struct Ratio {
    value: f64,
    influence: Vec<f64>,
}

impl Ratio {
    /// The ratio; 0 where nothing stands below, as where the new policy gives none of the answers that were logged.
    fn of(
        rounds: &[Round],
        units: &Units,
        above: impl Fn(&Round) -> f64,
        below: impl Fn(&Round) -> f64,
    ) -> Self {
        let above = units.sums(rounds.iter().map(above));
        let below = units.sums(rounds.iter().map(below));
        let whole: f64 = below.iter().sum();
        if whole <= 0.0 {
            return Self {
                value: 0.0,
                influence: vec![0.0; units.count],
            };
        }
        let value = above.iter().sum::<f64>() / whole;
        let of_unit = |(above, below): (&f64, &f64)| (above - value * below) / whole;
        Self {
            value,
            influence: above.iter().zip(&below).map(of_unit).collect(),
        }
    }
}

fn figure(value: f64, influence: &[f64], effective: f64, rules: &Rules) -> Figure {
    let units = influence.len() as f64;
    let squares: f64 = influence.iter().map(|part| part * part).sum();
    let standard_error = (squares * units / (units - 1.0).max(1.0)).sqrt();
    let critical = StudentsT::new(0.0, 1.0, effective - 1.0)
        .map(|student| student.inverse_cdf(0.5 + rules.confidence / 2.0))
        .ok();
    Figure {
        value,
        standard_error,
        interval: critical.map_or(Interval::EVERYTHING, |critical| {
            Interval::around(value, critical * standard_error)
        }),
    }
}
