//! The households that shop here, and what they told about themselves.

use std::collections::BTreeMap;
use std::path::Path;

use gondola_request::{ItemId, UserId};

use crate::sales::Sales;
use crate::tables::{Table, TableError};

const FILE: &str = "demographics.parquet";
/// Most customers that a search shows.
pub const MAX_FOUND: usize = 12;
/// How many customers are suggested.
const EXAMPLES: usize = 6;

/// A household.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: UserId,
    /// Who lives there, and their ages; most told nothing.
    pub about: Option<About>,
    /// What is bought again and again, most often first.
    pub regulars: Vec<ItemId>,
}

/// What a household told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Who lives there: "2 Adults Kids".
    pub who: String,
    /// Ages of the adults: "35-44".
    pub age: String,
}

/// All households.
#[derive(Clone, Debug, Default)]
pub struct Customers {
    /// By number, so that they are in its order.
    households: BTreeMap<i64, Customer>,
}

impl Customers {
    /// Reads those who bought something from the data set in a folder.
    pub fn read(folder: &Path, sales: &Sales) -> Result<Self, TableError> {
        let table = Table::read(folder.join(FILE), &["household_id", "age", "household_comp"])?;
        let mut customers = Self::default();
        for number in sales.households() {
            let regulars = sales.regulars(number).into_iter();
            customers.add(
                number,
                regulars
                    .map(|product| ItemId::from(product.to_string()))
                    .collect(),
            );
        }
        let ids = table.integers("household_id")?.into_iter();
        let ages = table.texts("age")?.into_iter();
        for ((id, age), who) in ids.zip(ages).zip(table.texts("household_comp")?) {
            if let (Some(id), Some(age), Some(who)) = (id, age, who) {
                customers.tell(id, About { who, age });
            }
        }
        Ok(customers)
    }

    fn add(&mut self, number: i64, regulars: Vec<ItemId>) {
        let customer = Customer {
            id: UserId::from(number.to_string()),
            about: None,
            regulars,
        };
        self.households.insert(number, customer);
    }

    fn tell(&mut self, number: i64, about: About) {
        if !self.households.contains_key(&number) {
            self.add(number, Vec::new());
        }
        if let Some(customer) = self.households.get_mut(&number) {
            customer.about = Some(about);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.households.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.households.is_empty()
    }

    /// The household of an id.
    pub fn get(&self, id: &str) -> Option<&Customer> {
        self.households.get(&id.parse().ok()?)
    }

    /// Those whose ids begin so, [`MAX_FOUND`] at most.
    pub fn find(&self, beginning: &str) -> Vec<&Customer> {
        let begins = |customer: &&Customer| customer.id.as_str().starts_with(beginning);
        let all = self.households.values();
        all.filter(begins).take(MAX_FOUND).collect()
    }

    /// A few that differ: the first of each kind of household.
    pub fn examples(&self) -> Vec<&Customer> {
        let mut examples: Vec<&Customer> = Vec::new();
        let who = |customer: &Customer| customer.about.as_ref().map(|about| about.who.clone());
        for customer in self
            .households
            .values()
            .filter(|customer| customer.about.is_some())
        {
            if !examples.iter().any(|other| who(other) == who(customer)) {
                examples.push(customer);
            }
            if examples.len() == EXAMPLES {
                break;
            }
        }
        examples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Customers {
        /// Customers who told nothing.
        pub(crate) fn of(numbers: &[i64]) -> Self {
            let mut customers = Self::default();
            for number in numbers {
                customers.add(*number, Vec::new());
            }
            customers
        }
    }

    fn customers() -> Customers {
        let mut customers = Customers::default();
        for (number, who) in [
            (2, None),
            (10, Some("2 Adults")),
            (11, Some("2 Adults")),
            (112, Some("1 Adult Kids")),
        ] {
            customers.add(number, Vec::new());
            if let Some(who) = who {
                customers.tell(
                    number,
                    About {
                        who: who.to_owned(),
                        age: "35-44".to_owned(),
                    },
                );
            }
        }
        customers
    }

    #[track_caller]
    fn check(found: &[&Customer], ids: &[&str]) {
        let found: Vec<&str> = found.iter().map(|customer| customer.id.as_str()).collect();
        assert_eq!(found, ids);
    }

    #[test]
    fn a_customer_is_found_by_how_the_id_begins() {
        let customers = customers();
        check(&customers.find("1"), &["10", "11", "112"]);
        check(&customers.find("11"), &["11", "112"]);
        check(&customers.find("x"), &[]);
        assert!(customers.get("112").is_some() && customers.get("1").is_none());
    }

    #[test]
    fn examples_are_the_first_of_each_kind_of_household() {
        check(&customers().examples(), &["10", "112"]);
    }
}
