//! How networks train: batches of labeled pairs, binary cross-entropy or LambdaRank, AdamW.
//!
//! The one loop of all families. The same seed gives the same weights.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::progress::Progress;
use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use gondola_models::scoring::Family;
use gondola_models::scoring::neural::{Batch, Network, binary_cross_entropy, lambda_rank};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::examples::Examples;
use super::{FitError, Model, Task, Weights, tensors, weights};
use crate::dataset::training::{Descent, Objective, Scorer};
use crate::labels::LabeledPairs;
use crate::progress;
use crate::rows::ExampleRow;

/// Pairs whose loss is computed at a time where nothing is learned from it.
const WEIGHED_AT_A_TIME: usize = 4096;

pub(super) struct Trained {
    weights: VarMap,
    epochs: usize,
}

impl Trained {
    /// The network as a model of its family.
    pub(super) fn model(self, family: Family) -> Model {
        Model {
            family,
            weights: Weights::Network(tensors(&self.weights)),
            rounds: self.epochs,
            gains: Vec::new(),
        }
    }
}

/// Trains a network as [`fit`](super) says.
pub(super) fn train<N: Network>(
    scorer: Scorer,
    settings: &Descent,
    task: Task<'_>,
    network: impl Fn(VarBuilder<'_>) -> CandleResult<N>,
) -> Result<Trained, FitError> {
    let start = || Training::start(scorer, settings, task, &network);
    let epochs = match task.examples.split() {
        None => settings.epochs,
        Some((validation, earlier)) => start()?.best_epochs(earlier, validation)?,
    };
    let mut training = start()?;
    for epoch in 0..epochs {
        training.pass(task.examples.all(), epoch)?;
    }
    training.bar.finish();
    Ok(Trained {
        weights: training.weights,
        epochs,
    })
}

/// A network in training.
struct Training<'a, N> {
    model: &'static str,
    settings: &'a Descent,
    examples: &'a Examples,
    /// What is added to each logit, see [`offsets`].
    offsets: Vec<f32>,
    network: N,
    weights: VarMap,
    optimizer: AdamW,
    rng: ChaCha8Rng,
    bar: Progress,
}

