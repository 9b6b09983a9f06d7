//! Estimates of one metric from the sums of all arms.

use gondola_crds::experiment::MetricKind;

use crate::settings::MetricSettings;
use crate::statistics::{Estimate, Sums, cuped};

/// Users of an arm below which nothing is said: what follows holds for many users.
const FEWEST_UNITS: u64 = 100;
/// Conversions of an arm, and users without one, below which nothing is said.
const FEWEST_CONVERSIONS: f64 = 25.0;

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

/// Whether there are enough users of both arms for what holds of many.
pub(super) fn is_enough(metric: &MetricSettings, sums: &[Sums], arm: usize) -> bool {
    let enough = |sums: &Sums| {
        let rare = sums.y.min(sums.n as f64 - sums.y);
        sums.n >= FEWEST_UNITS && (metric.kind != MetricKind::Conversion || rare >= FEWEST_CONVERSIONS)
    };
    sums.first().is_some_and(enough) && sums.get(arm).is_some_and(enough)
}
