//! The DCN: trained on labeled pairs by [`descent`](super::descent).

use gondola_models::scoring::Family;
use gondola_models::scoring::dcn::{Dcn, DcnConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Model, Task, descent};
use crate::dataset::training::Scorer;

pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.dcn;
    let config = DcnConfig {
        embedding_dim: settings.embedding_dim,
        cross: settings.cross,
        cross_layers: settings.cross_layers,
        hidden: settings.hidden.clone(),
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Dcn::new(&config, vb);
    let trained = descent::train(Scorer::Dcn, &settings.descent, task, network)?;
    Ok(trained.model(Family::Dcn(config)))
}
