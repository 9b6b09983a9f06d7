//! CUPED (Deng, Xu, Kohavi and Walker, WSDM 2013): takes out of an outcome what a user's behavior before explains.
//!
//! θ is the slope of outcome on behavior before, within arms. What is before the first exposure can't depend on the arm, so that
//! the difference stays the same on average, with a variance of 1 − corr² of what it was.

use super::estimate::covariance;
use super::{Estimate, Sums};

/// θ = Σ_k (n_k − 1) cov_k / Σ_k (n_k − 1) var_k over the arms; 0 where behavior before does not vary.
pub fn theta(arms: &[&Sums]) -> f64 {
    let squares: f64 = arms.iter().map(|sums| sums.xx).sum();
    let products: f64 = arms.iter().map(|sums| sums.xy).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// The mean less θ times how far the arm's mean before lies from `center`, the mean before over all arms: the same shift for each
/// arm, so that means keep their size and lifts their meaning. `None` below two users.
pub fn adjusted(sums: &Sums, theta: f64, center: f64) -> Option<Estimate> {
    (sums.n >= 2).then(|| {
        let spread = covariance(sums, sums.yy + theta * theta * sums.xx - 2.0 * theta * sums.xy);
        Estimate {
            n: sums.n,
            mean: sums.mean_y - theta * (sums.mean_x - center),
            variance: spread.max(0.0) / sums.n as f64,
        }
    })
}

/// The mean before over all arms.
pub fn center(arms: &[&Sums]) -> f64 {
    let units: u64 = arms.iter().map(|sums| sums.n).sum();
    let sum: f64 = arms.iter().map(|sums| sums.mean_x * sums.n as f64).sum();
    if units == 0 { 0.0 } else { sum / units as f64 }
}
