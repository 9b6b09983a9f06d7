//! Trained sources of candidates: what was learned from who bought what, and from nothing else.
//!
//! Each is a bundle of its own, without a workflow: its items are named by their ids, and users are known by what they bought, which
//! is looked up at each request. So a purchase of a second ago counts, and a user who is new to the shop needs no training. Five
//! families answer for the models of the literature:
//!
//! | family | models | what it holds |
//! |---|---|---|
//! | [`ItemWeights`] | EASE^R, SLIM, RP3beta, ItemKNN | what having bought one item says of another |
//! | [`Factors`] | implicit ALS, BPR | a place of every item; a user's is found at request time |
//! | [`UserNeighbors`] | UserKNN | what others bought |
//! | [`Sequence`] | SASRec | what comes next after what was bought, in its order |
//! | [`Ranking`] | popularity in a window | the same list for everybody |

use std::cell::RefCell;
use std::cmp::Ordering;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ITEMS, RetrievalError, read_json};
use crate::dense::{Weights, WeightsError};
use crate::features::{ItemId, Purchase, RawTable};
pub use factors::{Factors, FoldIn, confidence};
pub use item_weights::{ItemWeights, Weight};
pub use ranking::Ranking;
pub use sequence::{Sequence, SequenceNetwork, SequenceShape};
pub use user_neighbors::UserNeighbors;

pub mod factors;
mod item_weights;
mod ranking;
pub mod sequence;
mod user_neighbors;

/// The file that says which family a bundle is of.
pub const DESCRIPTION: &str = "source.json";
/// The file of what was learned.
const TENSORS: &str = "source.safetensors";
/// Of so many of a user's purchases, the latest, a model is told: older ones say little, and cost as much.
const TOLD: usize = 500;

/// `source.json`: which family, with what only it needs, and which model of the literature made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceConfig {
    /// The model's name, for people.
    pub model: String,
    /// The family.
    #[serde(flatten)]
    pub family: Family,
}

/// A family of models that are served alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Family {
    /// What having bought one item says of another.
    ItemWeights {
        /// Days after which a purchase says half as much; left out where its age doesn't matter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        half_life_days: Option<f32>,
    },
    /// A place of every item.
    Factors {
        /// How a user's place is found.
        fold_in: FoldIn,
    },
    /// What others bought.
    UserNeighbors {
        /// How many of the nearest users are asked; at least 1.
        neighbors: usize,
    },
    /// What comes next.
    Sequence(SequenceShape),
    /// The same list for everybody.
    Ranking,
}

/// An item that somebody bought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bought {
    /// Its position among the model's items.
    pub item: u32,
    /// How often.
    pub count: f32,
    /// Days since the last time.
    pub days_since_last: f32,
}

/// What a source says of an item, whether or not the user bought it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Opinion {
    /// How much the model holds of it; none where it knows nothing of the item or of the user, or makes a list without scores.
    pub score: Option<f32>,
    /// Its place among the [`PLACES`] best items, from 1.
    pub place: Option<usize>,
}

/// How many of a source's best items have a place in its [`Opinion`].
pub const PLACES: usize = 200;

/// A candidate of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Its position among the model's items.
    pub item: u32,
    /// How much the model holds of it; compares within one model.
    pub score: f32,
}

/// What was learned, over the positions of the model's own items.
#[derive(Debug)]
pub enum Model {
    /// What having bought one item says of another.
    ItemWeights(ItemWeights),
    /// A place of every item.
    Factors(Factors),
    /// What others bought.
    UserNeighbors(UserNeighbors),
    /// What comes next.
    Sequence(Sequence),
    /// The same list for everybody.
    Ranking(Ranking),
}

