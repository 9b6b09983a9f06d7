//! The two towers: trained on purchases by in-batch sampled softmax, with the popularity of the batch corrected.
//!
//! In a batch of purchases every item is a negative of every other purchase. Popular items are in more batches, so each
//! logit is lowered by the logarithm of its item's share of the purchases (log-Q correction, Yi et al. 2019); an item that
//! stands in the batch twice is no negative of itself.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss};
use gondola_models::features::{Cardinalities, EncodedTable, ItemId, RawTable};
use gondola_models::retrieval::TwoTowerConfig;
use gondola_models::retrieval::index::{Index, Metric, SearchParameters};
use gondola_models::retrieval::tower::{Tower, TowerConfig, embedding_width};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::examples::{Encoded, tensors};
use super::{FitError, weights, write_json};
use crate::dataset::training::TwoTower;
use crate::labels::Pair;

/// What makes a logit vanish in a softmax.
const NEVER: f32 = -1e9;

/// Rows embedded at a time.
const EMBEDDED_AT_A_TIME: usize = 4096;

/// Trained towers.
pub struct Trained {
    config: TwoTowerConfig,
    query: Tower,
    item: Tower,
    query_weights: VarMap,
    item_weights: VarMap,
}

/// Trains both towers on purchases. `encoded` is the snapshot before those purchases.
pub fn train(
    settings: &TwoTower,
    cardinalities: &Cardinalities,
    encoded: &Encoded,
    purchases: &[Pair],
    seed: u64,
    bar: &ProgressBar,
) -> Result<Trained, FitError> {
    if purchases.is_empty() {
        let way_out = "take more windows.retrieval_days";
        return Err(FitError::Nothing {
            what: "purchase before the training window",
            way_out,
        });
    }
    let failed = FitError::network("the two towers");
    let trained = Trained::new(settings, cardinalities, encoded, seed).map_err(&failed)?;
    let log_q = log_share(purchases);
    let variables = [trained.query_weights.all_vars(), trained.item_weights.all_vars()].concat();
    let parameters = ParamsAdamW {
        lr: settings.learning_rate,
        weight_decay: 1e-5,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(variables, parameters).map_err(&failed)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order = purchases.to_vec();
    let batch = settings.batch.min(purchases.len());
    bar.set_length((settings.epochs * (purchases.len() / batch)) as u64);
    for _ in 0..settings.epochs {
        order.shuffle(&mut rng);
        for (step, batch) in order.chunks_exact(batch).enumerate() {
            let loss = trained
                .loss(batch, encoded, &log_q, settings.temperature)
                .map_err(&failed)?;
            optimizer.backward_step(&loss).map_err(&failed)?;
            let loss: f32 = loss.to_scalar().map_err(&failed)?;
            if !loss.is_finite() {
                return Err(FitError::Diverged {
                    model: "the two towers",
                    loss,
                    step,
                });
            }
            bar.set_message(format!("loss {loss:.3}"));
            bar.inc(1);
        }
    }
    Ok(trained)
}

impl Trained {
    fn new(
        settings: &TwoTower,
        cardinalities: &Cardinalities,
        encoded: &Encoded,
        seed: u64,
    ) -> candle_core::Result<Self> {
        let tower = |categorical: &[usize], table: &EncodedTable| TowerConfig {
            categorical: categorical.to_vec(),
            embedding: categorical.iter().map(|size| embedding_width(*size)).collect(),
            numeric: table.numeric_width(),
            hidden: settings.hidden.clone(),
            output: settings.dimension,
        };
        let config = TwoTowerConfig {
            query: tower(&cardinalities.user, &encoded.users),
            item: tower(&cardinalities.item, &encoded.items),
        };
        let (query_weights, item_weights) = (VarMap::new(), VarMap::new());
        let builder = |weights| VarBuilder::from_varmap(weights, DType::F32, &Device::Cpu);
        let query = Tower::new(&config.query, builder(&query_weights))?;
        let item = Tower::new(&config.item, builder(&item_weights))?;
        weights::seed(&query_weights, seed)?;
        weights::seed(&item_weights, seed.wrapping_add(1))?;
        Ok(Self {
            config,
            query,
            item,
            query_weights,
            item_weights,
        })
    }

    fn loss(
        &self,
        batch: &[Pair],
        encoded: &Encoded,
        log_q: &HashMap<u32, f32>,
        temperature: f64,
    ) -> candle_core::Result<Tensor> {
        let users: Vec<u32> = batch.iter().map(|pair| pair.user).collect();
        let items: Vec<u32> = batch.iter().map(|pair| pair.item).collect();
        let (categorical, numeric) = tensors(&encoded.users, &users)?;
        let users = self.query.forward(&categorical, &numeric)?;
        let (categorical, numeric) = tensors(&encoded.items, &items)?;
        let places = self.item.forward(&categorical, &numeric)?;
        let logits = (users.matmul(&places.t()?)? / temperature)?;
        let targets = Tensor::arange(0u32, batch.len() as u32, &Device::Cpu)?;
        loss::cross_entropy(&(logits + corrections(&items, log_q)?)?, &targets)
    }

    /// Where all items stand, `[items, dimension]`, row-major.
    pub fn embed_items(&self, items: &EncodedTable, rows: &[u32]) -> Result<Vec<f32>, FitError> {
        embed(&self.item, items, rows).map_err(FitError::network("the item tower"))
    }

    /// Where users stand, `[users, dimension]`, row-major.
    pub fn embed_users(&self, users: &EncodedTable, rows: &[u32]) -> Result<Vec<f32>, FitError> {
        embed(&self.query, users, rows).map_err(FitError::network("the query tower"))
    }

    /// Writes towers, index and item ids into a bundle's folder; `rows` of `items` were embedded as `vectors`. Gives the
    /// index' recall@200 against exact search by `queries`.
    pub fn save(
        &self,
        folder: &Path,
        settings: &TwoTower,
        ids: &RawTable,
        rows: &[u32],
        vectors: &[f32],
        queries: &[f32],
    ) -> Result<f64, FitError> {
        let failed = FitError::network("the two towers");
        self.query_weights
            .save(folder.join("query_tower.safetensors"))
            .map_err(&failed)?;
        self.item_weights
            .save(folder.join("item_tower.safetensors"))
            .map_err(&failed)?;
        write_json(&folder.join("tower.json"), &self.config)?;
        let search = SearchParameters {
            nprobe: settings.nprobe,
            ef_search: settings.ef_search,
        };
        save_index(
            folder,
            &settings.index,
            search,
            settings.dimension,
            ids,
            rows,
            vectors,
            queries,
        )
    }
}

/// Builds an index and writes it with its items' ids. Gives its recall@200 against exact search by `queries`.
#[expect(
    clippy::too_many_arguments,
    reason = "an index is these things, and nothing else takes them together"
)]
pub(super) fn save_index(
    folder: &Path,
    factory: &str,
    search: SearchParameters,
    dimension: usize,
    ids: &RawTable,
    rows: &[u32],
    vectors: &[f32],
    queries: &[f32],
) -> Result<f64, FitError> {
    let mut index = Index::build(vectors, dimension, Metric::InnerProduct, factory)?;
    index.set_search(&search)?;
    let recall = index.recall_against_exact(vectors, queries, 200.min(rows.len()))?;
    index.save(&folder.join("index.faiss"))?;
    let ids: Vec<ItemId> = rows.iter().map(|row| ids.id(*row as usize).into()).collect();
    write_json(&folder.join("items.json"), &ids)?;
    let description = serde_json::json!({"factory": factory, "search": search, "recall_at_200": recall});
    write_json(&folder.join("index.json"), &description)?;
    Ok(recall)
}

