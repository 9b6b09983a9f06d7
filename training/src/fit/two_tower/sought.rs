//! Later purchases, and how many of them towers find.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use super::super::FitError;
use super::{Entities, MODEL, Towers};
use crate::evaluate::retrieval::CANDIDATES;
use crate::rows::{Pair, SnapshotRow};

/// Users whose purchases are looked for, at most.
const USERS: usize = 1000;

/// What some users bought, among some items.
pub(super) struct Sought {
    items: Vec<SnapshotRow>,
    /// What each bought, as positions of `items`.
    users: Vec<(SnapshotRow, Vec<usize>)>,
}

impl Sought {
    /// What users bought `later`, of these items and others that were bought then; of some users, evenly drawn, where there are many.
    pub(super) fn of(items: &[SnapshotRow], later: &[Pair<SnapshotRow>]) -> Self {
        let bought = later.iter().map(|pair| pair.item);
        let mut items: Vec<SnapshotRow> = items.iter().copied().chain(bought).collect();
        items.sort_unstable();
        items.dedup();
        let positions: HashMap<SnapshotRow, usize> = items.iter().copied().zip(0..).collect();
        let mut users: BTreeMap<SnapshotRow, Vec<usize>> = BTreeMap::new();
        for pair in later {
            users.entry(pair.user).or_default().push(positions[&pair.item]);
        }
        let step = 1 + users.len() / USERS;
        Self {
            items,
            users: users.into_iter().step_by(step).collect(),
        }
    }

    /// The share of what each user bought that is among the [`CANDIDATES`] nearest items, averaged over users.
    pub(super) fn recall(&self, towers: &Towers, of: &Entities<'_>) -> Result<f64, FitError> {
        let users: Vec<SnapshotRow> = self.users.iter().map(|(user, _)| *user).collect();
        let items = towers.embed_items(of, &self.items)?;
        let users = towers.embed_users(of, &users)?;
        let products = || -> candle_core::Result<Vec<Vec<f32>>> {
            let width = items.len() / self.items.len();
            let items = Tensor::from_vec(items, (self.items.len(), width), &Device::Cpu)?;
            let users = Tensor::from_vec(users, (self.users.len(), width), &Device::Cpu)?;
            users.matmul(&items.t()?)?.to_vec2()
        };
        let products = products().map_err(FitError::network(MODEL))?;
        let shares = products.iter().zip(&self.users);
        let shares = shares.map(|(products, (_, bought))| share_found(products, bought, CANDIDATES));
        Ok(shares.sum::<f64>() / self.users.len() as f64)
    }
}

/// How much of `bought` is among the `k` highest products.
fn share_found(products: &[f32], bought: &[usize], k: usize) -> f64 {
    if products.len() <= k {
        return 1.0;
    }
    let mut ordered = products.to_vec();
    let (_, least, _) = ordered.select_nth_unstable_by(k - 1, |one, other| other.total_cmp(one));
    let found = bought.iter().filter(|position| products[**position] >= *least);
    found.count() as f64 / bought.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_among_the_highest_is_found() {
        let products = [0.1, 0.9, 0.3, 0.7];
        assert_eq!(share_found(&products, &[1, 2], 2), 0.5);
        assert_eq!(share_found(&products, &[3], 2), 1.0);
        assert_eq!(share_found(&products, &[0], 4), 1.0);
    }

    #[test]
    fn each_user_is_asked_for_what_they_bought_later() {
        let sought = Sought::of(&[7, 3].map(SnapshotRow), &[Pair::at(1, 3), Pair::at(1, 9)]);
        assert_eq!(sought.items, [3, 7, 9].map(SnapshotRow));
        assert_eq!(sought.users, [(SnapshotRow(1), vec![0, 2])]);
    }
}
