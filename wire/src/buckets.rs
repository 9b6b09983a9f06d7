//! Shares of users, as numbers of the 10,000 buckets that they fall into.

use gondola_crds::text::Percent;
use serde::{Deserialize, Serialize};

/// Number of buckets that users fall into.
pub const BUCKETS: u16 = 10_000;

/// How many of the 10,000 buckets: never more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Buckets(u16);

/// Why a number counts no buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketsError {
    /// There aren't so many.
    #[error("{0} is not a number of buckets; give 0 to {BUCKETS}")]
    TooMany(u16),
}

impl Buckets {
    /// Nobody.
    pub const NONE: Self = Self(0);
    /// Everybody.
    pub const ALL: Self = Self(BUCKETS);

    /// So many; all where there are no more.
    pub const fn new(count: u16) -> Self {
        if count < BUCKETS { Self(count) } else { Self::ALL }
    }

    /// How many.
    pub const fn count(self) -> u16 {
        self.0
    }

    /// The share of users whom they hold, from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(BUCKETS)
    }
}

impl TryFrom<u16> for Buckets {
    type Error = BucketsError;

    fn try_from(count: u16) -> Result<Self, BucketsError> {
        if count > BUCKETS {
            return Err(BucketsError::TooMany(count));
        }
        Ok(Self(count))
    }
}

impl From<Buckets> for u16 {
    fn from(buckets: Buckets) -> Self {
        buckets.0
    }
}

/// The nearest number of whole buckets.
impl From<&Percent> for Buckets {
    fn from(percent: &Percent) -> Self {
        Self::new((percent.fraction() * f64::from(BUCKETS)).round() as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_a_plain_number_that_is_held_to_those_there_are() {
        let all: Buckets = serde_json::from_str("10000").unwrap();
        assert_eq!(all, Buckets::ALL);
        assert_eq!(serde_json::to_string(&all).unwrap(), "10000");
        let refused = serde_json::from_str::<Buckets>("10001").unwrap_err();
        let message = refused.to_string();
        assert!(message.contains("give 0 to 10000"), "{message}");
    }
}