thread_local! {
    static SCORES: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Model {
    /// The `k` best items for one who bought these, the best first, of those that `may` be named. Items of which the model knows nothing
    /// are none: fewer than `k` may come.
    pub fn best(&self, bought: &[Bought], k: usize, may: impl Fn(u32) -> bool) -> Vec<Candidate> {
        if let Self::Ranking(ranking) = self {
            return ranking.first(k, may);
        }
        SCORES.with_borrow_mut(|scores| {
            self.score(bought, scores);
            highest(scores, k, may)
        })
    }

    /// What it says of some items to one who bought these, in their order.
    pub fn opinions(&self, bought: &[Bought], items: impl Iterator<Item = Option<u32>>) -> Vec<Opinion> {
        if let Self::Ranking(ranking) = self {
            let opinion = |item: u32| Opinion {
                score: None,
                place: ranking.place(item).filter(|place| *place <= PLACES),
            };
            return items.map(|item| item.map(opinion).unwrap_or_default()).collect();
        }
        SCORES.with_borrow_mut(|scores| {
            self.score(bought, scores);
            let best = highest(scores, PLACES, |_| true);
            let opinion = |item: u32| {
                let score = scores[item as usize];
                let candidate = Candidate { item, score };
                let place = best.binary_search_by(|better| best_first(better, &candidate));
                Opinion {
                    score: Some(score).filter(|score| score.is_finite()),
                    place: place.ok().map(|place| place + 1),
                }
            };
            items.map(|item| item.map(opinion).unwrap_or_default()).collect()
        })
    }

    /// The score of every item, [`UNKNOWN`] where the model knows nothing of it.
    fn score(&self, bought: &[Bought], scores: &mut Vec<f32>) {
        scores.clear();
        scores.resize(self.items(), UNKNOWN);
        match self {
            Self::ItemWeights(model) => model.score(bought, scores),
            Self::Factors(model) => model.score(bought, scores),
            Self::UserNeighbors(model) => model.score(bought, scores),
            Self::Sequence(model) => model.score(bought, scores),
            Self::Ranking(_) => {}
        }
    }

    /// How many items it knows.
    pub fn items(&self) -> usize {
        match self {
            Self::ItemWeights(model) => model.items(),
            Self::Factors(model) => model.items(),
            Self::UserNeighbors(model) => model.items(),
            Self::Sequence(model) => model.items(),
            Self::Ranking(model) => model.items(),
        }
    }

    /// Its family, as `source.json` has it.
    pub fn family(&self) -> Family {
        match self {
            Self::ItemWeights(model) => Family::ItemWeights {
                half_life_days: model.half_life_days(),
            },
            Self::Factors(model) => Family::Factors {
                fold_in: model.fold_in(),
            },
            Self::UserNeighbors(model) => Family::UserNeighbors {
                neighbors: model.neighbors(),
            },
            Self::Sequence(model) => Family::Sequence(model.shape()),
            Self::Ranking(_) => Family::Ranking,
        }
    }

    /// Writes what was learned into a bundle's folder. The ids of items and `source.json` are the caller's.
    pub fn save(&self, folder: &Path) -> Result<(), WeightsError> {
        let path = folder.join(TENSORS);
        match self {
            Self::ItemWeights(model) => model.save(&path),
            Self::Factors(model) => model.save(&path),
            Self::UserNeighbors(model) => model.save(&path),
            Self::Sequence(model) => model.save(&path),
            Self::Ranking(_) => Ok(()),
        }
    }

    fn load(folder: &Path, family: &Family, items: usize) -> Result<Self, WeightsError> {
        let weights = || Weights::read(&folder.join(TENSORS));
        Ok(match family {
            Family::ItemWeights { half_life_days } => {
                Self::ItemWeights(ItemWeights::load(&weights()?, items, *half_life_days)?)
            }
            Family::Factors { fold_in } => Self::Factors(Factors::load(&weights()?, items, *fold_in)?),
            Family::UserNeighbors { neighbors } => {
                Self::UserNeighbors(UserNeighbors::load(&weights()?, items, *neighbors)?)
            }
            Family::Sequence(shape) => Self::Sequence(Sequence::load(&weights()?, items, *shape)?),
            Family::Ranking => Self::Ranking(Ranking::of_all(items)),
        })
    }
}

/// The score of an item of which a model knows nothing.
const UNKNOWN: f32 = f32::NEG_INFINITY;

/// Adds to a score, which may be [`UNKNOWN`].
fn add(score: &mut f32, value: f32) {
    *score = if *score == UNKNOWN { value } else { *score + value };
}

/// The positions of the `k` highest scores, the highest first; of equal ones the earlier.
fn highest(scores: &[f32], k: usize, may: impl Fn(u32) -> bool) -> Vec<Candidate> {
    let known = (0..).zip(scores).filter(|(_, score)| score.is_finite());
    let mut found: Vec<Candidate> = known
        .map(|(item, score)| Candidate { item, score: *score })
        .filter(|candidate| may(candidate.item))
        .collect();
    if k > 0 && found.len() > k {
        found.select_nth_unstable_by(k - 1, best_first);
    }
    found.truncate(k);
    found.sort_unstable_by(best_first);
    found
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.item.cmp(&b.item))
}

