//! Estimates of one metric from the sums of all arms.

use gondola_crds::experiment::MetricKind;
use gondola_wire::arms::{PerArm, Treatment};

use crate::settings::MetricSettings;
use crate::statistics::{Estimate, Sums, cuped};

/// Users of an arm below which nothing is said.
const MIN_UNITS: u64 = 100;
/// Users of both arms below which nothing is said.
const MIN_UNITS_OF_BOTH: u64 = 1000;
/// Conversions of an arm, and users without one, below which nothing is said.
const MIN_CONVERSIONS: u64 = 25;
/// Users of an arm with any outcome at all, below which nothing is said of counts, sums and ratios: a few large ones would decide.
/// `make experiments-check` has what comes of fewer: with 100, purchases of a few percent of users at 90/10 or 99/1 are called
/// harm more often than promised.
const MIN_OUTCOMES: u64 = 200;
/// The same, below which their bounds are not told.
const MIN_OUTCOMES_FOR_BOUNDS: u64 = 400;

/// The control's and an arm's; `None` while there are too few users for any number.
pub(super) fn estimates(
    metric: &MetricSettings,
    sums: &PerArm<Sums>,
    arm: Treatment,
) -> Option<(Estimate, Estimate)> {
    let (control, treatment) = (&sums.control, sums.get(arm)?);
    let both: [Option<Estimate>; 2] = match (metric.kind, metric.lookback) {
        (MetricKind::Ratio, _) => [control, treatment].map(Estimate::ratio),
        (_, None) => [control, treatment].map(Estimate::mean),
        (_, Some(_)) => {
            let arms: Vec<&Sums> = sums.iter().collect();
            let (theta, center) = (cuped::theta(&arms), cuped::center(&arms));
            [control, treatment].map(|sums| cuped::adjusted(sums, theta, center))
        }
    };
    Some((both[0]?, both[1]?))
}

/// What may be said of an arm by the numbers that there are: what follows holds of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Grounds {
    /// Whether it may be said to be better, or harmless: both arms have outcomes enough.
    pub(super) praise: bool,
    /// Whether it may be said to do harm: it has outcomes enough, or would have if it were like the other. Who waited for its outcomes
    /// would never stop an arm that has none.
    pub(super) blame: bool,
    /// Whether bounds of the difference may be told. They are to hold at every look, which takes more than a verdict.
    pub(super) bounds: bool,
}

impl Grounds {
    /// The grounds to judge `arm` on, by the sums of all arms.
    pub(super) fn of(metric: &MetricSettings, sums: &PerArm<Sums>, arm: Treatment) -> Self {
        let control = &sums.control;
        let Some(treatment) = sums.get(arm) else {
            return Self::default();
        };
        let smaller = control.n.min(treatment.n);
        if smaller < MIN_UNITS || control.n + treatment.n < MIN_UNITS_OF_BOTH {
            return Self::default();
        }
        let both = [control, treatment];
        let outcomes = Counts::of(both, |sums| sums.nonzero);
        let (kinds, fewest, fewest_for_bounds) = match metric.kind {
            // Users without one are as telling as users with one.
            MetricKind::Conversion => {
                let without = Counts::of(both, |sums| sums.n.saturating_sub(sums.nonzero));
                (vec![outcomes, without], MIN_CONVERSIONS, MIN_CONVERSIONS)
            }
            MetricKind::Count | MetricKind::Sum | MetricKind::Ratio => {
                (vec![outcomes], MIN_OUTCOMES, MIN_OUTCOMES_FOR_BOUNDS)
            }
        };
        let each_has = |fewest| kinds.iter().all(|counts| counts.each_has(fewest));
        let would_have = |fewest| kinds.iter().all(|counts| counts.would_have(fewest, smaller));
        let enough = |fewest| each_has(fewest) || would_have(fewest);
        Self {
            praise: each_has(fewest),
            blame: enough(fewest),
            bounds: enough(fewest_for_bounds),
        }
    }
}

/// How many users of the control and of an arm are of some kind.
struct Counts {
    each: [u64; 2],
    users: u64,
}

impl Counts {
    fn of(arms: [&Sums; 2], count: impl Fn(&Sums) -> u64) -> Self {
        Self {
            each: arms.map(count),
            users: arms.iter().map(|sums| sums.n).sum(),
        }
    }

    fn each_has(&self, fewest: u64) -> bool {
        self.each.iter().all(|count| *count >= fewest)
    }

    /// Whether the smaller arm would have so many if both arms were alike.
    fn would_have(&self, fewest: u64, smaller: u64) -> bool {
        let pooled = self.each.iter().sum::<u64>() as f64 / self.users as f64;
        pooled * smaller as f64 >= fewest as f64
    }
}
