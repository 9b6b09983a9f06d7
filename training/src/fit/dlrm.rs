//! The DLRM: trained on labelled pairs by [`descent`](super::descent).

use std::path::Path;

use gondola_models::scoring::Family;
use gondola_models::scoring::dlrm::arrangement::{Arrangement, Interaction};
use gondola_models::scoring::dlrm::{Dlrm, DlrmConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Fitted, Task, descent, describe};
use crate::dataset::training::Scorer;

/// Trains a DLRM and leaves it in a bundle's folder.
pub fn fit(task: Task<'_>, folder: &Path) -> Result<Fitted, FitError> {
    let settings = &task.training.dlrm;
    let config = DlrmConfig {
        embedding_dim: settings.embedding_dim,
        bottom: settings.bottom.clone(),
        top: settings.top.clone(),
        interaction: Interaction::Dot,
        arrangement: Arrangement::Gondola,
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Dlrm::new(&config, vb);
    let fitted = descent::train(Scorer::Dlrm, &settings.descent, task, network, folder)?;
    describe(task, Family::Dlrm(config), folder)?;
    Ok(fitted)
}
