//! What an arm's users come to: a mean or a ratio, and how uncertain it is.

use super::Sums;

/// A quantity of an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Number of users.
    pub n: u64,
    /// The mean or ratio.
    pub mean: f64,
    /// The variance of the mean or ratio itself, not of users.
    pub variance: f64,
}

impl Estimate {
    /// The mean of the users' outcomes; `None` below two users.
    pub fn mean(sums: &Sums) -> Option<Self> {
        (sums.n >= 2).then(|| Self {
            n: sums.n,
            mean: sums.mean_y,
            variance: covariance(sums, sums.yy) / sums.n as f64,
        })
    }

    /// Σy/Σm by the delta method (Deng, Knoblich and Lu, KDD 2018): users are independent, their clicks are not. `None` below two
    /// users, and where nothing stands below the line.
    pub fn ratio(sums: &Sums) -> Option<Self> {
        if sums.n < 2 || sums.mean_m <= 0.0 {
            return None;
        }
        let ratio = sums.mean_y / sums.mean_m;
        let spread = covariance(sums, sums.yy - 2.0 * ratio * sums.ym + ratio * ratio * sums.mm);
        Some(Self {
            n: sums.n,
            mean: ratio,
            variance: spread.max(0.0) / (sums.mean_m * sums.mean_m * sums.n as f64),
        })
    }

    /// What this mean is multiplied by to be better by `change` of its size: 1 + change, and 1 − change where it is negative, as of
    /// refunds.
    pub fn factor(&self, change: f64) -> f64 {
        1.0 + change * self.mean.signum()
    }
}

/// The difference between an arm and the control times a factor: d = m_t − factor · m_c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrast {
    /// The difference.
    pub difference: f64,
    /// Its variance.
    pub variance: f64,
    /// Users of both arms.
    pub n: u64,
}

impl Contrast {
    /// How far the treatment is above `factor` times the control: 1 for plain improvement, else what [`Estimate::factor`] gives for
    /// an improvement by more than e, or for a loss of a margin that is tolerated.
    pub fn new(control: &Estimate, treatment: &Estimate, factor: f64) -> Self {
        Self {
            difference: treatment.mean - factor * control.mean,
            variance: treatment.variance + factor * factor * control.variance,
            n: control.n + treatment.n,
        }
    }
}

/// A variance or covariance with n−1, of the squares or products of distances; 0 below two users.
pub(super) fn covariance(sums: &Sums, products: f64) -> f64 {
    if sums.n < 2 {
        return 0.0;
    }
    products / (sums.n - 1) as f64
}
