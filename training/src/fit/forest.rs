//! The random forest: LightGBM's `rf` boosting on labeled pairs.
//!
//! Trees regress on the label, 0 or 1, so that a leaf holds the share of pairs in it that were bought, and
//! the forest the mean share. (With the `binary` objective a leaf holds one Newton step in logits, which is
//! linear in that share: a mean of such steps is not a logit.) Its trees don't depend on each other, so that
//! more of them do no harm: nothing stops early.

use lightgbm3::Booster;
use serde_json::json;

use super::{FitError, Model, Task, trees};
use crate::dataset::training::Scorer;

pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.forest;
    let parameters = json!({
        "boosting": "rf",
        "objective": "regression",
        "num_iterations": settings.trees,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.leaf_pairs,
        "bagging_fraction": settings.pair_share,
        "bagging_freq": 1,
        "feature_fraction": settings.input_share,
        "seed": trees::seed(task),
        "deterministic": true,
        "verbosity": -1,
    });
    let booster = trees::dataset(task, task.examples.all(), None)
        .and_then(|dataset| Booster::train(dataset, &parameters))
        .map_err(FitError::trees(Scorer::Forest))?;
    trees::model(Scorer::Forest, &booster, task)
}
