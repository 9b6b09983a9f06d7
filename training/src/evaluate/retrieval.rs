//! How much of what was bought is among the candidates at all: no scorer can put first what retrieval did not
//! find.

use std::collections::{BTreeMap, HashSet};

use gondola_models::features::{Neighbors, Purchase};
use gondola_models::retrieval::{Retrieval, SearchError, sources};
use serde::{Deserialize, Serialize};

use super::baselines::{NamedSource, POPULAR_DAYS, most_popular};
use crate::features::Snapshot;
use crate::features::snapshot::has;
use crate::fit::encoded::Encoded;
use crate::rows::{Pair, Row, SnapshotRow};

/// Number of candidates.
pub const CANDIDATES: usize = 200;

/// How much of what was bought a source finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievalQuality {
    /// The source.
    pub name: String,
    /// Share of what each buyer bought that is among 200 candidates, averaged over buyers.
    pub recall: f64,
    /// The same of what the buyer had never bought before, averaged over buyers of something new.
    pub recall_of_new: f64,
}

/// Why retrieval could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluateRetrievalError {
    /// The towers and their index.
    #[error(transparent)]
    Search(#[from] SearchError),
}

/// The two towers and trained sources, compared with methods that need no model.
pub(crate) fn evaluate(
    towers: &Retrieval,
    sources: &[NamedSource],
    encoded: &Encoded<SnapshotRow>,
    neighbors: &Neighbors,
    snapshot: &Snapshot,
    bought: &[Pair<SnapshotRow>],
) -> Result<Vec<RetrievalQuality>, EvaluateRetrievalError> {
    let buyers = Buyers::of(snapshot, bought);
    let popular = most_popular(&snapshot.items, POPULAR_DAYS, CANDIDATES);
    let history = |user: SnapshotRow| snapshot.history.of(user.position());
    let nearest = |user: SnapshotRow| -> Result<Vec<u32>, SearchError> {
        let query = towers.embed_user(&encoded.users.row(user), history(user))?;
        Ok(towers
            .search(&query, CANDIDATES, None)?
            .iter()
            .map(|found| found.item)
            .collect())
    };
    let mut qualities = vec![
        buyers.quality("two towers", nearest)?,
        buyers.quality("most popular in 7 days", |_| Ok(popular.clone()))?,
        buyers.quality("bought before, most often first", |user| {
            Ok(sources::most_often_bought(history(user), CANDIDATES).collect())
        })?,
        buyers.quality("ItemKNN", |user| Ok(item_knn(history(user), neighbors)))?,
    ];
    for NamedSource { title, source, .. } in sources {
        let find = |user| Ok(source.all_candidates(history(user), CANDIDATES));
        qualities.push(buyers.quality(title, find)?);
    }
    Ok(qualities)
}

/// The items that are nearest to all that a user bought, those included: in a grocery things are bought
/// again.
fn item_knn(purchases: &[Purchase], neighbors: &Neighbors) -> Vec<u32> {
    let bought = purchases.iter().map(|purchase| purchase.item);
    let near = neighbors.nearest_to(bought).into_iter();
    near.take(CANDIDATES).map(|neighbor| neighbor.item).collect()
}

/// What each buyer bought in the window, and which of it was new to them.
struct Buyers(BTreeMap<SnapshotRow, Basket>);

/// What one buyer bought, as rows of items.
#[derive(Default)]
struct Basket {
    all: HashSet<u32>,
    /// What of it they had never bought before.
    new: HashSet<u32>,
}

impl Buyers {
    fn of(snapshot: &Snapshot, bought: &[Pair<SnapshotRow>]) -> Self {
        let mut buyers: BTreeMap<SnapshotRow, Basket> = BTreeMap::new();
        for pair in bought {
            let basket = buyers.entry(pair.user).or_default();
            let item = pair.item.0;
            basket.all.insert(item);
            let before = snapshot.history.of(pair.user.position());
            if !has(before, item) {
                basket.new.insert(item);
            }
        }
        Self(buyers)
    }

    fn quality(
        &self,
        name: &str,
        candidates: impl Fn(SnapshotRow) -> Result<Vec<u32>, SearchError>,
    ) -> Result<RetrievalQuality, SearchError> {
        let (mut all, mut new) = (Mean::default(), Mean::default());
        for (user, basket) in &self.0 {
            let found: HashSet<u32> = candidates(*user)?.into_iter().collect();
            all.add_share(&basket.all, &found);
            new.add_share(&basket.new, &found);
        }
        Ok(RetrievalQuality {
            name: name.to_owned(),
            recall: all.mean(),
            recall_of_new: new.mean(),
        })
    }
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// Adds the share of what is wanted that was found; nothing where nothing is wanted.
    fn add_share(&mut self, wanted: &HashSet<u32>, found: &HashSet<u32>) {
        if !wanted.is_empty() {
            self.sum += wanted.intersection(found).count() as f64 / wanted.len() as f64;
            self.count += 1.0;
        }
    }

    fn mean(&self) -> f64 {
        if self.count > 0.0 {
            self.sum / self.count
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buyer_of_nothing_new_does_not_count_among_those_of_something_new() {
        let basket = |all: &[u32], new: &[u32]| Basket {
            all: all.iter().copied().collect(),
            new: new.iter().copied().collect(),
        };
        let buyers = Buyers(BTreeMap::from([
            (SnapshotRow(0), basket(&[1, 2], &[])),
            (SnapshotRow(1), basket(&[1, 2, 3, 4], &[3])),
        ]));
        let quality = buyers.quality("first three", |_| Ok(vec![1, 2, 3])).unwrap();
        assert_eq!((quality.recall, quality.recall_of_new), ((1.0 + 0.75) / 2.0, 1.0));
    }
}
