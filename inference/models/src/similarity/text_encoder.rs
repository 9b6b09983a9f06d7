//! What every family of text encoders is, and what they read alike: files, weights, tokens.

use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_nn::VarBuilder;
use gondola_forest::misplaced::Misplaced;
use serde::de::DeserializeOwned;
use tokenizers::{Tokenizer, TruncationParams};

use crate::device::DeviceError;

/// Makes vectors of texts.
pub trait TextEncoder: Send + Sync {
    /// Length of a vector.
    fn dimension(&self) -> usize;
    /// One vector a text, in order: `[texts, dimension]`, each of length 1. An empty text is a text too.
    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError>;
}

/// Why texts could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The tokenizer failed.
    #[error("cannot split a text into tokens: {0}")]
    Tokenize(String),
    /// A token that the model has no vector for.
    #[error(
        "token {token} is outside the model's vocabulary of {vocabulary}; tokenizer and model don't belong together"
    )]
    Vocabulary {
        /// The token.
        token: u32,
        /// How many tokens the model knows.
        vocabulary: usize,
    },
    /// The model failed.
    #[error("the text model failed")]
    Model(#[from] candle_core::Error),
    /// The model of another framework failed.
    #[error("the text model failed")]
    Network(#[from] gondola_onnx::RunError),
}

/// Why an encoder could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EncoderLoadError {
    /// A file is missing or can't be read.
    #[error("{path}: cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A file is something else, left in its place.
    #[error("{path} is {}; {}", found.name(), found.way_out())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Misplaced,
    },
    /// A JSON file says something else than it should.
    #[error("{path}: is not what an encoder's folder has there")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A step of sentence-transformers that we don't have.
    #[error(
        "{path}: the module `{module}` is not supported; supported: Transformer, Pooling, Dense, Normalize, Dropout"
    )]
    Module {
        /// The list of modules.
        path: PathBuf,
        /// What it names.
        module: String,
    },
    /// A family that we don't have.
    #[error(
        "{path}: model_type `{model_type}` is not supported; supported: bert, clip, clip_text_model, and any other as ONNX: export \
         model.onnx, and leave model.safetensors out"
    )]
    Family {
        /// The configuration.
        path: PathBuf,
        /// What it names.
        model_type: String,
    },
    /// The ONNX file can't be loaded.
    #[error("{path}: cannot be loaded")]
    Network {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: gondola_onnx::LoadError,
    },
    /// The graph of an ONNX file is no encoder's.
    #[error("{path}: {problem}")]
    Graph {
        /// The file.
        path: PathBuf,
        /// What it reads or gives.
        problem: String,
    },
    /// A value in a configuration that can't be.
    #[error("{path}: `{field}` is {value}, but {expected}")]
    Field {
        /// The configuration.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// The tokenizer's file.
    #[error("{path}: is not a tokenizer: {message}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The device can't be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The weights don't fit the configuration.
    #[error("{path}: the weights don't fit the configuration")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: candle_core::Error,
    },
}

/// Reads a file of JSON.
pub(super) fn json<T: DeserializeOwned>(path: &Path) -> Result<T, EncoderLoadError> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes).map_err(|source| EncoderLoadError::Json {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, EncoderLoadError> {
    let bytes = std::fs::read(path).map_err(|source| EncoderLoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    match Misplaced::of(&bytes) {
        None => Ok(bytes),
        Some(found) => Err(EncoderLoadError::Misplaced {
            path: path.to_owned(),
            found,
        }),
    }
}

/// The folder's weights as `f32`, whatever they are stored as.
pub(super) fn weights(
    path: &Path,
    device: &candle_core::Device,
) -> Result<VarBuilder<'static>, EncoderLoadError> {
    VarBuilder::from_buffered_safetensors(read(path)?, DType::F32, device).map_err(|source| {
        EncoderLoadError::Weights {
            path: path.to_owned(),
            source,
        }
    })
}

/// The folder's tokenizer: cuts at `max_tokens`, special tokens included, and doesn't pad.
pub(super) fn tokenizer(path: &Path, max_tokens: usize) -> Result<Tokenizer, EncoderLoadError> {
    let failed = |message: String| EncoderLoadError::Tokenizer {
        path: path.to_owned(),
        message,
    };
    let mut tokenizer = Tokenizer::from_bytes(read(path)?).map_err(|error| failed(error.to_string()))?;
    let truncation = TruncationParams {
        max_length: max_tokens,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|error| failed(error.to_string()))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The ids of every text's tokens, special tokens included.
pub(super) fn token_ids(
    tokenizer: &Tokenizer,
    texts: &[&str],
    vocabulary: usize,
) -> Result<Vec<Vec<u32>>, EncodeError> {
    let encodings = tokenizer
        .encode_batch(texts.to_vec(), true)
        .map_err(|error| EncodeError::Tokenize(error.to_string()))?;
    let ids: Vec<Vec<u32>> = encodings
        .iter()
        .map(|encoding| encoding.get_ids().to_vec())
        .collect();
    match ids.iter().flatten().find(|&&token| token as usize >= vocabulary) {
        Some(&token) => Err(EncodeError::Vocabulary { token, vocabulary }),
        None => Ok(ids),
    }
}

/// Gives every row of `rows` the length 1; a row of zeros stays.
pub(super) fn normalize(rows: &mut [f32], dimension: usize) {
    for row in rows.chunks_exact_mut(dimension) {
        let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|value| *value /= length);
        }
    }
}
