//! The two towers: trained on purchases by in-batch sampled softmax, with the popularity of the batch
//! corrected.
//!
//! In a batch of purchases every item is a negative of every other purchase. Popular items are in more
//! batches, so each logit is lowered by the logarithm of its item's share of the purchases (log-Q correction,
//! Yi et al. 2019); an item that is in the batch twice is not a negative of itself.

use std::collections::HashMap;
use std::path::Path;

use crate::progress::Progress;
use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};
use gondola_models::features::{Cardinalities, EncodedTable};
use gondola_models::retrieval::TwoTowerConfig;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::tower::{Tower, TowerConfig, embedding_width};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::encoded::{Encoded, EncodedRows};
use super::{FitError, read_json, weights, write_json};
use crate::dataset::training::TwoTower;
use crate::rows::{Pair, Row, SnapshotRow};

/// What errors call them.
const MODEL: &str = "the two towers";

/// The file of the query tower's weights.
const QUERY: &str = "query_tower.safetensors";
/// The file of the item tower's weights.
const ITEM: &str = "item_tower.safetensors";
/// The file of both towers' shapes.
const CONFIG: &str = "tower.json";

/// What makes a logit vanish in a softmax.
const NEVER: f32 = -1e9;

/// Rows embedded at a time.
const EMBEDDED_AT_A_TIME: usize = 4096;

/// What towers are trained on.
#[derive(Clone, Copy)]
pub(crate) struct TowerTask<'a> {
    pub(crate) settings: &'a TwoTower,
    /// The vocabularies' sizes.
    pub(crate) cardinalities: &'a Cardinalities,
    /// What was known before the purchases.
    pub(crate) encoded: &'a Encoded<SnapshotRow>,
    pub(crate) purchases: &'a [Pair<SnapshotRow>],
    /// The same seed gives the same towers.
    pub(crate) seed: u64,
}

pub(crate) struct Towers {
    config: TwoTowerConfig,
    query: Tower,
    item: Tower,
    query_weights: VarMap,
    item_weights: VarMap,
}

/// How much of the towers' index a search looks at.
pub(crate) fn search(settings: &TwoTower) -> SearchParameters {
    SearchParameters {
        nprobe: settings.nprobe,
        ef_search: settings.ef_search,
    }
}

/// Trains both towers on purchases.
pub(crate) fn train(task: TowerTask<'_>, bar: &Progress) -> Result<Towers, FitError> {
    let TowerTask {
        settings,
        purchases,
        seed,
        ..
    } = task;
    if purchases.is_empty() {
        let way_out = "take more windows.retrieval_days";
        return Err(FitError::Nothing {
            what: "purchase before the training window",
            way_out,
        });
    }
    let failed = FitError::network(MODEL);
    let towers = Towers::new(task).map_err(&failed)?;
    let log_shares = log_shares(purchases);
    let mut optimizer = towers.optimizer(settings).map_err(&failed)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order = purchases.to_vec();
    let batch = settings.batch.min(purchases.len());
    bar.set_length((settings.epochs * (purchases.len() / batch)) as u64);
    for _ in 0..settings.epochs {
        order.shuffle(&mut rng);
        for (step, batch) in order.chunks_exact(batch).enumerate() {
            let loss = towers.loss(batch, task, &log_shares).map_err(&failed)?;
            optimizer.backward_step(&loss).map_err(&failed)?;
            let loss: f32 = loss.to_scalar().map_err(&failed)?;
            if !loss.is_finite() {
                let model = MODEL;
                return Err(FitError::Diverged { model, loss, step });
            }
            bar.set_message(format!("loss {loss:.3}"));
            bar.inc(1);
        }
    }
    Ok(towers)
}

impl Towers {
    fn new(task: TowerTask<'_>) -> candle_core::Result<Self> {
        let TowerTask {
            settings,
            cardinalities,
            encoded,
            seed,
            ..
        } = task;
        let tower = |categorical: &[usize], table: &EncodedTable| TowerConfig {
            categorical: categorical.to_vec(),
            embedding: categorical.iter().map(|size| embedding_width(*size)).collect(),
            numeric: table.numeric_width(),
            hidden: settings.hidden.clone(),
            output: settings.dimension,
        };
        let config = TwoTowerConfig {
            query: tower(&cardinalities.user, encoded.users.table()),
            item: tower(&cardinalities.item, encoded.items.table()),
        };
        let towers = Self::untrained(config)?;
        weights::seed(&towers.query_weights, seed)?;
        weights::seed(&towers.item_weights, seed.wrapping_add(1))?;
        Ok(towers)
    }

    /// Towers of a configuration, whose weights are to be set.
    fn untrained(config: TwoTowerConfig) -> candle_core::Result<Self> {
        let (query_weights, item_weights) = (VarMap::new(), VarMap::new());
        let builder = |weights| VarBuilder::from_varmap(weights, DType::F32, &Device::Cpu);
        let query = Tower::new(&config.query, builder(&query_weights))?;
        let item = Tower::new(&config.item, builder(&item_weights))?;
        Ok(Self {
            config,
            query,
            item,
            query_weights,
            item_weights,
        })
    }

