//! Training by in-batch sampled softmax, with the popularity of the batch corrected, for as long as more of the purchases that follow are
//! found.
//!
//! In a batch of purchases every item is a negative of every other purchase. Popular items are in more
//! batches, so each logit is lowered by the logarithm of its item's share of the purchases (log-Q correction,
//! Yi et al. 2019); an item that is in the batch twice is not a negative of itself.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss};
use gondola_models::features::Cardinalities;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::super::FitError;
use super::super::encoded::Encoded;
use super::sought::Sought;
use super::{Entities, MODEL, Towers};
use crate::dataset::training::TwoTower;
use crate::features::Snapshot;
use crate::progress::Progress;
use crate::rows::{Pair, SnapshotRow};

/// What makes a logit vanish in a softmax.
const NEVER: f32 = -1e9;

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
