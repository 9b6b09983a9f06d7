//! Relative improvement, and its interval by Fieller's theorem (1954).
//!
//! It excludes 0 exactly where the interval of the difference with the same reach does. Where the control's mean can't be told from
//! 0, a ratio to it has no bounded interval.

use super::{Estimate, Interval};

/// (m_t − m_c) / |m_c|: above 0 where the treatment is better, also than a negative mean. `None` where the control's mean is 0.
pub fn lift(control: &Estimate, treatment: &Estimate) -> Option<f64> {
    (control.mean != 0.0).then(|| (treatment.mean - control.mean) / control.mean.abs())
}

/// The interval of the lift that reaches `critical_value` standard errors: the roots r of
/// (m_c² − C²v_c) r² − 2 m_t m_c r + (m_t² − C²v_t) = 0, less 1; of a negative mean, 1 less them. `None` where it is not bounded.
pub fn interval(control: &Estimate, treatment: &Estimate, critical_value: f64) -> Option<Interval> {
    let squared = critical_value * critical_value;
    let a = control.mean * control.mean - squared * control.variance;
    let b = treatment.mean * control.mean;
    let c = treatment.mean * treatment.mean - squared * treatment.variance;
    let discriminant = b * b - a * c;
    if !(a > 0.0 && discriminant >= 0.0) {
        return None;
    }
    let root = discriminant.sqrt();
    let (low, high) = ((b - root) / a - 1.0, (b + root) / a - 1.0);
    Some(if control.mean < 0.0 {
        Interval {
            low: -high,
            high: -low,
        }
    } else {
        Interval { low, high }
    })
}
