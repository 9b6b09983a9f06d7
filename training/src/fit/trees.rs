//! What tree models share: labelled pairs as LightGBM takes them, and a model as a bundle has it.
//!
//! A pair that was bought counts the more, the likelier it was to be drawn had it not been bought, so that a score orders pairs
//! by how likely they are to be bought, not by how much likelier than to be drawn.
//!
//! The index into a vocabulary is a number to a tree. Vocabularies are ordered by frequency, so a split means "the more
//! frequent values"; the binding can't declare categories when it makes a data set.

use std::ops::Range;
use std::path::Path;

use gondola_models::features::{EncodedTable, Layout};
use gondola_models::scoring::Family;
use gondola_models::scoring::forest::lightgbm_name;
use lightgbm3::{Booster, Dataset, ImportanceType};

use super::examples::{Encoded, Examples};
use super::{FitError, Fitted, Task, describe};
use crate::dataset::training::Scorer;
use crate::labels::{LabelledPairs, Pair};

/// How much each input helped, the most helpful first: (input, share of the total gain).
pub type Importances = Vec<(String, f64)>;

/// The pairs at some positions; `binned` is a data set whose bins are used.
pub(super) fn dataset(
    task: Task<'_>,
    positions: Range<usize>,
    binned: Option<&Dataset>,
) -> Result<Dataset, lightgbm3::Error> {
    let Examples {
        encoded,
        labelled,
        features,
        ..
    } = task.examples;
    let (names, width) = (names(task.layout), task.layout.pair.len());
    let features = &features[positions.start * width..positions.end * width];
    let rows = matrix(encoded, &labelled.pairs[positions.clone()], features, width);
    let labels = &labelled.labels[positions.clone()];
    let mut dataset = Dataset::from_slice_with_reference(&rows, labels, names.len() as i32, true, binned)?;
    dataset.set_weights(&counts(labelled)[positions])?;
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

/// Leaves a model in a bundle's folder.
pub(super) fn save(
    scorer: Scorer,
    booster: &Booster,
    task: Task<'_>,
    folder: &Path,
) -> Result<Fitted, FitError> {
    let path = folder.join("model.txt");
    let text = booster.save_string().map_err(FitError::trees(scorer))?;
    std::fs::write(&path, text).map_err(FitError::file(&path))?;
    describe(task, Family::Forest, folder)?;
    let gains = booster
        .feature_importance(ImportanceType::Gain)
        .map_err(FitError::trees(scorer))?;
    Ok(Fitted {
        rounds: booster.num_iterations().unsigned_abs() as usize,
        gains: Some(shares(task.layout.inputs(), gains)),
    })
}

/// How much each pair counts.
fn counts(labelled: &LabelledPairs) -> Vec<f32> {
    let usual = labelled.usual_chance();
    let pairs = labelled.labels.iter().zip(&labelled.chances);
    pairs
        .map(|(label, chance)| if *label > 0.5 { *chance / usual } else { 1.0 })
        .collect()
}

/// One row a pair, in the order of [`Layout::inputs`].
pub fn matrix(encoded: &Encoded, pairs: &[Pair], pair_features: &[f32], width: usize) -> Vec<f32> {
    let mut rows = Vec::new();
    for (position, pair) in pairs.iter().enumerate() {
        append(&encoded.users, pair.user, &mut rows);
        append(&encoded.items, pair.item, &mut rows);
        rows.extend_from_slice(&pair_features[position * width..][..width]);
    }
    rows
}

fn append(table: &EncodedTable, row: u32, rows: &mut Vec<f32>) {
    rows.extend(table.categorical(row as usize).iter().map(|index| *index as f32));
    rows.extend_from_slice(table.numeric(row as usize));
}

/// Each input's share of the gain.
fn shares(inputs: Vec<String>, gains: Vec<f64>) -> Importances {
    let total = gains.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    greatest_first(inputs, gains.into_iter().map(|gain| gain / total).collect())
}

/// Inputs with their values, the greatest first.
pub fn greatest_first(inputs: Vec<String>, values: Vec<f64>) -> Importances {
    let mut named: Importances = inputs.into_iter().zip(values).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_bought_counts_as_much_as_it_was_likely_to_be_drawn() {
        let labelled = LabelledPairs {
            pairs: vec![Pair { user: 0, item: 0 }; 3],
            labels: vec![1.0, 0.0, 1.0],
            chances: vec![0.5, 0.05, 0.005],
        };
        let wanted = [10.0, 1.0, 0.1];
        for (found, wanted) in counts(&labelled).into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-4, "{found}");
        }
    }
}
