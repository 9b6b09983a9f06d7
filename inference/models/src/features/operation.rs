//! What is done to a number on its way into a model: one [`Operation`] after the other.

use serde::{Deserialize, Serialize};

/// One step of a numeric column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Stands in where the value is missing.
    Fill(f64),
    /// Keeps the value within bounds.
    Clip {
        /// No value is below this.
        minimum: f64,
        /// No value is above this.
        maximum: f64,
    },
    /// No value is below this.
    AtLeast(f64),
    /// No value is above this.
    AtMost(f64),
    /// `ln(1 + x)`, with negative values taken as 0.
    Log,
    /// `ln(1 + x)` of every value above -1, in 32 bits as NVTabular has it; others are missing.
    NaturalLog,
    /// `(x - mean) / standard_deviation`.
    // Bundles are spelled so since the first release.
    #[serde(rename = "normalise")]
    Normalize {
        /// Mean of the training rows.
        mean: f64,
        /// Standard deviation of the training rows; 1 where they do not vary.
        standard_deviation: f64,
    },
    /// `(x - minimum) / (maximum - minimum)`, and a half where the training rows do not vary.
    Range {
        /// The least of the training rows.
        minimum: f64,
        /// The greatest of the training rows.
        maximum: f64,
    },
    /// How many of these boundaries, which ascend, the value has reached; all of them where it is missing, as numpy's `digitize` counts.
    Bucket(Vec<f64>),
    /// 1 where the value is missing, else 0.
    IsMissing,
}

impl Operation {
    pub(super) fn apply(&self, value: Option<f64>) -> Option<f64> {
        match self {
            Self::Fill(fill) => Some(value.unwrap_or(*fill)),
            Self::IsMissing => Some(f64::from(u8::from(value.is_none()))),
            Self::Bucket(boundaries) => Some(bucket(boundaries, value) as f64),
            Self::Clip { minimum, maximum } => value.map(|x| x.max(*minimum).min(*maximum)),
            Self::AtLeast(minimum) => value.map(|x| x.max(*minimum)),
            Self::AtMost(maximum) => value.map(|x| x.min(*maximum)),
            Self::Log => value.map(|x| x.max(0.0).ln_1p()),
            Self::NaturalLog => value.and_then(natural_log),
            Self::Normalize {
                mean,
                standard_deviation,
            } => value.map(|x| (x - mean) / standard_deviation),
            Self::Range { minimum, maximum } if maximum == minimum => value.map(|_| 0.5),
            Self::Range { minimum, maximum } => value.map(|x| (x - minimum) / (maximum - minimum)),
        }
    }

    /// Whether values of the training rows are near 0 after it, so that one that is far is one that models never saw.
    pub(super) fn scales(&self) -> bool {
        matches!(self, Self::Normalize { .. } | Self::Range { .. })
    }

    /// Whether the first format of `workflow.json` has it.
    pub(super) fn is_of_first_format(&self) -> bool {
        matches!(
            self,
            Self::Fill(_) | Self::Clip { .. } | Self::Log | Self::Normalize { .. }
        )
    }
}

/// What a list of operations makes of a value.
pub(super) fn apply_all(operations: &[Operation], value: Option<f64>) -> Option<f64> {
    operations
        .iter()
        .fold(value, |value, operation| operation.apply(value))
}

fn natural_log(x: f64) -> Option<f64> {
    let above_0 = x as f32 + 1.0;
    (above_0 > 0.0).then(|| f64::from(above_0.ln()))
}

fn bucket(boundaries: &[f64], value: Option<f64>) -> usize {
    let reached = |x: f64| boundaries.partition_point(|boundary| *boundary <= x);
    value.map_or(boundaries.len(), reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(operation: Operation, expected: &[(Option<f64>, Option<f64>)]) {
        for (value, wanted) in expected {
            assert_eq!(operation.apply(*value), *wanted, "{operation:?} of {value:?}");
        }
    }

    #[test]
    fn a_value_on_a_boundary_is_in_the_bucket_above_and_a_missing_one_in_the_last() {
        let boundaries = Operation::Bucket(vec![18.0, 40.0]);
        check(
            boundaries,
            &[
                (Some(17.9), Some(0.0)),
                (Some(18.0), Some(1.0)),
                (Some(99.0), Some(2.0)),
                (None, Some(2.0)),
            ],
        );
    }

    #[test]
    fn a_logarithm_that_there_is_not_is_missing() {
        let half = f64::from(0.5f32.ln());
        check(
            Operation::NaturalLog,
            &[
                (Some(0.0), Some(0.0)),
                (Some(-0.5), Some(half)),
                (Some(-1.0), None),
                (None, None),
            ],
        );
    }

    #[test]
    fn a_range_scales_and_goes_on_beyond_its_ends() {
        let range = |minimum, maximum| Operation::Range { minimum, maximum };
        check(
            range(10.0, 20.0),
            &[(Some(15.0), Some(0.5)), (Some(30.0), Some(2.0)), (None, None)],
        );
        check(range(3.0, 3.0), &[(Some(3.0), Some(0.5)), (None, None)]);
    }

    #[test]
    fn what_is_missing_can_be_asked_for() {
        check(Operation::IsMissing, &[(Some(0.0), Some(0.0)), (None, Some(1.0))]);
        check(Operation::AtLeast(0.0), &[(Some(-3.0), Some(0.0)), (None, None)]);
        check(Operation::AtMost(0.0), &[(Some(3.0), Some(0.0)), (None, None)]);
    }
}
