//! Estimates of one metric from the sums of all arms.

use gondola_crds::experiment::MetricKind;

use crate::settings::MetricSettings;
use crate::statistics::{Estimate, Sums, cuped};

/// Users of an arm below which nothing is said.
const FEWEST_UNITS: u64 = 100;
/// Users of both arms below which nothing is said.
const FEWEST_UNITS_OF_BOTH: u64 = 1000;
/// Conversions of an arm, and users without one, below which nothing is said.
const FEWEST_CONVERSIONS: u64 = 25;
/// Users of an arm with any outcome at all, below which nothing is said of counts, sums and ratios: a few large ones would decide.
const FEWEST_OUTCOMES: u64 = 100;

/// The control's and an arm's; `None` while there are too few users for any number.
pub(super) fn estimates(metric: &MetricSettings, sums: &[Sums], arm: usize) -> Option<(Estimate, Estimate)> {
    let (control, treatment) = (sums.first()?, sums.get(arm)?);
    let both: [Option<Estimate>; 2] = match (metric.kind, metric.lookback) {
        (MetricKind::Ratio, _) => [control, treatment].map(Estimate::ratio),
        (_, None) => [control, treatment].map(Estimate::mean),
        (_, Some(_)) => {
            let arms: Vec<&Sums> = sums.iter().collect();
            let (theta, centre) = (cuped::theta(&arms), cuped::centre(&arms));
            [control, treatment].map(|sums| cuped::adjusted(sums, theta, centre))
        }
    };
    Some((both[0]?, both[1]?))
}

/// What may be said of an arm by the numbers that there are: what follows holds of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grounds {
    /// Whether it may be said to be better, or harmless: both arms have outcomes enough.
    pub(super) praise: bool,
    /// Whether it may be said to do harm: it has outcomes enough, or would have if it were like the other. Who waited for its outcomes
    /// would never stop an arm that has none.
    pub(super) blame: bool,
}

impl Grounds {
    /// The grounds to judge `arm` on, by the sums of all arms.
    pub(super) fn of(metric: &MetricSettings, sums: &[Sums], arm: usize) -> Self {
        let (Some(control), Some(treatment)) = (sums.first(), sums.get(arm)) else {
            return Self {
                praise: false,
                blame: false,
            };
        };
        let both = [control, treatment];
        let units: u64 = both.iter().map(|sums| sums.n).sum();
        let smaller = control.n.min(treatment.n);
        let outcomes = both.map(|sums| sums.nonzero);
        let without = both.map(|sums| sums.n - sums.nonzero.min(sums.n));
        let is_conversion = metric.kind == MetricKind::Conversion;
        let fewest = if is_conversion {
            FEWEST_CONVERSIONS
        } else {
            FEWEST_OUTCOMES
        };
        // Of conversions, users without one are as telling as users with one.
        let counted: &[[u64; 2]] = if is_conversion {
            &[outcomes, without]
        } else {
            &[outcomes]
        };
        let many = smaller >= FEWEST_UNITS && units >= FEWEST_UNITS_OF_BOTH;
        let each = |counts: &[u64; 2]| counts.iter().all(|count| *count >= fewest);
        let pooled = |counts: &[u64; 2]| {
            counts.iter().sum::<u64>() as f64 * smaller as f64 >= fewest as f64 * units as f64
        };
        let praise = many && counted.iter().all(each);
        Self {
            praise,
            blame: praise || many && counted.iter().all(pooled),
        }
    }
}
