//! Gradient boosting: LightGBM's `gbdt` on labeled pairs, each tree a step in logits after those before it.

use lightgbm3::Booster;
use serde_json::{Value, json};

use super::{FitError, Model, Task, trees};
use crate::dataset::training::{Boosting, Scorer};

/// Trains boosted trees, as many as are best on the validation window.
pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.boosting;
    let booster = best_trees(settings, task)
        .and_then(|trees| {
            let dataset = trees::dataset(task, task.examples.all(), None)?;
            Booster::train(dataset, &parameters(settings, task, trees))
        })
        .map_err(FitError::trees(Scorer::Boosting))?;
    trees::model(Scorer::Boosting, &booster, task)
}

/// How many trees make the loss on the validation window smallest.
fn best_trees(settings: &Boosting, task: Task<'_>) -> Result<u32, lightgbm3::Error> {
    let Some((validation, earlier)) = task.examples.split() else {
        return Ok(settings.trees);
    };
    let dataset = trees::dataset(task, earlier, None)?;
    let validation = trees::dataset(task, validation, Some(&dataset))?;
    let parameters = parameters(settings, task, settings.trees);
    let booster = Booster::train_with_valid(dataset, Some(validation), &parameters)?;
    // A model without any tree is none.
    Ok(booster.num_iterations().unsigned_abs().max(1))
}

fn parameters(settings: &Boosting, task: Task<'_>, trees: u32) -> Value {
    json!({
        "boosting": "gbdt",
        "objective": "binary",
        "metric": "binary_logloss",
        "num_iterations": trees,
        "early_stopping_rounds": settings.patience,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_pairs,
        "learning_rate": settings.learning_rate,
        "feature_fraction": settings.input_share,
        "seed": trees::seed(task),
        "deterministic": true,
        "verbosity": -1,
    })
}