/// What is added to each logit: minus the logarithm of the item's share, and never for an item that is the purchase's own.
fn corrections(items: &[u32], log_q: &HashMap<u32, f32>) -> candle_core::Result<Tensor> {
    let count = items.len();
    let mut corrections = Vec::with_capacity(count * count);
    for (row, own) in items.iter().enumerate() {
        corrections.extend(items.iter().enumerate().map(|(column, item)| {
            if item == own && row != column {
                NEVER
            } else {
                -log_q.get(item).copied().unwrap_or(0.0)
            }
        }));
    }
    Tensor::from_vec(corrections, (count, count), &Device::Cpu)
}

fn log_share(purchases: &[Pair]) -> HashMap<u32, f32> {
    let mut counts: HashMap<u32, f32> = HashMap::new();
    for pair in purchases {
        *counts.entry(pair.item).or_default() += 1.0;
    }
    counts
        .into_iter()
        .map(|(item, count)| (item, (count / purchases.len() as f32).ln()))
        .collect()
}

fn embed(tower: &Tower, table: &EncodedTable, rows: &[u32]) -> candle_core::Result<Vec<f32>> {
    let mut places = Vec::new();
    for rows in rows.chunks(EMBEDDED_AT_A_TIME) {
        let (categorical, numeric) = tensors(table, rows)?;
        places.extend(
            tower
                .forward(&categorical, &numeric)?
                .flatten_all()?
                .to_vec1::<f32>()?,
        );
    }
    Ok(places)
}
