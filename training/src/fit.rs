//! Fitting: the workflow, the two towers, the scorers and the text index, each from a training snapshot.
//!
//! Every file of this folder fits one thing and leaves it in a bundle's folder, in the form in which it is served.

pub mod dlrm;
pub mod examples;
pub mod forest;
pub mod plan;
pub mod text;
pub mod two_tower;
pub mod weights;

use std::path::PathBuf;

use gondola_inference::features::workflow::WorkflowError;
use gondola_inference::features::{TableError, pairs::UnknownPairColumn, schema::SchemaError};
use gondola_inference::retrieval::index::IndexError;
use gondola_inference::scoring::SampledBy;
use gondola_inference::similarity::encoder::{EncodeError, EncoderLoadError};

use crate::features::POPULARITY;

/// Why a model could not be fitted.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// A file can't be written.
    #[error("cannot write {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A network.
    #[error("cannot train {model}")]
    Network {
        /// Which model.
        model: &'static str,
        /// Why.
        #[source]
        source: candle_core::Error,
    },
    /// The loss is no number any more.
    #[error("the loss of {model} is {loss} in step {step}; take a smaller learning rate")]
    Diverged {
        /// Which model.
        model: &'static str,
        /// The loss.
        loss: f32,
        /// The step, from 0.
        step: usize,
    },
    /// The forest.
    #[error("cannot train the forest")]
    Forest(#[source] lightgbm3::Error),
    /// An index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The text encoder's files.
    #[error(transparent)]
    EncoderLoad(#[from] EncoderLoadError),
    /// The text encoder.
    #[error("cannot embed the texts of items")]
    Encode(#[from] EncodeError),
    /// Feature tables.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The workflow.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
    /// The features' schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A pair feature.
    #[error(transparent)]
    Pairs(#[from] UnknownPairColumn),
    /// There is nothing to fit on.
    #[error("there is no {what}; {way_out}")]
    Nothing {
        /// What there is none of.
        what: &'static str,
        /// What to do.
        way_out: &'static str,
    },
}

impl FitError {
    fn network(model: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Network { model, source }
    }

    fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// What is left of the sampling of negatives for serving to undo; nothing for the power 0.
fn leftover(exponent: f32) -> Option<SampledBy> {
    (exponent != 0.0).then(|| SampledBy {
        column: POPULARITY.to_owned(),
        exponent,
    })
}

/// Writes a JSON file of a bundle.
fn write_json(path: &std::path::Path, value: &impl serde::Serialize) -> Result<(), FitError> {
    let json = serde_json::to_vec_pretty(value).expect("configurations are always JSON");
    std::fs::write(path, json).map_err(FitError::file(path))
}
