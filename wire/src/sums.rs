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

/// What the users of an arm come to. They add up: those of two days are those of both.
///
/// Means, and squares and products of distances from them, by the recurrences of Welford (1962) and of Chan, Golub and LeVeque
/// (1979): plain sums of squares of large amounts would leave nothing of a small spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// Number of users.
    pub n: u64,
    /// Number of users whose y is not 0.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub nonzero: u64,
    /// ȳ, the mean of y.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mean_y: f64,
    /// Σ(y − ȳ)².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub yy: f64,
    /// m̄, the mean of m.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mean_m: f64,
    /// Σ(m − m̄)².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mm: f64,
    /// Σ(y − ȳ)(m − m̄).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ym: f64,
    /// x̄, the mean of x.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mean_x: f64,
    /// Σ(x − x̄)².
    #[serde(default, skip_serializing_if = "is_zero")]
    pub xx: f64,
    /// Σ(x − x̄)(y − ȳ).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub xy: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_nothing(number: &u64) -> bool {
    *number == 0
}

impl Sums {
    /// Adds a user.
    pub fn add(&mut self, Observation { y, m, x }: Observation) {
        self.merge(&Self {
            n: 1,
            nonzero: u64::from(y != 0.0),
            mean_y: y,
            mean_m: m,
            mean_x: x,
            ..Self::default()
        });
    }

    /// Adds the users of another.
    pub fn merge(&mut self, other: &Self) {
        let n = self.n + other.n;
        if n == 0 {
            return;
        }
        let share = other.n as f64 / n as f64;
        let between = self.n as f64 * share;
        let y = other.mean_y - self.mean_y;
        let m = other.mean_m - self.mean_m;
        let x = other.mean_x - self.mean_x;
        self.n = n;
        self.nonzero += other.nonzero;
        self.mean_y += y * share;
        self.mean_m += m * share;
        self.mean_x += x * share;
        self.yy += other.yy + y * y * between;
        self.mm += other.mm + m * m * between;
        self.ym += other.ym + y * m * between;
        self.xx += other.xx + x * x * between;
        self.xy += other.xy + x * y * between;
    }
}
