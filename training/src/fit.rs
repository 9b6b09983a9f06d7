//! Fitting: the workflow, the two towers, the scorers and the text index, each from a training snapshot.
//!
//! Every file of this folder fits one thing and returns it as a value that can be saved into a bundle's
//! folder, in the form in which it is served. Scorers are fitted by [`scorer`]: networks share [`descent`],
//! tree models share [`trees`].
//!
//! How long a scorer trains is found on the validation window, the last before the test window: training on
//! the windows before it stops when the validation window's loss no longer falls. Then the scorer is trained
//! again on all windows, for as long as was best. Where there is one window only, it trains as long as its
//! configuration says.

mod boosting;
mod dcn;
mod descent;
mod dlrm;
pub(crate) mod encoded;
pub(crate) mod examples;
mod factorization_machine;
mod forest;
pub(crate) mod item_index;
mod mlp;
pub(crate) mod plan;
pub(crate) mod text;
mod trees;
pub(crate) mod two_tower;
mod weights;
mod wide_deep;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor, safetensors};
use candle_nn::VarMap;
use gondola_models::features::{Cardinalities, Layout};
use gondola_models::retrieval::index::IndexError;
use gondola_models::scoring::stacked::StackedSource;
use gondola_models::scoring::{Family, SampledBy, ScorerConfig};
use gondola_models::similarity::encoder::{EncodeError, EncoderLoadError};

use crate::dataset::training::{Scorer, Training};
use crate::evaluate::InputValue;
use crate::features::POPULARITY;
use examples::Examples;

/// The file of a network's tensors.
const NETWORK: &str = "model.safetensors";
/// The file of a model of trees.
const TREES: &str = "model.txt";
/// The file that says which model a scorer is.
const DESCRIPTION: &str = "scorer.json";

/// Why a model could not be fitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FitError {
    #[error("cannot read or write {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot train {model}")]
    Network {
        model: &'static str,
        #[source]
        source: candle_core::Error,
    },
    /// The loss has become NaN.
    #[error("the loss of {model} is {loss} in step {step}; take a smaller learning rate")]
    Diverged {
        model: &'static str,
        loss: f32,
        /// The step, from 0.
        step: usize,
    },
    #[error("cannot train the {model}")]
    Trees {
        model: Scorer,
        #[source]
        source: lightgbm3::Error,
    },
    /// A cross of columns that there are not.
    #[error(
        "training.wide_deep.crosses names {user:?} and {item:?}; use one of the user's columns {users:?} and one of the item's {items:?}"
    )]
    Cross {
        user: String,
        item: String,
        users: Vec<String>,
        items: Vec<String>,
    },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    EncoderLoad(#[from] EncoderLoadError),
    #[error("cannot embed the texts of items")]
    Encode(#[from] EncodeError),
    /// There is nothing to fit on.
    #[error("there is no {what}; {way_out}")]
    Nothing {
        what: &'static str,
        way_out: &'static str,
    },
}

impl FitError {
    fn network(model: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Network { model, source }
    }

    fn trees(model: Scorer) -> impl Fn(lightgbm3::Error) -> Self {
        move |source| Self::Trees { model, source }
    }

    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// What a scorer is fitted on.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) training: &'a Training,
    /// Names of the inputs, those of stacked sources included.
    pub(crate) layout: &'a Layout,
    /// The sources whose opinions are the last inputs.
    pub(crate) stacked: &'a [StackedSource],
    /// The vocabularies' sizes.
    pub(crate) cardinalities: &'a Cardinalities,
    pub(crate) examples: &'a Examples,
}

/// A model as its family leaves it.
pub(crate) struct Model {
    family: Family,
    weights: Weights,
    rounds: usize,
    gains: Vec<InputValue>,
}

/// What a model learned, in the form of its library.
enum Weights {
    /// The tensors of a network.
    Network(HashMap<String, Tensor>),
    /// Trees, as LightGBM's text.
    Trees(String),
}

pub(crate) struct Fitted {
    pub(crate) scorer: Scorer,
    /// How long it was trained: passes over the pairs, or trees.
    pub(crate) rounds: usize,
    /// Trees only: how much each input helped, as its share of the total gain, the most helpful first.
    pub(crate) gains: Vec<InputValue>,
    description: ScorerConfig,
    weights: Weights,
}

pub(crate) fn scorer(scorer: Scorer, task: Task<'_>) -> Result<Fitted, FitError> {
    let Model {
        family,
        weights,
        rounds,
        gains,
    } = match scorer {
        Scorer::Dlrm => dlrm::fit(task),
        Scorer::WideDeep => wide_deep::fit(task),
        Scorer::Dcn => dcn::fit(task),
        Scorer::Mlp => mlp::fit(task),
        Scorer::FactorizationMachine => factorization_machine::fit(task),
        Scorer::Forest => forest::fit(task),
        Scorer::Boosting => boosting::fit(task),
    }?;
    Ok(Fitted {
        scorer,
        rounds,
        gains,
        description: ScorerConfig {
            inputs: task.layout.inputs(),
            sources: task.stacked.to_vec(),
            sampled_by: sampling_to_undo(task.training.weight_exponent),
            family,
        },
        weights,
    })
}

/// Writes the `scorer.json` of a scorer that has no other file.
pub(crate) fn describe(scorer: &ScorerConfig, folder: &Path) -> Result<(), FitError> {
    write_json(&folder.join(DESCRIPTION), scorer)
}

impl Fitted {
    /// The sources whose opinions it reads.
    pub(crate) fn stacked(&self) -> &[StackedSource] {
        &self.description.sources
    }

    /// Writes `scorer.json` and the model into a bundle's folder.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), FitError> {
        match &self.weights {
            Weights::Network(weights) => safetensors::save(weights, folder.join(NETWORK))
                .map_err(FitError::network(self.scorer.title()))?,
            Weights::Trees(text) => {
                let path = folder.join(TREES);
                std::fs::write(&path, text).map_err(FitError::file(&path))?;
            }
        }
        write_json(&folder.join(DESCRIPTION), &self.description)
    }

    /// Reads what [`save`](Self::save) left in a folder.
    pub(crate) fn load(
        scorer: Scorer,
        rounds: usize,
        gains: Vec<InputValue>,
        folder: &Path,
    ) -> Result<Self, FitError> {
        let trees = folder.join(TREES);
        let weights = if trees.exists() {
            Weights::Trees(std::fs::read_to_string(&trees).map_err(FitError::file(&trees))?)
        } else {
            let network = safetensors::load(folder.join(NETWORK), &Device::Cpu);
            Weights::Network(network.map_err(FitError::network(scorer.title()))?)
        };
        Ok(Self {
            scorer,
            rounds,
            gains,
            description: read_json(&folder.join(DESCRIPTION))?,
            weights,
        })
    }
}

