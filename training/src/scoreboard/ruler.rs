//! What lists are worth, user by user: the same ruler for everybody.

use serde::{Deserialize, Serialize};

use super::contender::Lists;
use super::task::{Baskets, TOP};
use crate::evaluate::ranking::{average_precision, discounted_gain};

/// What one user's list is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// Share of what the user bought that is among the first 10.
    pub recall: f64,
    /// The discounted gain of the first 10 (each hit counts `1 / log2(1 + place)`), as a share of the best that there could be.
    pub ndcg: f64,
    /// Precision at each hit of the first 10, summed and divided by the most hits that there could be.
    pub map: f64,
    /// One over the place of the first hit among the first 10; 0 without one.
    pub mrr: f64,
    /// Share of what the user bought that is in the whole list.
    pub deep_recall: f64,
}

/// What the lists of all users who count are worth, in the order of the users.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged(Vec<Worth>);

impl Judged {
    /// Of one model's lists; a user without a list found nothing.
    pub fn of(lists: &Lists, bought: &Baskets) -> Self {
        let none = Vec::new();
        let worth = bought.iter().map(|(user, basket)| {
            let list = lists.get(user).unwrap_or(&none);
            let mut named = std::collections::HashSet::new();
            let hits: Vec<bool> = list
                .iter()
                .map(|item| basket.contains(item) && named.insert(*item))
                .collect();
            Worth::of(&hits, basket.len())
        });
        Self(worth.collect())
    }

    /// The mean of several, user by user.
    pub fn mean_of(several: &[Self]) -> Self {
        let users = several.first().map_or(0, |judged| judged.0.len());
        let mean = |user: usize| Worth::mean(several.iter().map(|judged| &judged.0[user]));
        Self((0..users).map(mean).collect())
    }

    /// The mean over users.
    pub fn mean(&self) -> Worth {
        Worth::mean(self.0.iter())
    }

    /// Each user's.
    pub fn users(&self) -> &[Worth] {
        &self.0
    }
}

impl Worth {
    /// Of the places of a list that are hits, of so many that there could be.
    fn of(hits: &[bool], bought: usize) -> Self {
        let top = &hits[..hits.len().min(TOP)];
        let most = bought.min(TOP);
        let share = |hits: &[bool]| hits.iter().filter(|hit| **hit).count() as f64 / bought.max(1) as f64;
        Self {
            recall: share(top),
            ndcg: discounted_gain(top, most),
            map: average_precision(top, most),
            mrr: top
                .iter()
                .position(|hit| *hit)
                .map_or(0.0, |first| 1.0 / (first + 1) as f64),
            deep_recall: share(hits),
        }
    }

    fn mean<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        let (mut sum, mut count) = (Self::default(), 0.0);
        for worth in all {
            sum.recall += worth.recall;
            sum.ndcg += worth.ndcg;
            sum.map += worth.map;
            sum.mrr += worth.mrr;
            sum.deep_recall += worth.deep_recall;
            count += 1.0;
        }
        let count = f64::max(count, 1.0);
        Self {
            recall: sum.recall / count,
            ndcg: sum.ndcg / count,
            map: sum.map / count,
            mrr: sum.mrr / count,
            deep_recall: sum.deep_recall / count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_worth_what_its_definitions_say() {
        let bought = Baskets::from([(0, [1, 2, 3].into()), (1, [9].into())]);
        let lists = Lists::from([(0, vec![7, 1, 1, 8, 2])]);
        let judged = Judged::of(&lists, &bought);
        let [first, second] = judged.users() else {
            panic!("two users");
        };
        let log = |place: f64| 1.0 / (1.0 + place).log2();
        let best = log(1.0) + log(2.0) + log(3.0);
        assert!((first.ndcg - (log(2.0) + log(5.0)) / best).abs() < 1e-12);
        assert!((first.recall - 2.0 / 3.0).abs() < 1e-12 && (first.mrr - 0.5).abs() < 1e-12);
        assert!((first.map - (1.0 / 2.0 + 2.0 / 5.0) / 3.0).abs() < 1e-12);
        assert_eq!(*second, Worth::default(), "no list finds nothing");
        assert!((judged.mean().recall - 1.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn what_stands_below_the_first_ten_counts_for_the_whole_list_alone() {
        let bought = Baskets::from([(0, [99].into())]);
        let lists = Lists::from([(0, (0..10).chain([99]).collect())]);
        let worth = Judged::of(&lists, &bought).mean();
        assert_eq!((worth.recall, worth.ndcg, worth.deep_recall), (0.0, 0.0, 1.0));
    }
}
