//! A confidence sequence: an interval that stays true however often one looks.
//!
//! The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Annals of Statistics 2024). With
//! ρ² = (−2 ln α + ln(−2 ln α + 1)) / N*, k = N ρ² + 1 and C = √(2k ln(√k/α) / (N ρ²)), the interval is d ± C √v, and
//! p = min(1, √k exp(−ρ² N d² / (2 k v))). It is narrowest, compared with a test at one moment, at N* users.

use super::{Contrast, Interval};

/// A sequence, tuned to a number of users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sequence {
    alpha: f64,
    rho2: f64,
}

impl Sequence {
    /// A two-sided sequence at level `alpha`, narrowest at `tuned_at` users of both arms. Choose both before the first look.
    pub fn new(alpha: f64, tuned_at: f64) -> Self {
        let logarithm = -2.0 * alpha.ln();
        Self {
            alpha,
            rho2: (logarithm + (logarithm + 1.0).ln()) / tuned_at.max(1.0),
        }
    }

    /// ρ².
    pub fn rho2(&self) -> f64 {
        self.rho2
    }

    /// How many standard errors the interval reaches to each side at `n` users.
    pub fn critical_value(&self, n: u64) -> f64 {
        let (spent, k) = self.spent(n);
        (2.0 * k * (k.sqrt() / self.alpha).ln() / spent).sqrt()
    }

    /// The same at the number of users that a sequence of this level is tuned to, whatever that is.
    pub fn critical_value_when_tuned(alpha: f64) -> f64 {
        let tuned_at = 1 << 20;
        Self::new(alpha, f64::from(tuned_at)).critical_value(tuned_at as u64)
    }

    /// The interval of the difference.
    pub fn interval(&self, contrast: &Contrast) -> Interval {
        Interval::around(
            contrast.difference,
            self.critical_value(contrast.n) * contrast.variance.sqrt(),
        )
    }

    /// The p of this look; the smallest so far is valid too. 1 where nothing varies.
    pub fn p(&self, contrast: &Contrast) -> f64 {
        if contrast.variance <= 0.0 {
            return 1.0;
        }
        let (spent, k) = self.spent(contrast.n);
        let squared = contrast.difference * contrast.difference / contrast.variance;
        (k.sqrt() * (-spent * squared / (2.0 * k)).exp()).min(1.0)
    }

    /// N ρ², and that plus one.
    fn spent(&self, n: u64) -> (f64, f64) {
        let spent = n as f64 * self.rho2;
        (spent, spent + 1.0)
    }
}

/// A sequence that bounds to one side only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneSided {
    alpha: f64,
    rho2: f64,
}

impl OneSided {
    /// At level `alpha` for each side, narrowest at `tuned_at` users of both arms.
    pub fn new(alpha: f64, tuned_at: f64) -> Self {
        Self {
            alpha,
            rho2: Sequence::new(2.0 * alpha, tuned_at).rho2,
        }
    }

    /// How far a bound lies from the difference: √v √(2k ln(1 + √k/(2α)) / (N ρ²)).
    pub fn width(&self, contrast: &Contrast) -> f64 {
        let spent = contrast.n as f64 * self.rho2;
        let k = spent + 1.0;
        let squared = 2.0 * k * (1.0 + k.sqrt() / (2.0 * self.alpha)).ln() / spent;
        contrast.variance.sqrt() * squared.sqrt()
    }
}
