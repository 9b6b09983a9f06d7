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
use gondola_models::features::{Cardinalities, EncodedTable, History, ItemId};
use gondola_models::retrieval::TwoTowerConfig;
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::known_items::{KNOWN_ITEMS, KnownItemsConfig};
use gondola_models::retrieval::tower::{Tower, TowerConfig, embedding_width};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

mod known_items;
mod sought;

use super::encoded::Encoded;
use super::{FitError, read_json, weights, write_json};
use crate::dataset::training::{self as settings, TwoTower};
use crate::features::Snapshot;
use crate::rows::{Pair, Row, SnapshotRow};
use known_items::KnownItems;
use sought::Sought;

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
    pub(crate) snapshot: &'a Snapshot,
    /// The same, encoded.
    pub(crate) encoded: &'a Encoded<SnapshotRow>,
    pub(crate) purchases: &'a [Pair<SnapshotRow>],
    /// What of them how long training takes is found on; none where there is too little for that.
    pub(crate) validation: Option<Validation<'a>>,
    /// The same seed gives the same towers.
    pub(crate) seed: u64,
}

/// The purchases in two parts.
#[derive(Clone, Copy)]
pub(crate) struct Validation<'a> {
    /// Those that come first, which are learned.
    pub(crate) earlier: &'a [Pair<SnapshotRow>],
    /// Those that follow, which are to be found.
    pub(crate) later: &'a [Pair<SnapshotRow>],
}

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

/// Trains both towers on purchases.
pub(crate) fn train(task: TowerTask<'_>, bar: &Progress) -> Result<Towers, FitError> {
    let TowerTask {
        settings, purchases, ..
    } = task;
    if purchases.is_empty() {
        let way_out = "take more windows.retrieval_days";
        return Err(FitError::Nothing {
            what: "purchase before the training window",
            way_out,
        });
    }
    let epochs = match task.validation {
        Some(validation) => best_epochs(task, validation, bar)?,
        None => settings.epochs,
    };
    let mut training = Training::start(task, purchases)?;
    for _ in 0..epochs {
        training.pass(bar)?;
    }
    Ok(training.towers)
}

/// After how many passes over the earlier purchases most of the later ones are found: towers that learn on know the earlier ones by heart.
fn best_epochs(task: TowerTask<'_>, validation: Validation<'_>, bar: &Progress) -> Result<usize, FitError> {
    let mut training = Training::start(task, validation.earlier)?;
    let found = Sought::of(task.purchases, validation.later);
    let (mut best, mut most) = (1, f64::NEG_INFINITY);
    for epoch in 1..=task.settings.epochs {
        training.pass(bar)?;
        let recall = found.recall(&training.towers, &training.entities)?;
        tracing::info!(
            model = MODEL,
            epoch,
            recall,
            "how many of the later purchases are found"
        );
        if recall <= most {
            break;
        }
        (best, most) = (epoch, recall);
    }
    Ok(best)
}

/// Towers in training.
struct Training<'a> {
    task: TowerTask<'a>,
    towers: Towers,
    entities: Entities<'a>,
    optimizer: AdamW,
    order: Vec<Pair<SnapshotRow>>,
    log_shares: HashMap<SnapshotRow, f32>,
    rng: ChaCha8Rng,
}

impl<'a> Training<'a> {
    fn start(task: TowerTask<'a>, purchases: &[Pair<SnapshotRow>]) -> Result<Self, FitError> {
        let failed = FitError::network(MODEL);
        let towers = Towers::new(task).map_err(&failed)?;
        Ok(Self {
            entities: towers.entities(task.encoded, task.snapshot),
            optimizer: towers.optimizer(task.settings).map_err(&failed)?,
            towers,
            order: purchases.to_vec(),
            log_shares: log_shares(purchases),
            rng: ChaCha8Rng::seed_from_u64(task.seed),
            task,
        })
    }

    /// One pass over the purchases.
    fn pass(&mut self, bar: &Progress) -> Result<(), FitError> {
        let failed = FitError::network(MODEL);
        let settings = self.task.settings;
        let batch = settings.batch.min(self.order.len());
        bar.inc_length((self.order.len() / batch) as u64);
        self.order.shuffle(&mut self.rng);
        for (step, batch) in self.order.chunks_exact(batch).enumerate() {
            let loss = self
                .towers
                .loss(batch, &self.entities, settings, &self.log_shares)
                .map_err(&failed)?;
            self.optimizer.backward_step(&loss).map_err(&failed)?;
            let loss: f32 = loss.to_scalar().map_err(&failed)?;
            if !loss.is_finite() {
                let model = MODEL;
                return Err(FitError::Diverged { model, loss, step });
            }
            bar.set_message(format!("loss {loss:.3}"));
            bar.inc(1);
        }
        Ok(())
    }
}

impl Towers {
    fn new(task: TowerTask<'_>) -> candle_core::Result<Self> {
        let TowerTask {
            settings,
            cardinalities,
            encoded,
            snapshot,
            seed,
            ..
        } = task;
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

    fn optimizer(&self, settings: &TwoTower) -> candle_core::Result<AdamW> {
        let known = self.known.as_ref().map(|known| known.weights().all_vars());
        let towers = [self.query_weights.all_vars(), self.item_weights.all_vars()];
        let variables = [&towers[..], known.as_slice()].concat().concat();
        let parameters = ParamsAdamW {
            lr: settings.learning_rate,
            weight_decay: 1e-5,
            ..ParamsAdamW::default()
        };
        AdamW::new(variables, parameters)
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

    fn loss(
        &self,
        batch: &[Pair<SnapshotRow>],
        of: &Entities<'_>,
        settings: &TwoTower,
        log_shares: &HashMap<SnapshotRow, f32>,
    ) -> candle_core::Result<Tensor> {
        let users: Vec<SnapshotRow> = batch.iter().map(|pair| pair.user).collect();
        let items: Vec<SnapshotRow> = batch.iter().map(|pair| pair.item).collect();
        let (users, places) = (self.place_users(of, &users)?, self.place_items(of, &items)?);
        let logits = (users.matmul(&places.t()?)? / settings.temperature)?;
        let targets = Tensor::arange(0u32, batch.len() as u32, &Device::Cpu)?;
        loss::cross_entropy(&(logits + corrections(&items, log_shares)?)?, &targets)
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
