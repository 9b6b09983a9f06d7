//! Prices, in whole cents.

use std::fmt;
use std::iter::Sum;

/// An amount of money, in cents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(pub u64);

impl Cents {
    /// What some dollars are, rounded; `None` where that is less than a cent, or no amount at all.
    pub fn from_dollars(dollars: f64) -> Option<Self> {
        let cents = (dollars * 100.0).round();
        (1.0..=1e12).contains(&cents).then_some(Self(cents as u64))
    }

    /// The same in dollars, as interactions have it.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// So many times the amount.
    pub fn times(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(u64::from(quantity)))
    }
}

impl Sum for Cents {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0)))
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_rounded_to_cents_and_written_with_two_digits() {
        for (dollars, text) in [
            (0.94, "$0.94"),
            (2.695, "$2.70"),
            (12.0, "$12.00"),
            (0.005, "$0.01"),
        ] {
            assert_eq!(Cents::from_dollars(dollars).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_less_than_a_cent_or_no_amount_is_no_price() {
        for dollars in [0.0, 0.0023, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Cents::from_dollars(dollars), None, "{dollars}");
        }
    }
}