    fn optimizer(&self, settings: &TwoTower) -> candle_core::Result<AdamW> {
        let variables = [self.query_weights.all_vars(), self.item_weights.all_vars()].concat();
        let parameters = ParamsAdamW {
            lr: settings.learning_rate,
            weight_decay: 1e-5,
            ..ParamsAdamW::default()
        };
        AdamW::new(variables, parameters)
    }

    fn loss(
        &self,
        batch: &[Pair<SnapshotRow>],
        task: TowerTask<'_>,
        log_shares: &HashMap<SnapshotRow, f32>,
    ) -> candle_core::Result<Tensor> {
        let users: Vec<SnapshotRow> = batch.iter().map(|pair| pair.user).collect();
        let items: Vec<SnapshotRow> = batch.iter().map(|pair| pair.item).collect();
        let (categorical, numeric) = task.encoded.users.tensors(&users)?;
        let users = self.query.forward(&categorical, &numeric)?;
        let (categorical, numeric) = task.encoded.items.tensors(&items)?;
        let places = self.item.forward(&categorical, &numeric)?;
        let logits = (users.matmul(&places.t()?)? / task.settings.temperature)?;
        let targets = Tensor::arange(0u32, batch.len() as u32, &Device::Cpu)?;
        loss::cross_entropy(&(logits + corrections(&items, log_shares)?)?, &targets)
    }

    /// Where items stand, `[rows, dimension]`, row-major.
    pub(crate) fn embed_items(
        &self,
        items: &EncodedRows<SnapshotRow>,
        rows: &[SnapshotRow],
    ) -> Result<Vec<f32>, FitError> {
        embed(&self.item, items, rows).map_err(FitError::network("the item tower"))
    }

    /// Where users stand, `[rows, dimension]`, row-major.
    pub(crate) fn embed_users(
        &self,
        users: &EncodedRows<SnapshotRow>,
        rows: &[SnapshotRow],
    ) -> Result<Vec<f32>, FitError> {
        embed(&self.query, users, rows).map_err(FitError::network("the query tower"))
    }

    /// Reads what [`save`](Self::save) left in a folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, FitError> {
        let config: TwoTowerConfig = read_json(&folder.join(CONFIG))?;
        let load = || -> candle_core::Result<Self> {
            let mut towers = Self::untrained(config)?;
            towers.query_weights.load(folder.join(QUERY))?;
            towers.item_weights.load(folder.join(ITEM))?;
            Ok(towers)
        };
        load().map_err(FitError::network(MODEL))
    }

    /// Writes `query_tower.safetensors`, `item_tower.safetensors` and `tower.json` into a bundle's folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        let failed = FitError::network(MODEL);
        self.query_weights.save(folder.join(QUERY)).map_err(&failed)?;
        self.item_weights.save(folder.join(ITEM)).map_err(&failed)?;
        write_json(&folder.join(CONFIG), &self.config)
    }
}

/// What is added to each logit: minus the logarithm of the item's share, and never for an item that is the
/// purchase's own.
fn corrections(items: &[SnapshotRow], log_shares: &HashMap<SnapshotRow, f32>) -> candle_core::Result<Tensor> {
    let count = items.len();
    let of_each: Vec<f32> = items
        .iter()
        .map(|item| -log_shares.get(item).copied().unwrap_or(0.0))
        .collect();
    let mut corrections = of_each.repeat(count);
    for (row, own) in items.iter().enumerate() {
        let row_of = &mut corrections[row * count..][..count];
        for (column, item) in items.iter().enumerate() {
            if item == own && row != column {
                row_of[column] = NEVER;
            }
        }
    }
    Tensor::from_vec(corrections, (count, count), &Device::Cpu)
}

/// The logarithm of each item's share of the purchases.
fn log_shares(purchases: &[Pair<SnapshotRow>]) -> HashMap<SnapshotRow, f32> {
    let mut counts: HashMap<SnapshotRow, f32> = HashMap::new();
    for pair in purchases {
        *counts.entry(pair.item).or_default() += 1.0;
    }
    counts
        .into_iter()
        .map(|(item, count)| (item, (count / purchases.len() as f32).ln()))
        .collect()
}

fn embed<R: Row>(tower: &Tower, encoded: &EncodedRows<R>, rows: &[R]) -> candle_core::Result<Vec<f32>> {
    let mut places = Vec::new();
    for rows in rows.chunks(EMBEDDED_AT_A_TIME) {
        let (categorical, numeric) = encoded.tensors(rows)?;
        places.extend(
            tower
                .forward(&categorical, &numeric)?
                .flatten_all()?
                .to_vec1::<f32>()?,
        );
    }
    Ok(places)
}