/// The tensors of a network.
fn tensors(weights: &VarMap) -> HashMap<String, Tensor> {
    let variables = weights.data().lock();
    let variables = variables.expect("no thread panicked with the weights in hand");
    let tensors = variables
        .iter()
        .map(|(name, variable)| (name.clone(), variable.as_tensor().clone()));
    tensors.collect()
}

/// What of the sampling of negatives is left in the scores, for serving to undo; nothing for the power 0.
fn sampling_to_undo(exponent: f32) -> Option<SampledBy> {
    (exponent != 0.0).then(|| SampledBy {
        column: POPULARITY.to_owned(),
        exponent,
    })
}

/// Writes a JSON file of a bundle.
fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), FitError> {
    let json = serde_json::to_vec_pretty(value).expect("configurations are always JSON");
    std::fs::write(path, json).map_err(FitError::file(path))
}

/// Reads a JSON file that [`write_json`] wrote.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, FitError> {
    let json = std::fs::read(path).map_err(FitError::file(path))?;
    serde_json::from_slice(&json).map_err(|error| FitError::file(path)(error.into()))
}

#[cfg(test)]
mod extremes;
#[cfg(test)]
mod tests {
    use super::examples::samples::shop;
    use super::*;
    use crate::dataset::training::Descent;
    use crate::evaluate::PairMetrics;
    use crate::evaluate::pairs::Judge;

    /// Steps large enough for a small shop.
    fn training() -> Training {
        let mut training = Training::default();
        let descent = Descent {
            epochs: 12,
            batch: 64,
            learning_rate: 5e-3,
            ..Descent::default()
        };
        training.dlrm.descent = descent.clone();
        training.wide_deep.descent = descent.clone();
        training.dcn.descent = descent.clone();
        training.mlp.descent = descent.clone();
        training.factorization_machine.descent = descent;
        training.forest.trees = 20;
        training
    }

    #[test]
    fn every_scorer_learns_who_buys_what_and_the_same_seed_gives_the_same_model() {
        let ((layout, cardinalities, examples), training) = (shop(), training());
        let task = Task {
            training: &training,
            layout: &layout,
            stacked: &[],
            cardinalities: &cardinalities,
            examples: &examples,
        };
        for name in Scorer::ALL {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let fitted = folders.each_ref().map(|folder| {
                let fitted = scorer(name, task).unwrap();
                fitted.save(folder.path()).unwrap();
                (fitted.rounds, fitted.gains)
            });
            assert_eq!(fitted[0], fitted[1], "{name}");
            assert!(fitted[0].0 > 0, "{name}");
            let files = folders.each_ref().map(|folder| {
                ["model.safetensors", "model.txt"].map(|file| std::fs::read(folder.path().join(file)).ok())
            });
            assert!(files[0] == files[1], "{name}: the same seed gives another model");

            let judge = Judge::load(folders[0].path(), &layout, &examples.encoded).unwrap();
            let scores = judge.score(&examples.labeled.pairs, &examples.features).unwrap();
            let auc = PairMetrics::of(&scores, &examples.labeled.labels).auc;
            // The best that can be known is whose kind an item is of: an AUC of 0.76.
            assert!(auc > 0.7, "{name}: {auc}");
        }
    }

    #[test]
    fn training_stops_when_the_validation_window_is_learned() {
        let (layout, cardinalities, examples) = shop();
        let mut training = training();
        training.mlp.descent.epochs = 200;
        training.boosting.trees = 2000;
        let task = Task {
            training: &training,
            layout: &layout,
            stacked: &[],
            cardinalities: &cardinalities,
            examples: &examples,
        };
        for (name, most) in [(Scorer::Mlp, 100), (Scorer::Boosting, 1000)] {
            let fitted = scorer(name, task).unwrap();
            assert!(fitted.rounds < most, "{name}: {}", fitted.rounds);
        }
    }
}
