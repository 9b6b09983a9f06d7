//! The DLRM: trained on labelled pairs by binary cross-entropy.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use gondola_inference::features::{Cardinalities, Layout};
use gondola_inference::scoring::dlrm::arrangement::{Arrangement, Interaction};
use gondola_inference::scoring::dlrm::{Dlrm as Network, DlrmConfig};
use gondola_inference::scoring::neural::{Batch, InputShape, Network as _, binary_cross_entropy};
use gondola_inference::scoring::{Family, ScorerConfig};
use indicatif::ProgressBar;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::examples::{Examples, tensors};
use super::{FitError, leftover, weights, write_json};
use crate::dataset::config::Dlrm;
use crate::labels::LabelledPairs;

/// Trains a DLRM and leaves it in a bundle's folder.
pub fn train(
    settings: &Dlrm,
    layout: &Layout,
    cardinalities: &Cardinalities,
    examples: &Examples,
    seed: u64,
    bar: &ProgressBar,
    folder: &Path,
) -> Result<(), FitError> {
    let failed = FitError::network("the DLRM");
    let config = DlrmConfig {
        embedding_dim: settings.embedding_dim,
        bottom: settings.bottom.clone(),
        top: settings.top.clone(),
        interaction: Interaction::Dot,
        arrangement: Arrangement::Gondola,
        shape: InputShape::of(layout, cardinalities),
    };
    let variables = VarMap::new();
    let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let network = Network::new(&config, builder).map_err(&failed)?;
    weights::seed(&variables, seed).map_err(&failed)?;
    let parameters = ParamsAdamW {
        lr: settings.learning_rate,
        weight_decay: settings.weight_decay,
        ..ParamsAdamW::default()
    };
    let mut optimizer = AdamW::new(variables.all_vars(), parameters).map_err(&failed)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let offsets = offsets(&examples.labelled);
    let mut order: Vec<usize> = (0..offsets.len()).collect();
    bar.set_length((settings.epochs * order.len().div_ceil(settings.batch)) as u64);
    for epoch in 0..settings.epochs {
        order.shuffle(&mut rng);
        // The last passes take smaller steps, so that the end does not depend on the last batches.
        optimizer.set_learning_rate(settings.learning_rate * (1.0 - epoch as f64 / settings.epochs as f64));
        for (step, batch) in order.chunks(settings.batch).enumerate() {
            let loss = loss(&network, batch, examples, &offsets, config.shape.pair).map_err(&failed)?;
            optimizer.backward_step(&loss).map_err(&failed)?;
            let loss: f32 = loss.to_scalar().map_err(&failed)?;
            if !loss.is_finite() {
                return Err(FitError::Diverged {
                    model: "the DLRM",
                    loss,
                    step,
                });
            }
            bar.set_message(format!("loss {loss:.3}"));
            bar.inc(1);
        }
    }
    variables
        .save(folder.join("model.safetensors"))
        .map_err(&failed)?;
    let description = ScorerConfig {
        inputs: layout.inputs(),
        sampled_by: leftover(settings.weight_exponent),
        family: Family::Dlrm(config),
    };
    write_json(&folder.join("scorer.json"), &description)
}

/// What is added to each logit in training: the more likely a pair is to be drawn as a negative, the less. What the network
/// itself has to learn is then how likely the pair is to be bought.
fn offsets(labelled: &LabelledPairs) -> Vec<f32> {
    let usual = labelled.usual_chance();
    let chances = labelled.chances.iter();
    chances.map(|chance| (usual / chance).ln()).collect()
}

fn loss(
    network: &Network,
    batch: &[usize],
    examples: &Examples,
    offsets: &[f32],
    width: usize,
) -> candle_core::Result<Tensor> {
    let Examples {
        encoded,
        labelled,
        features,
    } = examples;
    let users: Vec<u32> = batch
        .iter()
        .map(|position| labelled.pairs[*position].user)
        .collect();
    let items: Vec<u32> = batch
        .iter()
        .map(|position| labelled.pairs[*position].item)
        .collect();
    let labels: Vec<f32> = batch.iter().map(|position| labelled.labels[*position]).collect();
    let pairs: Vec<f32> = batch
        .iter()
        .flat_map(|position| &features[position * width..][..width])
        .copied()
        .collect();
    let (user_categorical, user_numeric) = tensors(&encoded.users, &users)?;
    let (item_categorical, item_numeric) = tensors(&encoded.items, &items)?;
    let pair = Tensor::from_vec(pairs, (batch.len(), width), &Device::Cpu)?;
    let logits = network.forward(&Batch {
        user_categorical,
        user_numeric,
        item_categorical,
        item_numeric,
        pair,
    })?;
    let offsets: Vec<f32> = batch.iter().map(|position| offsets[*position]).collect();
    let logits = (logits + Tensor::from_vec(offsets, batch.len(), &Device::Cpu)?)?;
    binary_cross_entropy(&logits, &Tensor::from_vec(labels, batch.len(), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_likely_negative_lowers_the_logit_in_training() {
        let labelled = LabelledPairs {
            chances: vec![0.5, 0.005],
            ..LabelledPairs::default()
        };
        let offsets = offsets(&labelled);
        assert!((offsets[0] + 10f32.ln()).abs() < 1e-5);
        assert!((offsets[1] - 10f32.ln()).abs() < 1e-5);
    }
}
