//! A year of sales: what things cost, who shops here, and what they buy again and again.
//!
//! The data set has no list of prices. What a product costs is what was paid for it in all, divided by how many were sold.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::money::Cents;
use crate::tables::{Table, TableError};

const FILE: &str = "transactions.parquet";
/// How many things are kept that a household buys again and again.
const REGULARS: usize = 12;
/// How often somebody buys what they buy again and again.
const OFTEN: u32 = 3;

/// What was sold of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sold {
    quantity: i64,
    dollars: f64,
}

/// What a year of sales says.
#[derive(Clone, Debug, Default)]
pub struct Sales {
    sold: HashMap<i64, Sold>,
    /// How often each household bought each product.
    households: BTreeMap<i64, HashMap<i64, u32>>,
}

impl Sales {
    /// Reads the sales of the data set in a folder.
    pub fn read(folder: &Path) -> Result<Self, TableError> {
        let columns = ["household_id", "product_id", "quantity", "sales_value"];
        let table = Table::read(folder.join(FILE), &columns)?;
        let mut sales = Self::default();
        let households = table.integers("household_id")?.into_iter();
        let products = table.integers("product_id")?.into_iter();
        let quantities = table.integers("quantity")?.into_iter();
        let dollars = table.numbers("sales_value")?.into_iter();
        for (((household, product), quantity), dollars) in
            households.zip(products).zip(quantities).zip(dollars)
        {
            if let (Some(household), Some(product)) = (household, product) {
                sales.add(
                    household,
                    product,
                    quantity.unwrap_or_default(),
                    dollars.unwrap_or_default(),
                );
            }
        }
        Ok(sales)
    }

    fn add(&mut self, household: i64, product: i64, quantity: i64, dollars: f64) {
        let bought = self.households.entry(household).or_default();
        // Some rows are returns and coupons, of nothing.
        if quantity > 0 {
            *bought.entry(product).or_default() += 1;
            let sold = self.sold.entry(product).or_default();
            sold.quantity += quantity;
            sold.dollars += dollars;
        }
    }

    /// What a product costs; `None` where it was never sold, or for less than a cent (gasoline is sold by the thousandth).
    pub fn price(&self, product: &str) -> Option<Cents> {
        let sold = self.sold.get(&product.parse::<i64>().ok()?)?;
        Cents::from_dollars(sold.dollars / sold.quantity as f64)
    }

    /// The households that bought something, in the order of their numbers.
    pub fn households(&self) -> impl Iterator<Item = i64> {
        self.households.keys().copied()
    }

    /// What a household buys again and again: most often first, [`REGULARS`] at most.
    pub fn regulars(&self, household: i64) -> Vec<i64> {
        let bought = self.households.get(&household).into_iter().flatten();
        let mut often: Vec<(i64, u32)> = bought
            .map(|(product, times)| (*product, *times))
            .filter(|(_, times)| *times >= OFTEN)
            .collect();
        often.sort_unstable_by_key(|(product, times)| (Reverse(*times), *product));
        often
            .into_iter()
            .take(REGULARS)
            .map(|(product, _)| product)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_what_one_cost_on_average() {
        let mut sales = Sales::default();
        for (product, quantity, dollars) in [
            (7, 1, 1.0),
            (7, 3, 2.0),
            (7, 0, 5.0),
            (8, 0, 1.0),
            (9, 5000, 10.0),
        ] {
            sales.add(1, product, quantity, dollars);
        }
        assert_eq!(sales.price("7"), Some(Cents(75)));
        for product in ["8", "9", "10", "milk", ""] {
            assert_eq!(sales.price(product), None, "{product}");
        }
    }

    #[test]
    fn what_a_household_buys_again_and_again_is_what_it_bought_most_often() {
        let mut sales = Sales::default();
        for (household, product, times) in [(1, 7, 3), (1, 8, 5), (1, 9, 2), (2, 9, 4)] {
            (0..times).for_each(|_| sales.add(household, product, 1, 1.0));
        }
        // Returned, not bought.
        (0..9).for_each(|_| sales.add(1, 10, 0, 1.0));
        assert_eq!(sales.regulars(1), [8, 7]);
        assert_eq!(sales.regulars(2), [9]);
        assert!(sales.regulars(3).is_empty());
        assert_eq!(sales.households().collect::<Vec<_>>(), [1, 2]);
    }
}
