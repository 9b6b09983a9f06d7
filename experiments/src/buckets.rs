//! Shares of users, as numbers of the 10,000 buckets that they fall into.

use gondola_crds::text::Percent;

use crate::assignment::BUCKETS;

/// How many of the 10,000 buckets: never more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Buckets(u16);

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

/// The nearest number of whole buckets.
impl From<&Percent> for Buckets {
    fn from(percent: &Percent) -> Self {
        Self::new((percent.fraction() * f64::from(BUCKETS)).round() as u16)
    }
}
