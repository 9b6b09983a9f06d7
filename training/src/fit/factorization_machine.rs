//! The factorization machine: trained on labeled pairs by [`descent`](super::descent).

use gondola_models::scoring::Family;
use gondola_models::scoring::factorization_machine::{FactorizationMachine, FactorizationMachineConfig};
use gondola_models::scoring::neural::InputShape;

use super::{FitError, Model, Task, descent};
use crate::dataset::training::Scorer;

pub(super) fn fit(task: Task<'_>) -> Result<Model, FitError> {
    let settings = &task.training.factorization_machine;
    let config = FactorizationMachineConfig {
        dimension: settings.dimension,
        shape: InputShape::of(task.layout, task.cardinalities),
    };
    let network = |vb: candle_nn::VarBuilder<'_>| FactorizationMachine::new(&config, vb);
    let trained = descent::train(Scorer::FactorizationMachine, &settings.descent, task, network)?;
    Ok(trained.model(Family::FactorizationMachine(config)))
}
