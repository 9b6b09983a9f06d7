//! Off-policy estimates: what answers of another policy would have brought, by what was logged under this one.
//!
//! Where answers are drawn by chance and each is logged with the chance that it had (its propensity), a reward can be weighted by how
//! much likelier the new policy is to give that answer: w = chance / propensity. [`ips`](Estimates::ips) is the mean of w·r,
//! [`snips`](Estimates::snips) divides by the mean of w as well, and [`doubly_robust`](Estimates::doubly_robust) has the weights correct a model of
//! rewards (Dudík, Langford and Li, 2011). Without [`Rules::max_weight`] they are equal to those of Open Bandit Pipeline 0.4.1
//! (`tests/off_policy/`).
//!
//! Intervals are of Student's t around the estimate, by the spread of what each *unit* adds to it: rounds of one unit are not
//! independent, units are. A bootstrap over units would come to the same, but for numbers that differ from run to run; here nothing
//! is drawn.
//!
//! Promises: a number is given only where the log can speak for it. Where it can't, the [`Verdict`] says so in the place of the number, by
//! the rules of [`Rules`].
//!
//! Absent on purpose: stores, users, and models. Who makes rounds of a log: `gondola experiment preview`.

mod estimate;
mod overlap;

use std::collections::HashMap;

use estimate::Estimator;
pub use estimate::{Estimate, Estimates, Figure, estimates};
pub use overlap::{Overlap, Shortfall};

/// A choice that was logged, and what the new policy makes of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Whose it is: any number that rounds of one unit have in common.
    pub unit: u64,
    /// What came of it.
    pub reward: f64,
    /// The chance with which it was chosen; above 0.
    pub propensity: f64,
    /// The chance that the new policy would have chosen the same.
    pub chance: f64,
    /// What a model of rewards says, for the doubly robust estimate: of all rounds, or of none.
    pub modelled: Option<Modelled>,
}

/// What a model of rewards says of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Modelled {
    /// The reward of what was chosen.
    pub shown: f64,
    /// The reward of what the new policy would choose, on average over its chances.
    pub expected: f64,
}

/// How estimates are made, and what a log must have for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Weights are cut to this. It bounds what a single round can do to an estimate, for a bias toward less; infinity cuts none.
    pub max_weight: f64,
    /// The fewest units that the weighted ones may be worth ([`Overlap::effective_units`]). Below a hundred, intervals of
    /// weighted means are too narrow.
    pub min_effective_units: f64,
    /// The fewest units with a reward other than 0 that the weighted ones may be worth.
    pub min_effective_outcomes: f64,
    /// The most of the new policy's chance that may lie on choices for which the log can't speak: those that the logged policy never
    /// makes, and what is cut from weights. The mean weight is below 1 by just that. Which choices happen to be in the log says less: of a long
    /// tail of items most are in no log, although each might have been.
    pub max_uncovered: f64,
    /// How often intervals hold what they are about.
    pub confidence: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_weight: 100.0,
            min_effective_units: 100.0,
            min_effective_outcomes: 25.0,
            max_uncovered: 0.1,
            confidence: 0.95,
        }
    }
}

/// What a log says of a new policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// The rewards as they were logged.
    pub logged: Figure,
    /// How far the two policies make the same choices.
    pub overlap: Overlap,
    /// The numbers, or why there are none.
    pub verdict: Verdict,
}

/// Numbers, or why there are none.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The log can speak for the new policy.
    Estimated(Box<Estimates>),
    /// It can't: a number would be of something else, or of next to nobody.
    NotEnoughOverlap(Shortfall),
}

