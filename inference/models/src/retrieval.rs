//! Retrieval: from a user to a few hundred candidates.
//!
//! Two towers put users and items into one space ([`tower`]); an index finds the items nearest to the user ([`index`]).
//! [`sources`] adds what that search may miss: items bought before, and popular ones.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::features::{EncodedRow, ItemId, RawTable};
use index::allowed::Allowed;
use index::{Index, IndexError, SearchParameters};
use tower::{TowerConfig, TowerError, TowerRuntime};

pub mod index;
pub mod sources;
pub mod tower;

/// Why a retrieval bundle could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum RetrievalError {
    /// A file can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A JSON file does not say what it should.
    #[error("{path} is malformed")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A tower can't be loaded.
    #[error("cannot load a tower of {folder}")]
    Tower {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: TowerError,
    },
    /// The index can't be loaded.
    #[error("cannot load the index of {folder}")]
    Index {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: IndexError,
    },
    /// The bundle's files contradict each other.
    #[error("{folder}: {what} is {found}, but {wanted} by {by}; publish the bundle again")]
    Contradiction {
        /// The bundle's folder.
        folder: PathBuf,
        /// What differs.
        what: &'static str,
        /// What is there.
        found: usize,
        /// What should be there.
        wanted: usize,
        /// Who says so.
        by: &'static str,
    },
    /// The index names an item that the features do not have.
    #[error("{folder}: item {item} of the index is not in the features bundle; publish both from one run")]
    UnknownItem {
        /// The bundle's folder.
        folder: PathBuf,
        /// The item.
        item: ItemId,
    },
}

/// `tower.json`: what both towers look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwoTowerConfig {
    /// The tower of users.
    pub query: TowerConfig,
    /// The tower of items.
    pub item: TowerConfig,
}

/// An index, and which catalog row each of its positions is.
pub struct ItemIndex {
    index: Index,
    rows: Vec<u32>,
}

thread_local! {
    static NEIGHBORS: RefCell<Vec<(i64, f32)>> = const { RefCell::new(Vec::new()) };
}

/// An item found by its vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// The item's row.
    pub item: u32,
    /// How near it is: the inner product, higher is nearer.
    pub similarity: f32,
}

impl ItemIndex {
    /// Loads `index.faiss` and `items.json` of a bundle's folder.
    pub fn load(folder: &Path, items: &RawTable, search: &SearchParameters) -> Result<Self, RetrievalError> {
        let wrap = |source| RetrievalError::Index {
            folder: folder.to_owned(),
            source,
        };
        let index = Index::load(&folder.join("index.faiss"), search).map_err(wrap)?;
        let ids: Vec<ItemId> = read_json(&folder.join("items.json"))?;
        if ids.len() != index.len() {
            return Err(RetrievalError::Contradiction {
                folder: folder.to_owned(),
                what: "the number of vectors in index.faiss",
                found: index.len(),
                wanted: ids.len(),
                by: "items.json",
            });
        }
        let row = |id: &ItemId| {
            items
                .find(id.as_str())
                .map(|row| row as u32)
                .ok_or_else(|| RetrievalError::UnknownItem {
                    folder: folder.to_owned(),
                    item: id.clone(),
                })
        };
        let rows = ids.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Self { index, rows })
    }

    /// The index itself.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The catalog row of each position.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The `k` nearest items of those that are allowed, the nearest first.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
    ) -> Result<Vec<Found>, IndexError> {
        NEIGHBORS.with_borrow_mut(|neighbors| {
            self.index.search_allowed(query, k, allowed, neighbors)?;
            let found = |(position, similarity): &(i64, f32)| {
                // An index with its own ids may name positions that are not there.
                let item = *self.rows.get(usize::try_from(*position).ok()?)?;
                Some(Found {
                    item,
                    similarity: *similarity,
                })
            };
            Ok(neighbors.iter().filter_map(found).collect())
        })
    }
}

/// Two towers and the index of all items.
pub struct Retrieval {
    query: TowerRuntime,
    item: TowerRuntime,
    items: ItemIndex,
}

impl Retrieval {
    /// Loads a retrieval bundle's folder. `items` are the rows that positions of the index are turned into.
    pub fn load(folder: &Path, items: &RawTable, search: &SearchParameters) -> Result<Self, RetrievalError> {
        let config: TwoTowerConfig = read_json(&folder.join("tower.json"))?;
        let tower = |file: &str, config: &TowerConfig| {
            TowerRuntime::load(&folder.join(file), config).map_err(|source| RetrievalError::Tower {
                folder: folder.to_owned(),
                source,
            })
        };
        let query = tower("query_tower.safetensors", &config.query)?;
        let item = tower("item_tower.safetensors", &config.item)?;
        let items = ItemIndex::load(folder, items, search)?;
        for (what, found) in [
            ("the query tower's width", query.dimension()),
            ("the item tower's width", item.dimension()),
        ] {
            if found != items.index().dimension() {
                return Err(RetrievalError::Contradiction {
                    folder: folder.to_owned(),
                    what,
                    found,
                    wanted: items.index().dimension(),
                    by: "index.faiss",
                });
            }
        }
        Ok(Self { query, item, items })
    }

    /// Where the user stands among the items.
    pub fn embed_user(&self, user: &EncodedRow) -> Vec<f32> {
        embed(&self.query, user)
    }

    /// Where an item stands.
    pub fn embed_item(&self, item: &EncodedRow) -> Vec<f32> {
        embed(&self.item, item)
    }

    /// The `k` items nearest to a user's place of those that are allowed, the nearest first.
    pub fn search(
        &self,
        query: &[f32],
        k: usize,
        allowed: Option<&Allowed>,
    ) -> Result<Vec<Found>, IndexError> {
        self.items.search(query, k, allowed)
    }

    /// The index of all items.
    pub fn items(&self) -> &ItemIndex {
        &self.items
    }
}

fn embed(tower: &TowerRuntime, row: &EncodedRow) -> Vec<f32> {
    let mut vector = vec![0.0; tower.dimension()];
    tower.embed(row, &mut vector);
    vector
}

/// Reads a JSON file of a bundle.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, RetrievalError> {
    let bytes = fs::read(path).map_err(|source| RetrievalError::File {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|source| RetrievalError::Json {
        path: path.to_owned(),
        source,
    })
}

/// The inner product of two vectors of one length.
pub fn inner_product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
