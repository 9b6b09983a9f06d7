//! The random forest: LightGBM's `rf` boosting on labelled pairs.
//!
//! Trees regress on the label, 0 or 1, so that a leaf holds the share of pairs in it that were bought, and the forest the
//! mean share. (With the `binary` objective a leaf holds one Newton step in logits, which is linear in that share: a mean of
//! such steps is no logit.) A pair that was bought counts the more, the likelier it was to be drawn had it not been bought,
//! so that the share orders pairs by how likely they are to be bought, not by how much likelier than to be drawn.
//!
//! The index into a vocabulary is a number to the forest. Vocabularies are ordered by frequency, so a split means "the
//! more frequent values"; the binding can't declare categories when it makes a data set.

use std::path::Path;

use gondola_inference::features::{EncodedTable, Layout};
use gondola_inference::scoring::forest::lightgbm_name;
use gondola_inference::scoring::{Family, ScorerConfig};
use lightgbm3::{Booster, Dataset, ImportanceType};
use serde_json::json;

use super::examples::{Encoded, Examples};
use super::{FitError, leftover, write_json};
use crate::dataset::config::Forest;
use crate::labels::{LabelledPairs, Pair};

/// How much each input helped, the most helpful first: (input, share of the total gain).
pub type Importances = Vec<(String, f64)>;

/// Trains a forest, leaves it in a bundle's folder and says how much each input helped.
pub fn train(
    settings: &Forest,
    layout: &Layout,
    examples: &Examples,
    seed: u64,
    folder: &Path,
) -> Result<Importances, FitError> {
    let inputs = layout.inputs();
    let names: Vec<String> = inputs.iter().map(|input| lightgbm_name(input)).collect();
    let Examples {
        encoded,
        labelled,
        features,
    } = examples;
    let rows = matrix(encoded, &labelled.pairs, features, layout.pair.len());
    let mut dataset =
        Dataset::from_slice(&rows, &labelled.labels, inputs.len() as i32, true).map_err(FitError::Forest)?;
    dataset.set_weights(&counts(labelled)).map_err(FitError::Forest)?;
    dataset.set_feature_names(&names).map_err(FitError::Forest)?;
    let parameters = json!({
        "boosting": "rf",
        "objective": "regression",
        "num_iterations": settings.trees,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_pairs,
        "bagging_fraction": settings.pair_share,
        "bagging_freq": 1,
        "feature_fraction": settings.input_share,
        "seed": seed,
        "deterministic": true,
        "verbosity": -1,
    });
    let booster = Booster::train(dataset, &parameters).map_err(FitError::Forest)?;
    let path = folder.join("model.txt");
    let text = booster.save_string().map_err(FitError::Forest)?;
    std::fs::write(&path, text).map_err(FitError::file(&path))?;
    write_json(
        &folder.join("scorer.json"),
        &ScorerConfig {
            inputs: inputs.clone(),
            sampled_by: leftover(settings.weight_exponent),
            family: Family::Forest,
        },
    )?;
    let gains = booster
        .feature_importance(ImportanceType::Gain)
        .map_err(FitError::Forest)?;
    Ok(shares(inputs, gains))
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

fn shares(inputs: Vec<String>, gains: Vec<f64>) -> Importances {
    let total = gains.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut shares: Importances = inputs
        .into_iter()
        .zip(gains.into_iter().map(|gain| gain / total))
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
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
