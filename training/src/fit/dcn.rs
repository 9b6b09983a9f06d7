//! The DCN: trained on labelled pairs by [`descent`](super::descent).

use std::path::Path;

use gondola_models::scoring::Family;
use gondola_models::scoring::dcn::{Dcn, DcnConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Fitted, Task, descent, describe};
use crate::dataset::training::Scorer;

/// Trains a DCN and leaves it in a bundle's folder.
pub fn fit(task: Task<'_>, folder: &Path) -> Result<Fitted, FitError> {
    let settings = &task.training.dcn;
    let config = DcnConfig {
        embedding_dim: settings.embedding_dim,
        cross: settings.cross,
        cross_layers: settings.cross_layers,
        hidden: settings.hidden.clone(),
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Dcn::new(&config, vb);
    let fitted = descent::train(Scorer::Dcn, &settings.descent, task, network, folder)?;
    describe(task, Family::Dcn(config), folder)?;
    Ok(fitted)
}
