//! How many users an experiment takes, how long that is, and what can be found with those that there are.

use std::time::Duration;

use statrs::distribution::{ContinuousCDF, Normal};

/// A week.
pub const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What is known and wanted before an experiment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The control's mean.
    pub baseline: f64,
    /// Variance between users of the control.
    pub control_variance: f64,
    /// Variance between users of a treatment.
    pub treatment_variance: f64,
    /// The smallest difference that matters, in the outcome's unit.
    pub difference: f64,
    /// How many standard errors a difference must exceed to be found: see [`quantile`] for a test at one moment, and
    /// [`super::sequence::Sequence::critical_value_when_tuned`] for one at any time.
    pub critical_value: f64,
    /// The chance of finding that difference.
    pub power: f64,
}

impl Plan {
    /// A conversion with the rate `baseline` and the relative improvement `lift`.
    pub fn conversion(baseline: f64, lift: f64, critical_value: f64, power: f64) -> Self {
        let treated = (baseline * (1.0 + lift)).min(1.0);
        Self {
            baseline,
            control_variance: baseline * (1.0 - baseline),
            treatment_variance: treated * (1.0 - treated),
            difference: baseline * lift,
            critical_value,
            power,
        }
    }

    /// A mean with a standard deviation between users.
    pub fn mean(baseline: f64, deviation: f64, lift: f64, critical_value: f64, power: f64) -> Self {
        Self {
            baseline,
            control_variance: deviation * deviation,
            treatment_variance: deviation * deviation,
            difference: baseline * lift,
            critical_value,
            power,
        }
    }

    /// Users of each arm: ⌈(critical value + z_power)² (s²_c + s²_t) / δ²⌉; `None` where that is not finite.
    pub fn units_per_arm(&self) -> Option<u64> {
        let z = self.critical_value + quantile(self.power);
        let units =
            z * z * (self.control_variance + self.treatment_variance) / (self.difference * self.difference);
        (units.is_finite() && units < 1e15).then(|| (units.ceil() as u64).max(2))
    }
}

/// The smallest relative improvement that `control` and `treatment` users find with the power wanted, where users vary by
/// `variance` around `mean`.
pub fn detectable_lift(
    mean: f64,
    variance: f64,
    control: u64,
    treatment: u64,
    alpha: f64,
    power: f64,
) -> Option<f64> {
    if mean <= 0.0 || control == 0 || treatment == 0 {
        return None;
    }
    let standard_error = (variance / control as f64 + variance / treatment as f64).sqrt();
    Some((quantile(1.0 - alpha / 2.0) + quantile(power)) * standard_error / mean)
}

/// How many weeks a length of time is, rounded up, and at least one: weekdays and weekends differ.
pub fn weeks(length: Duration) -> u64 {
    length.as_secs().div_ceil(WEEK.as_secs()).max(1)
}

/// The standard normal quantile.
pub fn quantile(probability: f64) -> f64 {
    Normal::standard().inverse_cdf(probability)
}
