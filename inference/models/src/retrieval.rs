//! Retrieval: from a user to a few hundred candidates.
//!
//! Two towers put users and items into one space ([`tower`], or [`network_tower`] for those of other frameworks); an index finds the items
//! nearest to the user ([`index`]). [`sources`] adds what that search may miss: items bought before, popular ones, and those of [`trained`] models of who buys what.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use gondola_onnx::RunError;
use serde::{Deserialize, Serialize};

use crate::features::{EncodedRow, ItemId, Layout, Purchase, RawTable};
use crate::network::Binding;
use index::allowed::Allowed;
use index::{Index, IndexError, SearchParameters};
use known_items::{KNOWN_ITEMS, KnownItems, KnownItemsConfig};
use network_tower::{NetworkTower, NetworkTowerError, Side};
use tower::{TowerConfig, TowerError, TowerRuntime};

pub mod index;
pub mod known_items;
pub mod network_tower;
pub mod sources;
pub mod tower;
pub mod trained;

/// The file of a bundle's index.
pub const INDEX: &str = "index.faiss";

/// The file of the items' ids, in the order of what a bundle holds of them.
pub const ITEMS: &str = "items.json";

/// What both towers look like.
const CONFIG: &str = "tower.json";

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
    /// A tower of another framework can't be loaded.
    #[error("cannot load {file} of {folder}")]
    Network {
        /// The bundle's folder.
        folder: PathBuf,
        /// The tower's file.
        file: &'static str,
        /// The cause.
        #[source]
        source: NetworkTowerError,
    },
    /// What a trained source learned can't be loaded.
    #[error("cannot load the source of {folder}")]
    Source {
        /// The bundle's folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: TowerError,
    },
    /// A trained source of another catalog.
    #[error(
        "{folder}: none of its {items} items is in the features bundle; publish a source that was trained on this shop's purchases"
    )]
    NoItem {
        /// The bundle's folder.
        folder: PathBuf,
        /// How many items it has.
        items: usize,
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
    /// What both know of single items; left out where they know features alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownItemsConfig>,
}

/// `tower.json` of towers of another framework, which may be left out: how their inputs are filled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkTowers {
    /// The tower of users.
    pub query: Binding,
    /// The tower of items.
    pub item: Binding,
}

/// The files of towers of another framework.
const QUERY_NETWORK: &str = "query_tower.onnx";
const ITEM_NETWORK: &str = "item_tower.onnx";

/// The towers of a bundle's folder that are of another framework.
pub fn network_files(folder: &Path) -> Vec<PathBuf> {
    let files = [QUERY_NETWORK, ITEM_NETWORK].map(|file| folder.join(file));
    files.into_iter().filter(|path| path.exists()).collect()
}

/// Why nothing was found for a user.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The tower.
    #[error("the user has no place among the items")]
    Tower(#[from] RunError),
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
        let index = Index::load(&folder.join(INDEX), search).map_err(wrap)?;
        let ids: Vec<ItemId> = read_json(&folder.join(ITEMS))?;
        if ids.len() != index.len() {
            return Err(RetrievalError::Contradiction {
                folder: folder.to_owned(),
                what: "the number of vectors in index.faiss",
                found: index.len(),
                wanted: ids.len(),
                by: ITEMS,
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
    query: Placing,
    item: Placing,
    known: Option<KnownItems>,
    items: ItemIndex,
}

/// A tower, whoever made it.
enum Placing {
    Own(TowerRuntime),
    Network(NetworkTower),
}

impl Placing {
    fn dimension(&self) -> usize {
        match self {
            Self::Own(tower) => tower.dimension(),
            Self::Network(tower) => tower.dimension(),
        }
    }

    fn embed(&self, row: &EncodedRow) -> Result<Vec<f32>, RunError> {
        match self {
            Self::Own(tower) => {
                let mut place = vec![0.0; tower.dimension()];
                tower.embed(row, &mut place);
                Ok(place)
            }
            Self::Network(tower) => tower.embed(row),
        }
    }
}

impl Retrieval {
    /// Loads a retrieval bundle's folder. `items` are the rows that positions of the index are turned into; `layout` says what rows of
    /// users and items have.
    pub fn load(
        folder: &Path,
        items: &RawTable,
        layout: &Layout,
        search: &SearchParameters,
    ) -> Result<Self, RetrievalError> {
        let (query, item) = match network_files(folder).is_empty() {
            true => own_towers(folder)?,
            false => network_towers(folder, layout)?,
        };
        let known = match network_files(folder).is_empty() {
            true => known_items(folder, items)?,
            false => None,
        };
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
                    by: INDEX,
                });
            }
        }
        Ok(Self {
            query,
            item,
            known,
            items,
        })
    }

    /// Where a user stands among the items, who bought these.
    pub fn embed_user(&self, user: &EncodedRow, purchases: &[Purchase]) -> Result<Vec<f32>, RunError> {
        self.query.embed(&self.user_row(user, purchases))
    }

    /// What the query tower reads of a user.
    pub(crate) fn user_row<'a>(&self, user: &'a EncodedRow, purchases: &[Purchase]) -> Cow<'a, EncodedRow> {
        match &self.known {
            Some(known) => Cow::Owned(known.with_history(user, purchases)),
            None => Cow::Borrowed(user),
        }
    }

    /// Where an item stands; `row` is its row in the catalog, of one that is there.
    pub fn embed_item(&self, item: &EncodedRow, row: Option<u32>) -> Result<Vec<f32>, RunError> {
        match &self.known {
            Some(known) => self.item.embed(&known.with_vector(item, row)),
            None => self.item.embed(item),
        }
    }

    /// Whether the towers are of another framework.
    pub fn has_networks(&self) -> bool {
        matches!(self.query, Placing::Network(_))
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

fn known_items(folder: &Path, items: &RawTable) -> Result<Option<KnownItems>, RetrievalError> {
    let config: TwoTowerConfig = read_json(&folder.join(CONFIG))?;
    let Some(known) = config.known else {
        return Ok(None);
    };
    let ids: Vec<ItemId> = read_json(&folder.join(KNOWN_ITEMS))?;
    let loaded = KnownItems::load(folder, known, &ids, items);
    loaded.map(Some).map_err(|source| RetrievalError::Tower {
        folder: folder.to_owned(),
        source,
    })
}

fn own_towers(folder: &Path) -> Result<(Placing, Placing), RetrievalError> {
    let config: TwoTowerConfig = read_json(&folder.join(CONFIG))?;
    let tower = |file: &str, config: &TowerConfig| {
        let loaded = TowerRuntime::load(&folder.join(file), config);
        loaded.map(Placing::Own).map_err(|source| RetrievalError::Tower {
            folder: folder.to_owned(),
            source,
        })
    };
    Ok((
        tower("query_tower.safetensors", &config.query)?,
        tower("item_tower.safetensors", &config.item)?,
    ))
}

fn network_towers(folder: &Path, layout: &Layout) -> Result<(Placing, Placing), RetrievalError> {
    let path = folder.join(CONFIG);
    let config: NetworkTowers = match path.exists() {
        true => read_json(&path)?,
        false => NetworkTowers::default(),
    };
    let tower = |file: &'static str, side, binding: &Binding| {
        let loaded = NetworkTower::load(&folder.join(file), side, binding, layout);
        loaded
            .map(Placing::Network)
            .map_err(|source| RetrievalError::Network {
                folder: folder.to_owned(),
                file,
                source,
            })
    };
    Ok((
        tower(QUERY_NETWORK, Side::User, &config.query)?,
        tower(ITEM_NETWORK, Side::Item, &config.item)?,
    ))
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
