//! The MLP: trained on labelled pairs by [`descent`](super::descent).

use std::path::Path;

use gondola_models::scoring::Family;
use gondola_models::scoring::mlp::{Mlp, MlpConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Fitted, Task, descent, describe};
use crate::dataset::training::Scorer;

/// Trains an MLP and leaves it in a bundle's folder.
pub fn fit(task: Task<'_>, folder: &Path) -> Result<Fitted, FitError> {
    let settings = &task.training.mlp;
    let config = MlpConfig {
        embedding_dim: settings.embedding_dim,
        hidden: settings.hidden.clone(),
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Mlp::new(&config, vb);
    let fitted = descent::train(Scorer::Mlp, &settings.descent, task, network, folder)?;
    describe(task, Family::Mlp(config), folder)?;
    Ok(fitted)
}
