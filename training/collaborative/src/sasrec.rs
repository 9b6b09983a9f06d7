//! SASRec: what comes next, of what came before (Kang and McAuley, ICDM 2018), with the softmax over sampled items that makes it strong
//! (Klenitskiy and Vasilev, "Turning dross into gold loss", RecSys 2023), by AdamW.
//!
//! Each item stands in a user's sequence once, at its last purchase, which is what a pod knows of a history. What is asked for after a
//! purchase is one of the next few: baskets have no order, and what is wanted of a list is what will be bought soon, not what is bought
//! first (Pancha et al., "PinnerFormer", KDD 2022, ask so too). How many passes are right is
//! found on the last tenth of the purchases, by time: a network that learns from all before it is stopped where these are no longer
//! predicted better. Then one learns from everything for as long.

mod batches;
mod objective;

use std::collections::HashMap;

use candle_core::{DType, Device, Result as CandleResult, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use gondola_models::retrieval::trained::sequence::{PLACES, POSITIONS, PRIOR};
use gondola_models::retrieval::trained::{Sequence, SequenceNetwork, SequenceShape};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::FitError;
use crate::purchases::Purchases;
use crate::settings::Sasrec;
use batches::{Batch, Sequences};

/// What errors call it.
const MODEL: &str = "SASRec";
/// The share of the purchases, the latest, on which the number of passes is found.
const WATCHED: f64 = 0.1;
/// Passes without a better prediction after which training stops.
const PATIENCE: usize = 3;
/// Deviation of fresh places.
const DEVIATION: f32 = 0.02;

pub(crate) fn fit(settings: &Sasrec, purchases: &Purchases, seed: u64) -> Result<Sequence, FitError> {
    let sequences = Sequences::of(purchases);
    let epochs = match sequences.split(WATCHED, settings.length, settings.batch) {
        Some((earlier, watched)) => best_epochs(settings, purchases.items(), &earlier, &watched, seed)?,
        None => settings.epochs,
    };
    let mut training = Training::start(settings, purchases.items(), seed)?;
    for epoch in 1..=epochs {
        training.pass(&sequences, epoch)?;
    }
    training.model(drift(settings, purchases))
}

/// After how many passes the purchases that were kept back are predicted best.
fn best_epochs(
    settings: &Sasrec,
    items: usize,
    earlier: &Sequences,
    watched: &[Batch],
    seed: u64,
) -> Result<usize, FitError> {
    let mut training = Training::start(settings, items, seed)?;
    let (mut best, mut least) = (1, f64::INFINITY);
    for epoch in 1..=settings.epochs {
        training.pass(earlier, epoch)?;
        let loss = training.watch(watched)?;
        if loss < least {
            (best, least) = (epoch, loss);
        } else if epoch - best >= PATIENCE {
            break;
        }
    }
    Ok(best)
}

/// What is added to each item's score for having become more or less bought lately than it was: `weight` times the logarithm of its share of the
/// last days over its share of all. The softmax learned chances of all days; under Bayes' rule this is what another prior adds.
fn drift(settings: &Sasrec, purchases: &Purchases) -> Vec<f32> {
    let items = purchases.items() as u32;
    let Some(drift) = settings.drift else {
        return vec![0.0; items as usize];
    };
    let buyers = |item: u32| purchases.of_item(item).len() as f32;
    let lately = |item: u32| {
        let buyers = purchases.of_item(item).iter();
        buyers
            .filter(|buyer| buyer.days_since_last <= drift.days as f32)
            .count() as f32
    };
    let (all, recent) = (0..items).fold((0f32, 0f32), |(all, recent), item| {
        (all + buyers(item), recent + lately(item))
    });
    let of_item = |item: u32| {
        // As if one purchase more had been made by the shares of all days: an item that was not bought lately is not impossible.
        let before = buyers(item) / all;
        let now = (lately(item) + before) / (recent + 1.0);
        drift.weight * (now / before).ln()
    };
    (0..items).map(of_item).collect()
}

/// A network in training.
struct Training<'a> {
    settings: &'a Sasrec,
    items: usize,
    variables: HashMap<String, Var>,
    network: SequenceNetwork,
    optimizer: AdamW,
    random: ChaCha8Rng,
}

