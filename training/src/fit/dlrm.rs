//! The DLRM: trained on labeled pairs by [`descent`](super::descent).

use gondola_models::scoring::Family;
use gondola_models::scoring::dlrm::arrangement::Arrangement;
use gondola_models::scoring::dlrm::{Dlrm, DlrmConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Model, Task, descent};
use crate::dataset::training::Scorer;

pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.dlrm;
    let config = DlrmConfig {
        embedding_dim: settings.embedding_dim,
        bottom: settings.bottom.clone(),
        top: settings.top.clone(),
        interaction: settings.interaction,
        numbers_to_top: settings.numbers_to_top,
        arrangement: Arrangement::Gondola,
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Dlrm::new(&config, vb);
    let trained = descent::train(Scorer::Dlrm, &settings.descent, task, network)?;
    Ok(trained.model(Family::Dlrm(config)))
}
