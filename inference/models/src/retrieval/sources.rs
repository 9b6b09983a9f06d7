//! Candidate sources: where candidates come from, and how the sources are joined.
//!
//! The two-tower search is the first; `bought before` adds what the user buys again and again (in a grocery that is most
//! of it), `co-bought` what people buy who buy the same, `popular` what everybody buys. Each has a quota, and an item that several
//! sources name is taken once. [Trained sources](super::trained) come after these, by their names.

use std::sync::Arc;

use gondola_request::Source;
use hashbrown::HashSet;

use super::Found;
use super::trained::TrainedSource;
use crate::features::{Neighbors, Purchase};

/// Of so many of a user's purchases, the latest, the neighbors are candidates: older ones say little, and cost as much.
const ANCHORS: usize = 50;

/// How many candidates each source may give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Nearest to the user in the space of the two towers.
    pub two_tower: usize,
    /// Bought before by the user, the most often bought first.
    pub bought_before: usize,
    /// Bought by those who bought the same as the user.
    pub co_bought: usize,
    /// The most popular.
    pub popular: usize,
    /// Trained sources.
    pub trained: Vec<TrainedQuota>,
}

/// How many candidates a trained source may give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainedQuota {
    /// The source's name.
    pub name: String,
    /// How many.
    pub candidates: usize,
}

impl Quotas {
    /// The most candidates that a request can have.
    pub fn total(&self) -> usize {
        let trained: usize = self.trained.iter().map(|quota| quota.candidates).sum();
        self.two_tower + self.bought_before + self.co_bought + self.popular + trained
    }

    /// The sources, in the order of their [`Lists`].
    pub fn sources(&self) -> Vec<Source> {
        let trained = self.trained.iter();
        let own = [
            Source::TwoTower,
            Source::BoughtBefore,
            Source::CoBought,
            Source::Popular,
        ];
        own.into_iter()
            .chain(trained.map(|quota| Source::Trained(quota.name.clone())))
            .collect()
    }
}

/// What each source gives, the best first, in the order of [`Quotas::sources`].
pub type Lists = Vec<Vec<u32>>;

/// What sources know of a request, and what they find it in.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// What is nearest to the user in the space of the two towers.
    pub nearest: &'a [Found],
    /// What the user bought.
    pub purchases: &'a [Purchase],
    /// What is bought together.
    pub neighbors: Option<&'a Neighbors>,
    /// What everybody buys, the most popular first.
    pub popular: &'a [u32],
    /// The trained sources, in the order of their quotas.
    pub trained: &'a [Arc<TrainedSource>],
}

/// What each source gives, up to its quota.
pub fn lists(quotas: &Quotas, search: &Search<'_>) -> Lists {
    let Search {
        nearest,
        purchases,
        neighbors,
        popular,
        trained,
    } = *search;
    let near = |neighbors| co_bought(purchases, neighbors, quotas.co_bought);
    let nearest = nearest.iter().take(quotas.two_tower).map(|found| found.item);
    let own = [
        nearest.collect(),
        most_often_bought(purchases, quotas.bought_before).collect(),
        neighbors.map(near).unwrap_or_default(),
        popular.iter().take(quotas.popular).copied().collect(),
    ];
    let trained = quotas.trained.iter().zip(trained);
    own.into_iter()
        .chain(trained.map(|(quota, source)| source.candidates(purchases, quota.candidates)))
        .collect()
}

/// The items of all lists, each once, in the order in which they are first named.
pub fn join(lists: &Lists) -> Vec<u32> {
    let total = lists.iter().map(Vec::len).sum();
    let mut seen = HashSet::with_capacity(total);
    let mut joined = Vec::with_capacity(total);
    let all = lists.iter().flatten();
    joined.extend(all.copied().filter(|item| seen.insert(*item)));
    joined
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

/// The items that are nearest to what the user bought lately, and that the user did not buy: similarities are summed.
pub fn co_bought(purchases: &[Purchase], neighbors: &Neighbors, limit: usize) -> Vec<u32> {
    if limit == 0 {
        return Vec::new();
    }
    let mut latest: Vec<&Purchase> = purchases.iter().collect();
    latest.sort_unstable_by(|a, b| {
        let by_day = a.days_since_last.total_cmp(&b.days_since_last);
        by_day.then_with(|| a.item.cmp(&b.item))
    });
    let anchors = latest.iter().take(ANCHORS).map(|anchor| anchor.item);
    let bought = |item: &u32| {
        purchases
            .binary_search_by_key(item, |purchase| purchase.item)
            .is_ok()
    };
    let near = neighbors.nearest_to(anchors).into_iter().map(|near| near.item);
    near.filter(|item| !bought(item)).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Neighbor;

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
            co_bought: 1,
            popular: 1,
            trained: Vec::new(),
        };
        let purchases = [bought(1, 1.0, 1.0), bought(6, 9.0, 3.0), bought(8, 2.0, 3.0)];
        let neighbors = neighbors();
        let search = Search {
            nearest: &nearest,
            purchases: &purchases,
            neighbors: Some(&neighbors),
            popular: &[5, 9],
            trained: &[],
        };
        let found = join(&lists(&quotas, &search));
        assert_eq!(found, [5, 6, 8, 3]);
    }

    /// Item 3 is near to 1 and 6, item 4 to 6 alone; 8 is near to 1.
    fn neighbors() -> Neighbors {
        let near = |item, similarity| Neighbor { item, similarity };
        Neighbors::new(
            10,
            vec![
                (1, near(3, 0.3)),
                (1, near(8, 0.9)),
                (6, near(3, 0.3)),
                (6, near(4, 0.5)),
            ],
        )
    }

    #[test]
    fn what_is_near_to_several_purchases_comes_before_what_is_near_to_one_and_what_was_bought_is_left_out() {
        let purchases = [bought(1, 1.0, 1.0), bought(6, 9.0, 3.0), bought(8, 2.0, 3.0)];
        assert_eq!(co_bought(&purchases, &neighbors(), 5), [3, 4]);
        assert_eq!(co_bought(&purchases, &neighbors(), 1), [3]);
        assert_eq!(co_bought(&purchases, &Neighbors::default(), 5), [0; 0]);
    }

    #[test]
    fn the_latest_purchases_are_the_ones_that_count() {
        let old = (0..60).map(|item| bought(item, 1.0, 100.0 - item as f32));
        let purchases: Vec<Purchase> = old.collect();
        let near = |item| Neighbor {
            item,
            similarity: 1.0,
        };
        let neighbors = Neighbors::new(100, vec![(0, near(90)), (59, near(91))]);
        assert_eq!(co_bought(&purchases, &neighbors, 5), [91]);
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
