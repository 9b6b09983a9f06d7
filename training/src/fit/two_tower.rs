//! The two towers: where users and items stand in one space. [`training`] fits them; `known_items` is what they may learn of single items
//! beside features, `sought` how many purchases they find.

mod known_items;
mod sought;
mod training;

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{VarBuilder, VarMap};
use gondola_models::features::{EncodedTable, History, ItemId};
use gondola_models::retrieval::TwoTowerConfig;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::known_items::{KNOWN_ITEMS, KnownItemsConfig};
use gondola_models::retrieval::tower::{Tower, TowerConfig, embedding_width};

use super::encoded::Encoded;
use super::{FitError, read_json, weights, write_json};
use crate::dataset::training::{self as settings, TwoTower};
use crate::features::Snapshot;
use crate::rows::{Row, SnapshotRow};
use known_items::KnownItems;
pub(crate) use training::{Part, TowerTask, Validation, train};

/// What errors call them.
const MODEL: &str = "the two towers";

/// The file of the query tower's weights.
const QUERY: &str = "query_tower.safetensors";
/// The file of the item tower's weights.
const ITEM: &str = "item_tower.safetensors";
/// The file of both towers' shapes.
const CONFIG: &str = "tower.json";

/// Rows embedded at a time.
const EMBEDDED_AT_A_TIME: usize = 4096;

pub(crate) struct Towers {
    config: TwoTowerConfig,
    query: Tower,
    item: Tower,
    known: Option<KnownItems>,
    query_weights: VarMap,
    item_weights: VarMap,
}

/// The users and items of a snapshot, as towers read them.
pub(crate) struct Entities<'a> {
    encoded: &'a Encoded<SnapshotRow>,
    history: &'a History,
    /// The position of each item among known ones.
    positions: Vec<u32>,
}

/// How much of the towers' index a search looks at.
pub(crate) fn search(settings: &TwoTower) -> SearchParameters {
    SearchParameters {
        nprobe: settings.nprobe,
        ef_search: settings.ef_search,
    }
}

impl Towers {
    /// Towers for what is known in a part.
    fn new(task: TowerTask<'_>, part: &Part) -> candle_core::Result<Self> {
        let TowerTask {
            settings,
            cardinalities,
            seed,
            ..
        } = task;
        let Part {
            snapshot, encoded, ..
        } = part;
        let often =
            |wanted: &settings::KnownItems| known_items::often_bought(snapshot, wanted.fewest_purchases);
        let wanted = settings.known_items.as_ref();
        // Where nothing was bought so often there is nothing to know.
        let known = wanted.map(often).filter(|ids| !ids.is_empty());
        let wanted = wanted.filter(|_| known.is_some());
        let wider = wanted.map_or(0, |wanted| wanted.width);
        let tower = |categorical: &[usize], table: &EncodedTable| TowerConfig {
            categorical: categorical.to_vec(),
            embedding: categorical.iter().map(|size| embedding_width(*size)).collect(),
            numeric: table.numeric_width() + wider,
            hidden: settings.hidden.clone(),
            output: settings.dimension,
        };
        let config = TwoTowerConfig {
            query: tower(&cardinalities.user, encoded.users.table()),
            item: tower(&cardinalities.item, encoded.items.table()),
            known: wanted.map(|wanted| KnownItemsConfig {
                width: wanted.width,
                latest: wanted.latest,
            }),
        };
        let towers = Self::untrained(config, known)?;
        weights::seed(&towers.query_weights, seed)?;
        weights::seed(&towers.item_weights, seed.wrapping_add(1))?;
        if let Some(known) = &towers.known {
            weights::seed(known.weights(), seed.wrapping_add(2))?;
        }
        Ok(towers)
    }

    /// Towers of a configuration, whose weights are to be set; `known` are the ids of known items.
    fn untrained(config: TwoTowerConfig, known: Option<Vec<ItemId>>) -> candle_core::Result<Self> {
        let (query_weights, item_weights) = (VarMap::new(), VarMap::new());
        let builder = |weights| VarBuilder::from_varmap(weights, DType::F32, &Device::Cpu);
        let query = Tower::new(&config.query, builder(&query_weights))?;
        let item = Tower::new(&config.item, builder(&item_weights))?;
        let known = config.known.zip(known);
        let known = known
            .map(|(config, ids)| KnownItems::new(ids, config))
            .transpose()?;
        Ok(Self {
            known,
            config,
            query,
            item,
            query_weights,
            item_weights,
        })
    }