impl<'a, N: Network> Training<'a, N> {
    fn start(
        scorer: Scorer,
        settings: &'a Descent,
        task: Task<'a>,
        network: impl Fn(VarBuilder<'_>) -> CandleResult<N>,
    ) -> Result<Self, FitError> {
        let failed = FitError::network(scorer.title());
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let network = network(builder).map_err(&failed)?;
        weights::seed(&variables, task.training.seed).map_err(&failed)?;
        let parameters = ParamsAdamW {
            lr: settings.learning_rate,
            weight_decay: settings.weight_decay,
            ..ParamsAdamW::default()
        };
        Ok(Self {
            model: scorer.title(),
            settings,
            examples: task.examples,
            offsets: offsets(&task.examples.labeled),
            network,
            // In the order of their names: a map's own order differs from run to run.
            optimizer: AdamW::new(weights::in_order(&variables), parameters).map_err(&failed)?,
            weights: variables,
            rng: ChaCha8Rng::seed_from_u64(task.training.seed),
            bar: progress::bar(scorer.title()),
        })
    }

    /// How many passes over the pairs at `learned` make the loss of those at `weighed` smallest.
    fn best_epochs(mut self, learned: Range<usize>, weighed: Range<usize>) -> Result<usize, FitError> {
        let (mut best, mut least) = (0, f64::INFINITY);
        for epoch in 0..self.settings.epochs {
            self.pass(learned.clone(), epoch)?;
            let loss = self.mean_loss(weighed.clone())?;
            tracing::info!(model = self.model, epoch, loss, "loss on the validation window");
            if loss < least {
                (best, least) = (epoch + 1, loss);
            } else if epoch + 1 - best >= self.settings.patience.max(1) {
                break;
            }
        }
        self.bar.finish_and_clear();
        Ok(best)
    }

    /// One pass over the pairs at these positions.
    fn pass(&mut self, positions: Range<usize>, epoch: usize) -> Result<(), FitError> {
        let failed = FitError::network(self.model);
        let Descent {
            epochs,
            batch,
            learning_rate,
            ..
        } = *self.settings;
        let order = self.shuffled(positions);
        self.bar.inc_length(order.len().div_ceil(batch) as u64);
        // Later passes take smaller steps, so that the end does not depend on the last batches.
        let rate = learning_rate * (1.0 - epoch as f64 / epochs as f64);
        self.optimizer.set_learning_rate(rate);
        for (step, batch) in order.chunks(batch).enumerate() {
            let loss = self.loss(batch).map_err(&failed)?;
            self.optimizer.backward_step(&loss).map_err(&failed)?;
            let loss: f32 = loss.to_scalar().map_err(&failed)?;
            if !loss.is_finite() {
                let model = self.model;
                return Err(FitError::Diverged { model, loss, step });
            }
            self.bar.set_message(format!("loss {loss:.3}"));
            self.bar.inc(1);
        }
        Ok(())
    }

    /// The mean loss of the pairs at these positions.
    fn mean_loss(&self, positions: Range<usize>) -> Result<f64, FitError> {
        let count = positions.len().max(1) as f64;
        let order = self.in_order(positions);
        let mut sum = 0.0;
        for batch in order.chunks(WEIGHED_AT_A_TIME) {
            let loss = self.loss(batch).and_then(|loss| loss.to_scalar::<f32>());
            sum += f64::from(loss.map_err(FitError::network(self.model))?) * batch.len() as f64;
        }
        Ok(sum / count)
    }

    /// The mean loss of a batch, of which a gradient can be taken.
    fn loss(&self, batch: &[usize]) -> CandleResult<Tensor> {
        let of_each = |values: &[f32]| {
            let values: Vec<f32> = batch.iter().map(|position| values[*position]).collect();
            Tensor::from_vec(values, batch.len(), &Device::Cpu)
        };
        let logits = self.network.forward(&self::batch(self.examples, batch)?)?;
        let logits = (logits + of_each(&self.offsets)?)?;
        let labeled = &self.examples.labeled;
        match self.settings.objective {
            Objective::Pointwise => binary_cross_entropy(&logits, &of_each(&labeled.labels)?),
            Objective::LambdaRank => {
                let labels: Vec<f32> = batch.iter().map(|position| labeled.labels[*position]).collect();
                let user = |position: &usize| labeled.pairs[*position].user;
                let lists = batch.chunk_by(|a, b| user(a) == user(b)).map(<[usize]>::len);
                lambda_rank(&logits, &labels, &lists.collect::<Vec<_>>())
            }
        }
    }

    /// These positions in the order of a pass, which is one of chance. A user's pairs stay together where their order is learned.
    fn shuffled(&mut self, positions: Range<usize>) -> Vec<usize> {
        match self.settings.objective {
            Objective::Pointwise => {
                let mut order: Vec<usize> = positions.collect();
                order.shuffle(&mut self.rng);
                order
            }
            Objective::LambdaRank => {
                let mut lists = lists_of_users(&self.examples.labeled, positions, self.settings.batch);
                lists.shuffle(&mut self.rng);
                lists.concat()
            }
        }
    }

    /// These positions as their loss is weighed.
    fn in_order(&self, positions: Range<usize>) -> Vec<usize> {
        match self.settings.objective {
            Objective::Pointwise => positions.collect(),
            Objective::LambdaRank => {
                lists_of_users(&self.examples.labeled, positions, WEIGHED_AT_A_TIME).concat()
            }
        }
    }
}

/// The positions of each user's pairs, no more than `most` in a list.
fn lists_of_users(
    labeled: &LabeledPairs<ExampleRow>,
    positions: Range<usize>,
    most: usize,
) -> Vec<Vec<usize>> {
    let mut of_users: BTreeMap<ExampleRow, Vec<usize>> = BTreeMap::new();
    for position in positions {
        of_users
            .entry(labeled.pairs[position].user)
            .or_default()
            .push(position);
    }
    let lists = of_users.values().flat_map(|list| list.chunks(most));
    lists.map(<[usize]>::to_vec).collect()
}

/// The pairs at some positions, as a network reads them.
fn batch(examples: &Examples, positions: &[usize]) -> CandleResult<Batch> {
    let Examples {
        encoded,
        labeled,
        features,
        ..
    } = examples;
    let pairs = || positions.iter().map(|position| labeled.pairs[*position]);
    let users: Vec<ExampleRow> = pairs().map(|pair| pair.user).collect();
    let items: Vec<ExampleRow> = pairs().map(|pair| pair.item).collect();
    let (user_categorical, user_numeric) = encoded.users.tensors(&users)?;
    let (item_categorical, item_numeric) = encoded.items.tensors(&items)?;
    let width = features.len() / labeled.pairs.len().max(1);
    let of_pairs: Vec<f32> = positions
        .iter()
        .flat_map(|position| &features[position * width..][..width])
        .copied()
        .collect();
    Ok(Batch {
        user_categorical,
        user_numeric,
        item_categorical,
        item_numeric,
        pair: Tensor::from_vec(of_pairs, (positions.len(), width), &Device::Cpu)?,
    })
}

/// What is added to each logit in training: the more likely a pair is to be drawn as a negative, the less.
/// What the network itself has to learn is then how likely the pair is to be bought.
fn offsets(labeled: &LabeledPairs<ExampleRow>) -> Vec<f32> {
    let usual = labeled.usual_chance();
    let chances = labeled.chances.iter();
    chances.map(|chance| (usual / chance).ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Pair;

    #[test]
    fn a_likely_negative_lowers_the_logit_in_training() {
        let labeled = LabeledPairs {
            chances: vec![0.5, 0.005],
            ..LabeledPairs::default()
        };
        let offsets = offsets(&labeled);
        assert!((offsets[0] + 10f32.ln()).abs() < 1e-5);
        assert!((offsets[1] - 10f32.ln()).abs() < 1e-5);
    }

    #[test]
    fn a_users_pairs_stay_together_but_no_more_than_fit() {
        let labeled = LabeledPairs {
            pairs: [3, 1, 3, 3, 1].map(|user| Pair::at(user, 0)).to_vec(),
            ..LabeledPairs::default()
        };
        let lists = lists_of_users(&labeled, 0..5, 2);
        assert_eq!(lists, [vec![1, 4], vec![0, 2], vec![3]]);
    }
}
