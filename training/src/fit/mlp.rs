//! The MLP: trained on labeled pairs by [`descent`](super::descent).

use gondola_models::scoring::Family;
use gondola_models::scoring::mlp::{Mlp, MlpConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Model, Task, descent};
use crate::dataset::training::Scorer;

pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.mlp;
    let config = MlpConfig {
        embedding_dim: settings.embedding_dim,
        hidden: settings.hidden.clone(),
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| Mlp::new(&config, vb);
    let trained = descent::train(Scorer::Mlp, &settings.descent, task, network)?;
    Ok(trained.model(Family::Mlp(config)))
}
