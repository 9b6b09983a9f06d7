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
            mean: sums.mean(sums.y),
            variance: sums.variance_y() / sums.n as f64,
        })
    }

    /// Σy/Σm by the delta method (Deng, Knoblich and Lu, KDD 2018): users are independent, their clicks are not. `None` below two
    /// users, and where nothing stands below the line.
    pub fn ratio(sums: &Sums) -> Option<Self> {
        if sums.n < 2 || sums.m <= 0.0 {
            return None;
        }
        let n = sums.n as f64;
        let ratio = sums.y / sums.m;
        let mean_m = sums.mean(sums.m);
        let spread = sums.covariance(sums.y, sums.y, sums.yy)
            - 2.0 * ratio * sums.covariance(sums.y, sums.m, sums.ym)
            + ratio * ratio * sums.covariance(sums.m, sums.m, sums.mm);
        Some(Self {
            n: sums.n,
            mean: ratio,
            variance: spread.max(0.0) / (mean_m * mean_m * n),
        })
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
    /// How far the treatment is above `factor` times the control: 1 for plain improvement, 1 + e for one of more than e, 1 −
    /// margin for a loss that is put up with.
    pub fn new(control: &Estimate, treatment: &Estimate, factor: f64) -> Self {
        Self {
            difference: treatment.mean - factor * control.mean,
            variance: treatment.variance + factor * factor * control.variance,
            n: control.n + treatment.n,
        }
    }
}