/// Why rounds are not what can be estimated from.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OffPolicyError {
    /// There is nothing.
    #[error("there are no rounds; log answers with propensities first")]
    NoRounds,
    /// It can't be divided by.
    #[error(
        "round {round} has the propensity {value}; give the chance with which it was chosen, above 0 and at most 1"
    )]
    Propensity {
        /// Its place, from 0.
        round: usize,
        /// What it has.
        value: f64,
    },
    /// It is no chance.
    #[error("round {round} has a chance of {value} under the new policy; give one from 0 to 1")]
    Chance {
        /// Its place, from 0.
        round: usize,
        /// What it has.
        value: f64,
    },
    /// It is no number.
    #[error("round {round} has {what} of {value}; give a finite number, or leave the round out")]
    NotFinite {
        /// Its place, from 0.
        round: usize,
        /// Which of its numbers.
        what: &'static str,
        /// What it has.
        value: f64,
    },
    /// The doubly robust estimate would be of some rounds only.
    #[error(
        "round {round} is the first that differs in having modelled rewards; give them for all rounds or for none"
    )]
    PartlyModelled {
        /// Its place, from 0.
        round: usize,
    },
    /// The rules can't be followed.
    #[error("{what} is {value}; give {wanted}")]
    Rule {
        /// Which rule.
        what: &'static str,
        /// What it says.
        value: f64,
        /// What it may say.
        wanted: &'static str,
    },
}

/// What rounds say of a new policy, or that they can't say it.
pub fn preview(rounds: &[Round], rules: &Rules) -> Result<Preview, OffPolicyError> {
    check(rounds, rules)?;
    let estimator = Estimator::new(rounds, rules);
    let overlap = Overlap::of(rounds, &estimator.units, rules);
    let verdict = match overlap.shortfall(rules) {
        None => Verdict::Estimated(Box::new(estimator.estimates())),
        Some(shortfall) => Verdict::NotEnoughOverlap(shortfall),
    };
    Ok(Preview {
        logged: estimator.logged(),
        overlap,
        verdict,
    })
}

impl Round {
    /// How much likelier the new policy is to make this choice.
    pub fn weight(&self) -> f64 {
        self.chance / self.propensity
    }
}

/// Units by their places, in the order in which they come first, so that sums are the same in every run.
struct Units {
    /// The place of each round's unit.
    of: Vec<usize>,
    count: usize,
}

impl Units {
    fn of(rounds: &[Round]) -> Self {
        let mut places = HashMap::new();
        let place = |round: &Round| {
            let next = places.len();
            *places.entry(round.unit).or_insert(next)
        };
        let of = rounds.iter().map(place).collect();
        Self {
            of,
            count: places.len(),
        }
    }

    /// What rounds come to, unit by unit.
    fn sums(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.count];
        for (unit, value) in self.of.iter().zip(values) {
            sums[*unit] += value;
        }
        sums
    }
}

fn check(rounds: &[Round], rules: &Rules) -> Result<(), OffPolicyError> {
    check_rules(rules)?;
    let first = rounds.first().ok_or(OffPolicyError::NoRounds)?;
    for (place, round) in rounds.iter().enumerate() {
        check_round(place, round)?;
        if round.modelled.is_some() != first.modelled.is_some() {
            return Err(OffPolicyError::PartlyModelled { round: place });
        }
    }
    Ok(())
}

fn check_rules(rules: &Rules) -> Result<(), OffPolicyError> {
    let rule = |what, value, wanted| Err(OffPolicyError::Rule { what, value, wanted });
    // Not a number is neither.
    if rules.max_weight.is_nan() || rules.max_weight <= 0.0 {
        return rule("the maximum weight", rules.max_weight, "a number above 0");
    }
    if !(rules.confidence > 0.0 && rules.confidence < 1.0) {
        return rule(
            "the confidence",
            rules.confidence,
            "a number between 0 and 1, such as 0.95",
        );
    }
    Ok(())
}

fn check_round(place: usize, round: &Round) -> Result<(), OffPolicyError> {
    let propensity = round.propensity;
    if !(propensity > 0.0 && propensity <= 1.0) {
        return Err(OffPolicyError::Propensity {
            round: place,
            value: propensity,
        });
    }
    if !(0.0..=1.0).contains(&round.chance) {
        return Err(OffPolicyError::Chance {
            round: place,
            value: round.chance,
        });
    }
    let modelled = round.modelled.unwrap_or(Modelled {
        shown: 0.0,
        expected: 0.0,
    });
    for (what, value) in [
        ("a reward", round.reward),
        ("a weight", round.weight()),
        ("a modelled reward", modelled.shown),
        ("an expected reward", modelled.expected),
    ] {
        if !value.is_finite() {
            return Err(OffPolicyError::NotFinite {
                round: place,
                what,
                value,
            });
        }
    }
    Ok(())
}
