//! Whether users are split as planned (sample ratio mismatch). If not, arms differ in who is in them, and nothing else can be
//! trusted.
//!
//! The test may be looked at as often as one likes: a Bayes factor of a Dirichlet(K·p₀) mixture against the planned shares
//! (Lindon and Malek, NeurIPS 2022), on cumulative counts: log BF = lnΓ(K) − lnΓ(K+n) + Σ [lnΓ(K pᵢ + cᵢ) − lnΓ(K pᵢ)] − Σ cᵢ ln pᵢ.

use statrs::distribution::{ChiSquared, ContinuousCDF};
use statrs::function::gamma::ln_gamma;

/// How sharply the alternative is centerd at the plan: fit for mismatches of one or two percent.
const CONCENTRATION: f64 = 10_000.0;
/// Below this p, something may be wrong: nothing is concluded from outcomes.
pub const WARN: f64 = 0.01;
/// Below this p, users are not split as planned.
pub const DETECT: f64 = 0.001;

/// A test that is fed with counts, look by look.
#[derive(Clone, Debug)]
pub struct SampleRatio {
    planned: Vec<f64>,
    smallest_p: f64,
}

impl SampleRatio {
    /// A test against shares in proportion to the numbers of buckets that arms own, which are above 0.
    pub fn new(buckets: &[u16]) -> Self {
        let sum: f64 = buckets.iter().copied().map(f64::from).sum();
        Self {
            planned: buckets.iter().map(|owned| f64::from(*owned) / sum).collect(),
            smallest_p: 1.0,
        }
    }

    /// Looks at how many users each arm has by now; gives the smallest p so far.
    pub fn look(&mut self, counts: &[u64]) -> f64 {
        self.smallest_p = self.smallest_p.min(self.p(counts));
        self.smallest_p
    }

    /// The p of these counts: what was in doubt earlier may be clear by now.
    pub fn p(&self, counts: &[u64]) -> f64 {
        (-self.log_bayes_factor(counts)).exp().min(1.0)
    }

    /// Logarithm of the evidence against the plan.
    pub fn log_bayes_factor(&self, counts: &[u64]) -> f64 {
        let n: u64 = counts.iter().sum();
        let of_arm = |(share, count): (&f64, &u64)| {
            let (prior, count) = (CONCENTRATION * share, *count as f64);
            ln_gamma(prior + count) - ln_gamma(prior) - count * share.ln()
        };
        ln_gamma(CONCENTRATION) - ln_gamma(CONCENTRATION + n as f64)
            + self.planned.iter().zip(counts).map(of_arm).sum::<f64>()
    }

    /// Pearson's chi-square of the counts and its p: valid for one look alone. p is 1 where nobody was counted.
    pub fn chi_square(&self, counts: &[u64]) -> (f64, f64) {
        let n: u64 = counts.iter().sum();
        if n == 0 {
            return (0.0, 1.0);
        }
        let of_arm = |(share, count): (&f64, &u64)| {
            let expected = share * n as f64;
            (*count as f64 - expected).powi(2) / expected
        };
        let statistic: f64 = self.planned.iter().zip(counts).map(of_arm).sum();
        let distribution = ChiSquared::new((self.planned.len() - 1).max(1) as f64);
        let p = distribution.map_or(1.0, |distribution| distribution.sf(statistic));
        (statistic, p)
    }
}
