//! Welch's t-test: the answer at one moment that was fixed before.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Estimate, Interval};

/// What Welch's test says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// m_t − factor · m_c.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// Degrees of freedom by Welch and Satterthwaite.
    pub degrees: f64,
    /// Two-sided.
    pub p: f64,
}

/// Compares the treatment with `factor` times the control; `None` where nothing varies, so that nothing can be said.
pub fn welch(control: &Estimate, treatment: &Estimate, factor: f64) -> Option<Welch> {
    let control_variance = factor * factor * control.variance;
    let variance = treatment.variance + control_variance;
    if variance <= 0.0 || control.n < 2 || treatment.n < 2 {
        return None;
    }
    let freedom = |variance: f64, n: u64| variance * variance / (n - 1) as f64;
    let degrees = variance * variance
        / (freedom(treatment.variance, treatment.n) + freedom(control_variance, control.n));
    let difference = treatment.mean - factor * control.mean;
    let standard_error = variance.sqrt();
    let t = difference / standard_error;
    let student = student(degrees)?;
    Some(Welch {
        difference,
        standard_error,
        t,
        degrees,
        p: 2.0 * student.sf(t.abs()),
    })
}

impl Welch {
    /// How many standard errors the two-sided interval at `alpha` reaches to each side.
    pub fn critical_value(&self, alpha: f64) -> f64 {
        student(self.degrees).map_or(f64::INFINITY, |student| student.inverse_cdf(1.0 - alpha / 2.0))
    }

    /// The two-sided interval of the difference.
    pub fn interval(&self, alpha: f64) -> Interval {
        Interval::around(self.difference, self.critical_value(alpha) * self.standard_error)
    }
}

fn student(degrees: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, degrees).ok()
}

/// Holm's correction (1979): the p of each comparison, so that the chance of any false finding among all of them stays
/// below alpha where each corrected p is held against alpha.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![1.0; p.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(p[index] * (p.len() - rank) as f64).min(1.0);
        corrected[index] = largest;
    }
    corrected
}
