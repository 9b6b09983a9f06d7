//! What tree models share: labeled pairs as LightGBM takes them, and a model as a bundle has it.
//!
//! A pair that was bought counts the more, the likelier it was to be drawn had it not been bought, so that a
//! score orders pairs by how likely they are to be bought, not by how much likelier than to be drawn.
//!
//! The index into a vocabulary is a number to a tree. Vocabularies are ordered by frequency, so a split means
//! "the more frequent values"; the binding can't declare categories when it makes a data set.

use std::ops::Range;

use gondola_models::features::Layout;
use gondola_models::scoring::Family;
use gondola_models::scoring::forest::lightgbm_name;
use lightgbm3::{Booster, Dataset, ImportanceType};

use super::encoded::{Encoded, EncodedRows};
use super::examples::Examples;
use super::{FitError, Model, Task, Weights};
use crate::dataset::training::Scorer;
use crate::evaluate::InputValue;
use crate::labels::LabeledPairs;
use crate::rows::{Pair, Row};

/// The pairs at some positions; `binned` is a data set whose bins are used.
pub(super) fn dataset(
    task: Task<'_>,
    positions: Range<usize>,
    binned: Option<&Dataset>,
) -> Result<Dataset, lightgbm3::Error> {
    let Examples {
        encoded,
        labeled,
        features,
        ..
    } = task.examples;
    let (names, width) = (names(task.layout), task.layout.pair.len());
    let features = &features[positions.start * width..positions.end * width];
    let rows = matrix(encoded, &labeled.pairs[positions.clone()], features, width);
    let labels = &labeled.labels[positions.clone()];
    let mut dataset = Dataset::from_slice_with_reference(&rows, labels, names.len() as i32, true, binned)?;
    dataset.set_weights(&counts(labeled)[positions])?;
    if binned.is_none() {
        dataset.set_feature_names(&names)?;
    }
    Ok(dataset)
}

fn names(layout: &Layout) -> Vec<String> {
    let inputs = layout.inputs();
    inputs.iter().map(|input| lightgbm_name(input)).collect()
}

/// The seed, of which LightGBM takes 31 bits.
pub(super) fn seed(task: Task<'_>) -> u64 {
    task.training.seed & 0x7fff_ffff
}

/// A model, as the library that reads it has it.
pub(super) fn model(scorer: Scorer, booster: &Booster, task: Task<'_>) -> Result<Model, FitError> {
    let failed = FitError::trees(scorer);
    let gains = booster
        .feature_importance(ImportanceType::Gain)
        .map_err(&failed)?;
    Ok(Model {
        family: Family::Forest,
        weights: Weights::Trees(booster.save_string().map_err(&failed)?),
        rounds: booster.num_iterations().unsigned_abs() as usize,
        gains: shares(task.layout.inputs(), gains),
    })
}

/// How much each pair counts.
fn counts<R>(labeled: &LabeledPairs<R>) -> Vec<f32> {
    let usual = labeled.usual_chance();
    let pairs = labeled.labels.iter().zip(&labeled.chances);
    pairs
        .map(|(label, chance)| if *label > 0.5 { *chance / usual } else { 1.0 })
        .collect()
}

/// One row a pair, in the order of [`Layout::inputs`].
fn matrix<R: Row>(encoded: &Encoded<R>, pairs: &[Pair<R>], pair_features: &[f32], width: usize) -> Vec<f32> {
    let mut rows = Vec::new();
    for (position, pair) in pairs.iter().enumerate() {
        append(&encoded.users, pair.user, &mut rows);
        append(&encoded.items, pair.item, &mut rows);
        rows.extend_from_slice(&pair_features[position * width..][..width]);
    }
    rows
}

fn append<R: Row>(encoded: &EncodedRows<R>, row: R, rows: &mut Vec<f32>) {
    rows.extend(encoded.categorical(row).iter().map(|index| *index as f32));
    rows.extend_from_slice(encoded.numeric(row));
}

/// Each input's share of the gain.
fn shares(inputs: Vec<String>, gains: Vec<f64>) -> Vec<InputValue> {
    let total = gains.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    InputValue::greatest_first(inputs, gains.into_iter().map(|gain| gain / total).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ExampleRow;

    #[test]
    fn what_was_bought_counts_as_much_as_it_was_likely_to_be_drawn() {
        let labeled = LabeledPairs {
            pairs: vec![Pair::<ExampleRow>::at(0, 0); 3],
            labels: vec![1.0, 0.0, 1.0],
            chances: vec![0.5, 0.05, 0.005],
        };
        let wanted = [10.0, 1.0, 0.1];
        for (found, wanted) in counts(&labeled).into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found}");
        }
    }
}
