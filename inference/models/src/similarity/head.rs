//! What follows pooling: dense layers, and scaling to length 1.

use std::path::{Path, PathBuf};

use candle_core::{Device, Module, Tensor};
use candle_nn::Linear;
use serde::Deserialize;

use super::text_encoder::{EncoderLoadError, json, weights};

/// A step after pooling, as a folder describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Head {
    /// `activation(x W + b)`.
    Dense(Dense),
    /// Scales to length 1.
    Normalize,
}

/// A dense layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dense {
    folder: PathBuf,
    inputs: usize,
    outputs: usize,
    bias: bool,
    activation: Activation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    Identity,
    Tanh,
    Relu,
    Gelu,
    Sigmoid,
    Silu,
}

/// A step that is ready to compute.
#[derive(Debug)]
pub(super) enum Layer {
    Dense(Linear, Activation),
    Normalize,
}

/// `2_Dense/config.json`.
#[derive(Deserialize)]
struct Config {
    in_features: usize,
    out_features: usize,
    #[serde(default = "set")]
    bias: bool,
    activation_function: String,
    module_input_name: Option<String>,
    module_output_name: Option<String>,
}

fn set() -> bool {
    true
}

impl Head {
    /// Reads the configuration of a dense layer.
    pub(super) fn read_dense(folder: &Path) -> Result<Self, EncoderLoadError> {
        let path = folder.join("config.json");
        let config: Config = json(&path)?;
        let wrong = |field, value: &str, expected: &str| EncoderLoadError::Field {
            path: path.clone(),
            field,
            value: format!("`{value}`"),
            expected: expected.to_owned(),
        };
        for (field, name) in [
            ("module_input_name", &config.module_input_name),
            ("module_output_name", &config.module_output_name),
        ] {
            if let Some(name) = name.as_deref().filter(|name| *name != "sentence_embedding") {
                return Err(wrong(field, name, "only `sentence_embedding` is supported"));
            }
        }
        let function = &config.activation_function;
        let activation = Activation::named(function).ok_or_else(|| {
            let expected = "supported: Identity, Tanh, ReLU, GELU, Sigmoid, SiLU";
            wrong("activation_function", function, expected)
        })?;
        Ok(Self::Dense(Dense {
            folder: folder.to_owned(),
            inputs: config.in_features,
            outputs: config.out_features,
            bias: config.bias,
            activation,
        }))
    }

    /// Loads the step for vectors of length `width`; returns it with the length of its outputs.
    pub(super) fn load(&self, width: usize, device: &Device) -> Result<(Layer, usize), EncoderLoadError> {
        let dense = match self {
            Self::Normalize => return Ok((Layer::Normalize, width)),
            Self::Dense(dense) => dense,
        };
        if dense.inputs != width || dense.outputs == 0 {
            return Err(EncoderLoadError::Field {
                path: dense.folder.join("config.json"),
                field: "in_features",
                value: format!("{} (to {} out_features)", dense.inputs, dense.outputs),
                expected: format!("{width} numbers come in, and one at least must go out"),
            });
        }
        let path = dense.folder.join("model.safetensors");
        let layer = weights(&path, device)?.pp("linear");
        let linear = match dense.bias {
            true => candle_nn::linear(width, dense.outputs, layer),
            false => candle_nn::linear_no_bias(width, dense.outputs, layer),
        };
        let linear = linear.map_err(|source| EncoderLoadError::Weights { path, source })?;
        Ok((Layer::Dense(linear, dense.activation), dense.outputs))
    }
}

impl Layer {
    /// `[texts, width]` to `[texts, outputs]`.
    pub(super) fn forward(&self, vectors: &Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Dense(linear, activation) => activation.apply(linear.forward(vectors)?),
            Self::Normalize => {
                // As torch.nn.functional.normalize does: no length is below 1e-12.
                let lengths = vectors.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(1e-12)?;
                vectors.broadcast_div(&lengths)
            }
        }
    }
}

impl Activation {
    /// A class of PyTorch, whatever its module.
    fn named(class: &str) -> Option<Self> {
        Some(match class.rsplit('.').next()? {
            "Identity" => Self::Identity,
            "Tanh" => Self::Tanh,
            "ReLU" => Self::Relu,
            "GELU" => Self::Gelu,
            "Sigmoid" => Self::Sigmoid,
            "SiLU" => Self::Silu,
            _ => return None,
        })
    }

    fn apply(self, vectors: Tensor) -> candle_core::Result<Tensor> {
        match self {
            Self::Identity => Ok(vectors),
            Self::Tanh => vectors.tanh(),
            Self::Relu => vectors.relu(),
            Self::Gelu => vectors.gelu_erf(),
            Self::Sigmoid => candle_nn::ops::sigmoid(&vectors),
            Self::Silu => vectors.silu(),
        }
    }
}