impl<'a> Training<'a> {
    fn start(settings: &'a Sasrec, items: usize, seed: u64) -> Result<Self, FitError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let shape = settings.shape();
        let named = shape.tensors(items).into_iter().filter(|(name, _)| name != PRIOR);
        let variable = |(name, shape): (String, Vec<usize>)| {
            let values = fresh(&name, &shape, &mut random);
            Ok((
                name,
                Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu)?)?,
            ))
        };
        let variables: Vec<(String, Var)> = named.map(variable).collect::<CandleResult<_>>()?;
        let tensors = variables
            .iter()
            .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
        let parameters = ParamsAdamW {
            lr: f64::from(settings.learning_rate),
            weight_decay: 0.0,
            beta2: 0.98,
            ..ParamsAdamW::default()
        };
        let in_order = variables.iter().map(|(_, variable)| variable.clone()).collect();
        Ok(Self {
            settings,
            items,
            network: SequenceNetwork::new(shape, tensors.collect())?,
            optimizer: AdamW::new(in_order, parameters)?,
            variables: variables.into_iter().collect(),
            random,
        })
    }

    /// Learns from everybody once.
    fn pass(&mut self, sequences: &Sequences, epoch: usize) -> Result<(), FitError> {
        for batch in sequences.shuffled(self.settings, &mut self.random) {
            let loss = self.loss(&batch, true)?;
            if !loss.to_scalar::<f32>()?.is_finite() {
                return Err(FitError::Diverged {
                    model: MODEL,
                    rounds: epoch,
                });
            }
            self.optimizer.backward_step(&loss)?;
        }
        Ok(())
    }

    /// The mean loss of purchases that nothing is learned from.
    fn watch(&mut self, watched: &[Batch]) -> Result<f64, FitError> {
        // The same items stand for all others each time, so that passes compare.
        let random = std::mem::replace(&mut self.random, ChaCha8Rng::seed_from_u64(0));
        let (mut sum, mut count) = (0.0, 0);
        for batch in watched {
            let loss = self.loss(batch, false)?.to_scalar::<f32>()?;
            sum += f64::from(loss) * batch.asked.len() as f64;
            count += batch.asked.len();
        }
        self.random = random;
        Ok(sum / count.max(1) as f64)
    }

    fn loss(&mut self, batch: &Batch, learning: bool) -> CandleResult<Tensor> {
        let length = self.settings.length;
        let shape = (batch.items.len() / length, length);
        let items = Tensor::from_slice(&batch.items, shape, &Device::Cpu)?;
        let there = Tensor::from_slice(&batch.there, shape, &Device::Cpu)?;
        let (random, rate) = (&mut self.random, self.settings.dropout);
        let mut drop = |x: Tensor| if learning { dropped(x, rate, random) } else { Ok(x) };
        let places = self.network.forward(&items, &there, &mut drop)?;
        let asked = Tensor::from_slice(&batch.asked, batch.asked.len(), &Device::Cpu)?;
        let places = places.flatten(0, 1)?.index_select(&asked, 0)?;
        let others = objective::drawn(self.items, self.settings.negatives, &mut self.random);
        objective::loss(&places, self.network.places()?, &batch.wanted, others.as_deref())
    }

    /// What was learned, in the form in which it is served.
    fn model(self, prior: Vec<f32>) -> Result<Sequence, FitError> {
        let values = |(name, variable): (String, Var)| {
            let values = variable
                .as_tensor()
                .flatten_all()?
                .to_dtype(DType::F32)?
                .to_vec1()?;
            Ok((name, values))
        };
        let tensors = self.variables.into_iter().map(values);
        let mut tensors: HashMap<String, Vec<f32>> = tensors.collect::<CandleResult<_>>()?;
        tensors.insert(PRIOR.to_owned(), prior);
        Ok(Sequence::new(self.settings.shape(), tensors))
    }
}

impl Sasrec {
    fn shape(&self) -> SequenceShape {
        SequenceShape {
            width: self.dimension,
            heads: self.heads,
            blocks: self.blocks,
            hidden: 2 * self.dimension,
            length: self.length,
        }
    }
}

/// Fresh values of a tensor: places small, norms as if they were not there, layers within `1 / sqrt(inputs)`.
fn fresh(name: &str, shape: &[usize], random: &mut ChaCha8Rng) -> Vec<f32> {
    let count = shape.iter().product();
    let bound = match name {
        // A uniform number's deviation is its bound over the root of 3.
        PLACES | POSITIONS => DEVIATION * 3f32.sqrt(),
        name if name.ends_with("norm.weight") => return vec![1.0; count],
        name if name.ends_with("bias") => return vec![0.0; count],
        _ => 1.0 / (shape[1] as f32).sqrt(),
    };
    (0..count)
        .map(|_| (random.random::<f32>() * 2.0 - 1.0) * bound)
        .collect()
}

/// Values of which this share, by chance, is 0, and the others that much larger; candle's own can't be seeded.
fn dropped(x: Tensor, rate: f32, random: &mut ChaCha8Rng) -> CandleResult<Tensor> {
    if rate == 0.0 {
        return Ok(x);
    }
    let kept = 1.0 / (1.0 - rate);
    let mask: Vec<f32> = (0..x.elem_count())
        .map(|_| if random.random::<f32>() < rate { 0.0 } else { kept })
        .collect();
    &x * Tensor::from_vec(mask, x.shape(), x.device())?
}
