//! Candidate sources: where candidates come from, and how the sources are joined.
//!
//! The two-tower search is the first; `bought before` adds what the user buys again and again (in a grocery that is most
//! of it), `popular` what everybody buys. Each has a quota, and an item that several sources name is taken once.

use hashbrown::HashSet;

use super::Found;
use crate::features::Purchase;

/// How many candidates each source may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Nearest to the user in the space of the two towers.
    pub two_tower: usize,
    /// Bought before by the user, the most often bought first.
    pub bought_before: usize,
    /// The most popular.
    pub popular: usize,
}

impl Quotas {
    /// The most candidates that a request can have.
    pub fn total(&self) -> usize {
        self.two_tower + self.bought_before + self.popular
    }
}

/// Joins the sources, each up to its quota, in the order of their names in [`Quotas`].
pub fn join(quotas: &Quotas, nearest: &[Found], purchases: &[Purchase], popular: &[u32]) -> Vec<u32> {
    let mut seen = HashSet::with_capacity(quotas.total());
    let mut candidates = Vec::with_capacity(quotas.total());
    let mut take = |item: u32| {
        if seen.insert(item) {
            candidates.push(item);
        }
    };
    nearest
        .iter()
        .take(quotas.two_tower)
        .for_each(|found| take(found.item));
    most_often_bought(purchases, quotas.bought_before).for_each(&mut take);
    popular.iter().take(quotas.popular).for_each(|item| take(*item));
    candidates
}

/// The items that were bought most often, of equal ones the latest first.
pub fn most_often_bought(purchases: &[Purchase], limit: usize) -> impl Iterator<Item = u32> {
    let mut ordered: Vec<&Purchase> = if limit == 0 {
        Vec::new()
    } else {
        purchases.iter().collect()
    };
    let order = |a: &&Purchase, b: &&Purchase| {
        b.purchases
            .total_cmp(&a.purchases)
            .then_with(|| a.days_since_last.total_cmp(&b.days_since_last))
            .then_with(|| a.item.cmp(&b.item))
    };
    if ordered.len() > limit && limit > 0 {
        ordered.select_nth_unstable_by(limit - 1, order);
        ordered.truncate(limit);
    }
    ordered.sort_unstable_by(order);
    ordered.into_iter().map(|purchase| purchase.item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bought(item: u32, purchases: f32, days_since_last: f32) -> Purchase {
        Purchase {
            item,
            purchases,
            days_since_last,
            recent_purchases: purchases,
        }
    }

    #[test]
    fn an_item_that_two_sources_name_is_taken_once() {
        let nearest = [5, 6, 7].map(|item| Found {
            item,
            similarity: 1.0,
        });
        let quotas = Quotas {
            two_tower: 2,
            bought_before: 2,
            popular: 1,
        };
        let purchases = [bought(1, 1.0, 1.0), bought(6, 9.0, 3.0), bought(8, 2.0, 3.0)];
        assert_eq!(join(&quotas, &nearest, &purchases, &[5, 9]), [5, 6, 8]);
    }

    #[test]
    fn of_items_bought_equally_often_the_latest_comes_first() {
        let purchases = [
            bought(1, 2.0, 30.0),
            bought(2, 2.0, 3.0),
            bought(3, 5.0, 90.0),
            bought(4, 1.0, 0.0),
        ];
        assert_eq!(most_often_bought(&purchases, 3).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!(most_often_bought(&purchases, 0).count(), 0);
    }
}