/// A model whose items are rows of a catalog.
#[derive(Debug)]
pub struct TrainedSource {
    model: Model,
    /// The catalog's row of each position; none for an item that left the catalog.
    rows: Vec<Option<u32>>,
    /// The position of each row of the catalog.
    positions: Vec<Option<u32>>,
}

impl TrainedSource {
    /// Loads a bundle's folder; `items` is the catalog. Items that it doesn't have are never candidates.
    pub fn load(folder: &Path, items: &RawTable) -> Result<Self, RetrievalError> {
        let config: SourceConfig = read_json(&folder.join(DESCRIPTION))?;
        let ids: Vec<ItemId> = read_json(&folder.join(ITEMS))?;
        let model =
            Model::load(folder, &config.family, ids.len()).map_err(|source| RetrievalError::Source {
                folder: folder.to_owned(),
                source,
            })?;
        let row = |id: &ItemId| items.find(id.as_str()).map(|row| row as u32);
        let rows: Vec<Option<u32>> = ids.iter().map(row).collect();
        if rows.iter().all(Option::is_none) {
            return Err(RetrievalError::NoItem {
                folder: folder.to_owned(),
                items: ids.len(),
            });
        }
        Ok(Self::new(model, rows, items.len()))
    }

    /// Takes the catalog's row of each of a model's items, and how many rows the catalog has.
    pub fn new(model: Model, rows: Vec<Option<u32>>, catalog: usize) -> Self {
        let mut positions = vec![None; catalog];
        for (position, row) in (0..).zip(&rows) {
            if let Some(row) = row {
                positions[*row as usize] = Some(position);
            }
        }
        Self {
            model,
            rows,
            positions,
        }
    }

    /// The `k` best rows for one who bought these, the best first, without what was bought: that is what another source is for.
    pub fn candidates(&self, purchases: &[Purchase], k: usize) -> Vec<u32> {
        if k == 0 {
            return Vec::new();
        }
        let bought = self.known(purchases);
        let may = |item: u32| {
            let is = |bought: &Bought| bought.item;
            self.rows[item as usize].is_some() && bought.binary_search_by_key(&item, is).is_err()
        };
        self.best(purchases, &bought, k, may)
    }

    /// The `k` best rows for one who bought these, the best first, whether they were bought or not.
    pub fn all_candidates(&self, purchases: &[Purchase], k: usize) -> Vec<u32> {
        let may = |item: u32| self.rows[item as usize].is_some();
        self.best(purchases, &self.known(purchases), k, may)
    }

    /// What the model says of some rows to one who bought these, in their order.
    pub fn opinions(&self, purchases: &[Purchase], rows: &[u32]) -> Vec<Opinion> {
        let bought = match purchases.len() <= TOLD {
            true => self.known(purchases),
            false => self.known(&latest(purchases)),
        };
        let positions = rows.iter().map(|row| self.position(*row));
        self.model.opinions(&bought, positions)
    }

    /// The best for one who bought these, of which `bought` is what the model knows.
    fn best(
        &self,
        purchases: &[Purchase],
        bought: &[Bought],
        k: usize,
        may: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let best = match purchases.len() <= TOLD {
            true => self.model.best(bought, k, may),
            false => self.model.best(&self.known(&latest(purchases)), k, may),
        };
        let rows = best.iter().map(|candidate| self.rows[candidate.item as usize]);
        rows.flatten().collect()
    }

    /// The position of a row; none for one that the model doesn't know, or that was put since.
    fn position(&self, row: u32) -> Option<u32> {
        *self.positions.get(row as usize)?
    }

    /// Those of the purchases that the model knows, in the order of its items.
    fn known(&self, purchases: &[Purchase]) -> Vec<Bought> {
        let known = |purchase: &Purchase| {
            Some(Bought {
                item: self.position(purchase.item)?,
                count: purchase.purchases,
                days_since_last: purchase.days_since_last,
            })
        };
        let mut bought: Vec<Bought> = purchases.iter().filter_map(known).collect();
        bought.sort_unstable_by_key(|bought| bought.item);
        bought
    }
}

/// The latest of more purchases than a model is told.
fn latest(purchases: &[Purchase]) -> Vec<Purchase> {
    let mut latest = purchases.to_vec();
    latest.select_nth_unstable_by(TOLD - 1, |a, b| {
        let by_day = a.days_since_last.total_cmp(&b.days_since_last);
        by_day.then_with(|| a.item.cmp(&b.item))
    });
    latest.truncate(TOLD);
    latest
}
