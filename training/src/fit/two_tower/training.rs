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

/// Purchases, and what was known on the day on which they begin.
pub(crate) struct Part {
    /// What was known before the purchases.
    pub(crate) snapshot: Snapshot,
    /// The same, encoded.
    pub(crate) encoded: Encoded<SnapshotRow>,
    pub(crate) purchases: Vec<Pair<SnapshotRow>>,
}

/// What towers are trained on.
#[derive(Clone, Copy)]
pub(crate) struct TowerTask<'a> {
    pub(crate) settings: &'a TwoTower,
    /// The vocabularies' sizes.
    pub(crate) cardinalities: &'a Cardinalities,
    /// The purchases, each seen as of about its own day; one part at least.
    pub(crate) parts: &'a [Part],
    /// What how long training takes is found on; none where there is too little for that.
    pub(crate) validation: Option<Validation<'a>>,
    /// The same seed gives the same towers.
    pub(crate) seed: u64,
}

/// The purchases in two: those that are learned, and those that are to be found.
#[derive(Clone, Copy)]
pub(crate) struct Validation<'a> {
    /// How many of the parts come first, and are learned.
    pub(crate) earlier: usize,
    /// All that follows, by the snapshot of the part behind the earlier ones.
    pub(crate) later: &'a [Pair<SnapshotRow>],
    /// The items that they are to be found among, of the same snapshot.
    pub(crate) items: &'a [SnapshotRow],
}

/// Trains both towers on purchases.
pub(crate) fn train(task: TowerTask<'_>, bar: &Progress) -> Result<Towers, FitError> {
    let epochs = match task.validation {
        Some(validation) => best_epochs(task, validation, bar)?,
        None => task.settings.epochs,
    };
    let mut training = Training::start(task, task.parts)?;
    for _ in 0..epochs {
        training.pass(bar)?;
    }
    Ok(training.towers)
}

/// After how many passes over the earlier purchases most of the later ones are found: towers that learn on know the earlier ones by heart.
fn best_epochs(task: TowerTask<'_>, validation: Validation<'_>, bar: &Progress) -> Result<usize, FitError> {
    let (earlier, rest) = task.parts.split_at(validation.earlier);
    let Some(asked) = rest.first() else {
        return Ok(task.settings.epochs);
    };
    let mut training = Training::start(task, earlier)?;
    let entities = training.towers.entities(&asked.encoded, &asked.snapshot);
    let found = Sought::of(validation.items, validation.later);
    let (mut best, mut most) = (1, f64::NEG_INFINITY);
    for epoch in 1..=task.settings.epochs {
        training.pass(bar)?;
        let recall = found.recall(&training.towers, &entities)?;
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
    settings: &'a TwoTower,
    towers: Towers,
    optimizer: AdamW,
    parts: Vec<PartInTraining<'a>>,
    rng: ChaCha8Rng,
}

/// A part, as it is learned.
struct PartInTraining<'a> {
    entities: Entities<'a>,
    order: Vec<Pair<SnapshotRow>>,
    log_shares: HashMap<SnapshotRow, f32>,
}

impl<'a> Training<'a> {
    fn start(task: TowerTask<'a>, parts: &'a [Part]) -> Result<Self, FitError> {
        let failed = FitError::network(MODEL);
        let parts: Vec<&Part> = parts.iter().filter(|part| !part.purchases.is_empty()).collect();
        let Some(latest) = parts.last() else {
            let way_out = "take more windows.retrieval_days";
            return Err(FitError::Nothing {
                what: "purchase before the training window",
                way_out,
            });
        };
        let towers = Towers::new(task, latest).map_err(&failed)?;
        let part = |part: &&'a Part| PartInTraining {
            entities: towers.entities(&part.encoded, &part.snapshot),
            order: part.purchases.clone(),
            log_shares: log_shares(&part.purchases),
        };
        Ok(Self {
            parts: parts.iter().map(part).collect(),
            optimizer: towers.optimizer(task.settings).map_err(&failed)?,
            towers,
            rng: ChaCha8Rng::seed_from_u64(task.seed),
            settings: task.settings,
        })
    }

    /// One pass over the purchases. Those of a batch are of one part, so that its items are compared as of one day.
    fn pass(&mut self, bar: &Progress) -> Result<(), FitError> {
        let failed = FitError::network(MODEL);
        let settings = self.settings;
        for part in &mut self.parts {
            part.order.shuffle(&mut self.rng);
        }
        let batches = self.parts.iter().flat_map(|part| {
            let batch = settings.batch.min(part.order.len());
            part.order.chunks_exact(batch).map(move |batch| (part, batch))
        });
        let mut batches: Vec<_> = batches.collect();
        batches.shuffle(&mut self.rng);
        bar.inc_length(batches.len() as u64);
        for (step, (part, batch)) in batches.into_iter().enumerate() {
            let loss = self
                .towers
                .loss(batch, &part.entities, settings, &part.log_shares)
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
