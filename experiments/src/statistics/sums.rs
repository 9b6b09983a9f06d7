//! Sufficient statistics of an arm: all that is kept of its users.

use serde::{Deserialize, Serialize};

/// What one user contributes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observation {
    /// The outcome; of a ratio what stands above the line.
    pub y: f64,
    /// Of a ratio, what stands below the line; else 0.
    pub m: f64,
    /// The same outcome before the first exposure; 0 where it isn't used.
    pub x: f64,
}

/// Sums over the users of an arm. They add up: those of two days are those of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Number of users.
    pub n: u64,
    /// Σy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub y: f64,
    /// Σy².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub yy: f64,
    /// Σm.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub m: f64,
    /// Σm².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mm: f64,
    /// Σym.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ym: f64,
    /// Σx.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub x: f64,
    /// Σx².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub xx: f64,
    /// Σxy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub xy: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Sums {
    /// Adds a user.
    pub fn add(&mut self, Observation { y, m, x }: Observation) {
        self.n += 1;
        self.y += y;
        self.yy += y * y;
        self.m += m;
        self.mm += m * m;
        self.ym += y * m;
        self.x += x;
        self.xx += x * x;
        self.xy += x * y;
    }

    /// Adds the users of another.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.y += other.y;
        self.yy += other.yy;
        self.m += other.m;
        self.mm += other.mm;
        self.ym += other.ym;
        self.x += other.x;
        self.xx += other.xx;
        self.xy += other.xy;
    }

    pub(super) fn mean(&self, sum: f64) -> f64 {
        sum / self.n as f64
    }

    /// A covariance with n−1, of the quantities whose sums are `a` and `b` and whose products' sum is `ab`; 0 below two users.
    pub(super) fn covariance(&self, a: f64, b: f64, ab: f64) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let n = self.n as f64;
        (ab - a * b / n) / (n - 1.0)
    }

    pub(super) fn variance_y(&self) -> f64 {
        self.covariance(self.y, self.y, self.yy).max(0.0)
    }

    pub(super) fn variance_x(&self) -> f64 {
        self.covariance(self.x, self.x, self.xx).max(0.0)
    }

    pub(super) fn covariance_xy(&self) -> f64 {
        self.covariance(self.x, self.y, self.xy)
    }
}