    /// A snapshot's users and items, as these towers read them.
    pub(crate) fn entities<'a>(
        &self,
        encoded: &'a Encoded<SnapshotRow>,
        snapshot: &'a Snapshot,
    ) -> Entities<'a> {
        let known = self.known.as_ref();
        Entities {
            encoded,
            history: &snapshot.history,
            positions: known.map_or_else(Vec::new, |known| known.positions(&snapshot.items)),
        }
    }

    /// Where users stand: `[users, dimension]`.
    fn place_users(&self, of: &Entities<'_>, users: &[SnapshotRow]) -> candle_core::Result<Tensor> {
        let (categorical, numeric) = of.encoded.users.tensors(users)?;
        let numeric = match &self.known {
            Some(known) => {
                let lately = users
                    .iter()
                    .map(|user| known.lately(of.history.of(user.position()), &of.positions));
                Tensor::cat(&[numeric, known.means(&lately.collect::<Vec<_>>())?], 1)?
            }
            None => numeric,
        };
        self.query.forward(&categorical, &numeric)
    }

    /// Where items stand: `[items, dimension]`.
    fn place_items(&self, of: &Entities<'_>, items: &[SnapshotRow]) -> candle_core::Result<Tensor> {
        let (categorical, numeric) = of.encoded.items.tensors(items)?;
        let numeric = match &self.known {
            Some(known) => {
                let positions = items.iter().map(|item| of.positions[item.position()]);
                Tensor::cat(&[numeric, known.vectors(positions.collect())?], 1)?
            }
            None => numeric,
        };
        self.item.forward(&categorical, &numeric)
    }

    /// Where items stand, `[rows, dimension]`, row-major.
    pub(crate) fn embed_items(&self, of: &Entities<'_>, rows: &[SnapshotRow]) -> Result<Vec<f32>, FitError> {
        embed(rows, |rows| self.place_items(of, rows)).map_err(FitError::network("the item tower"))
    }

    /// Where users stand, `[rows, dimension]`, row-major.
    pub(crate) fn embed_users(&self, of: &Entities<'_>, rows: &[SnapshotRow]) -> Result<Vec<f32>, FitError> {
        embed(rows, |rows| self.place_users(of, rows)).map_err(FitError::network("the query tower"))
    }

    /// Reads what [`save`](Self::save) left in a folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, FitError> {
        let config: TwoTowerConfig = read_json(&folder.join(CONFIG))?;
        let known = config
            .known
            .map(|_| read_json(&folder.join(KNOWN_ITEMS)))
            .transpose()?;
        let load = || -> candle_core::Result<Self> {
            let mut towers = Self::untrained(config, known)?;
            towers.query_weights.load(folder.join(QUERY))?;
            towers.item_weights.load(folder.join(ITEM))?;
            if let Some(known) = &mut towers.known {
                known.load(folder)?;
            }
            Ok(towers)
        };
        load().map_err(FitError::network(MODEL))
    }

    /// Writes `query_tower.safetensors`, `item_tower.safetensors` and `tower.json` into a bundle's folder, and what is known of single items.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        let failed = FitError::network(MODEL);
        self.query_weights.save(folder.join(QUERY)).map_err(&failed)?;
        self.item_weights.save(folder.join(ITEM)).map_err(&failed)?;
        if let Some(known) = &self.known {
            known.save(folder)?;
        }
        write_json(&folder.join(CONFIG), &self.config)
    }
}

fn embed(
    rows: &[SnapshotRow],
    place: impl Fn(&[SnapshotRow]) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Vec<f32>> {
    let mut places = Vec::new();
    for rows in rows.chunks(EMBEDDED_AT_A_TIME) {
        places.extend(place(rows)?.flatten_all()?.to_vec1::<f32>()?);
    }
    Ok(places)
}
