//! Two sets of lists for the same buyers: by how much one is better, and how sure that is.
//!
//! The difference is relative: the mean of the one over the mean of the other, less one. Its interval is a bootstrap over buyers, each drawn
//! with both of their lists, so that what is hard for everybody falls out.

use super::bootstrap::{Interval, intervals, weighted_mean};

/// By how much one set of lists is better than another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// The mean of the new lists.
    pub new: f64,
    /// The mean of the lists that they are compared with.
    pub old: f64,
    /// By how much the new mean is above the old, as a share of the old; infinite where the old is 0 and the new is not.
    pub relative: f64,
    /// The 95 % bootstrap interval of that.
    pub interval: Interval,
    /// The number of buyers.
    pub buyers: usize,
}

impl Lift {
    /// Of a metric of each buyer's two lists, in the same order. The same seed gives the same interval.
    pub fn of(new: &[f64], old: &[f64], seed: u64) -> Self {
        let buyers = new.len();
        let relative = |counts: &[f64]| lift(weighted_mean(new, counts), weighted_mean(old, counts));
        let once = vec![1.0; buyers];
        let [interval] = intervals(buyers, seed, |counts| [relative(counts)]);
        Self {
            new: weighted_mean(new, &once),
            old: weighted_mean(old, &once),
            relative: relative(&once),
            interval,
            buyers,
        }
    }
}

/// Two means of 0 are the same.
fn lift(new: f64, old: f64) -> f64 {
    if old > 0.0 {
        new / old - 1.0
    } else if new > 0.0 {
        f64::INFINITY
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_everybody_has_is_sure_and_one_of_few_is_not() {
        let old: Vec<f64> = (0..500).map(|buyer| f64::from(buyer % 7) / 10.0).collect();
        let everywhere: Vec<f64> = old.iter().map(|value| value * 1.1).collect();
        let lift = Lift::of(&everywhere, &old, 1);
        assert!((lift.relative - 0.1).abs() < 1e-9);
        assert!((lift.interval.low - 0.1).abs() < 1e-9 && (lift.interval.high - 0.1).abs() < 1e-9);

        let mut few = old.clone();
        few[0] += 0.3;
        let lift = Lift::of(&few, &old, 1);
        assert!(lift.relative > 0.0 && lift.interval.low <= 0.0, "{lift:?}");
    }

    #[test]
    fn the_same_lists_are_no_better() {
        let same = [0.5, 0.0, 0.25];
        let lift = Lift::of(&same, &same, 7);
        assert_eq!(
            (lift.relative, lift.interval.low, lift.interval.high),
            (0.0, 0.0, 0.0)
        );
        assert_eq!(Lift::of(&[0.0], &[0.0], 7).relative, 0.0);
        assert!(Lift::of(&[0.1], &[0.0], 7).relative.is_infinite());
    }
}
