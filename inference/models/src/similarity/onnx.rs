//! The transformer of a text encoder as ONNX: of any family that Hugging Face's tokenizers read, run by ONNX Runtime.
//!
//! Exports of Optimum and of sentence-transformers are taken as they are: `model.onnx`, beside `config.json` or in `onnx/`, which reads
//! `input_ids` and, if it wants them, `attention_mask`, `token_type_ids` and `position_ids` (`[texts, tokens]`, whole numbers). What it gives is
//! `sentence_embedding` or `text_embeds`, a vector a text, or else states (`last_hidden_state`, `token_embeddings`), which the folder's pooling
//! makes vectors of; with other names, the only output that has either shape.

use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::{Device, Tensor};
use gondola_onnx::{Element, Limits, Network, Port, RunError, Tensor as Filled, Values};
use serde::Deserialize;

use super::text_encoder::{EncodeError, EncoderLoadError, json};
use super::tokens::{Output, TokenModel, Tokens, Vocabulary};

/// The model's file.
pub(super) const FILE: &str = "model.onnx";
/// Where exporters put it.
const FOLDERS: [&str; 2] = ["", "onnx"];
/// Outputs that are vectors, and those that are states, by the names that exporters give them.
const VECTORS: [&str; 3] = ["sentence_embedding", "text_embeds", "text_embedding"];
const STATES: [&str; 2] = ["last_hidden_state", "token_embeddings"];
/// What a run may take: a batch of long texts takes seconds where nobody waits for it, and a request has a deadline of its own.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(30),
    weights: 1 << 30,
};
/// Tokens of a text where the configuration says nothing.
const USUAL_TOKENS: usize = 512;
/// Families whose positions begin behind that of padding.
const SHIFTED: [&str; 5] = ["roberta", "xlm-roberta", "camembert", "mpnet", "longformer"];

/// `config.json`, as far as it is read: of the model, or of the text half of one.
#[derive(Deserialize)]
struct Config {
    text_config: Option<Sizes>,
    #[serde(flatten)]
    itself: Sizes,
}

#[derive(Deserialize)]
struct Sizes {
    #[serde(default)]
    model_type: String,
    vocab_size: Option<usize>,
    #[serde(alias = "n_positions")]
    max_position_embeddings: Option<usize>,
    #[serde(default)]
    pad_token_id: Option<u32>,
}

/// A transformer that ONNX Runtime runs.
#[derive(Debug)]
pub(super) struct OnnxModel {
    network: Network,
    /// The name of its output, and what that is.
    output: (String, Output),
    vocabulary: Vocabulary,
}

/// The file of a folder's model, if it has one.
pub(super) fn file(folder: &Path) -> Option<PathBuf> {
    let at = FOLDERS.iter().map(|within| folder.join(within).join(FILE));
    at.into_iter().find(|path| path.exists())
}

impl OnnxModel {
    /// Loads the file of a folder, and runs it once to see what it makes.
    pub(super) fn load(folder: &Path, path: &Path) -> Result<Self, EncoderLoadError> {
        let config: Config = json(&folder.join("config.json"))?;
        let network = Network::load(path, LIMITS).map_err(|source| EncoderLoadError::Network {
            path: path.to_owned(),
            source,
        })?;
        let wrong = |problem: String| EncoderLoadError::Graph {
            path: path.to_owned(),
            problem,
        };
        if let Some(port) = network.inputs().iter().find(|port| !is_filled(port)) {
            return Err(wrong(format!(
                "reads {:?} ({}), but an encoder is given input_ids, attention_mask, token_type_ids and position_ids alone, as int64 or int32",
                port.name, port.element
            )));
        }
        let name = output(network.outputs()).map_err(wrong)?;
        let mut model = Self {
            network,
            output: (name, Output::Vectors { width: 0 }),
            vocabulary: config.vocabulary(),
        };
        // Exporters leave sizes open that do not change.
        let tokens = Tokens::of(&[&[model.vocabulary.padding; 2]], model.vocabulary.padding);
        let (_, shape) = model.values(&tokens).map_err(|error| wrong(error.to_string()))?;
        model.output.1 = match shape[..] {
            [1, 2, hidden] if hidden > 0 => Output::States { hidden },
            [1, width] if width > 0 => Output::Vectors { width },
            _ => {
                return Err(wrong(format!(
                    "gives {:?} of the shape {shape:?} for one text of two tokens; export it with [texts, tokens, hidden] or [texts, width]",
                    model.output.0
                )));
            }
        };
        Ok(model)
    }

    /// The output's values, and their shape.
    fn values(&self, tokens: &Tokens) -> Result<(Vec<f32>, Vec<usize>), RunError> {
        let (texts, longest) = tokens.shape();
        let shape = [texts, longest];
        let filled: Vec<(&Port, Whole)> = self
            .network
            .inputs()
            .iter()
            .map(|port| (port, Whole::of(port, tokens)))
            .collect();
        let tensors: Vec<Filled<'_>> = filled
            .iter()
            .map(|(port, whole)| Filled {
                name: &port.name,
                shape: &shape,
                values: whole.values(),
            })
            .collect();
        let mut out = Vec::new();
        let shape = self.network.run(&tensors, &self.output.0, &mut out)?;
        Ok((out, shape))
    }
}

impl TokenModel for OnnxModel {
    fn output(&self) -> Output {
        self.output.1
    }

    fn vocabulary(&self) -> Vocabulary {
        self.vocabulary
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn run(&self, tokens: &Tokens) -> Result<Tensor, EncodeError> {
        let (values, shape) = self.values(tokens)?;
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }
}

impl Config {
    fn vocabulary(&self) -> Vocabulary {
        let sizes = self.text_config.as_ref().unwrap_or(&self.itself);
        let padding = sizes.pad_token_id.or(self.itself.pad_token_id).unwrap_or(0);
        let positions = sizes.max_position_embeddings.unwrap_or(USUAL_TOKENS);
        let shift = match SHIFTED.contains(&self.itself.model_type.as_str()) {
            true => padding as usize + 1,
            false => 0,
        };
        Vocabulary {
            // ONNX Runtime refuses a token that the table does not have.
            size: sizes.vocab_size.unwrap_or(usize::MAX),
            padding,
            longest: positions.saturating_sub(shift),
        }
    }
}

/// Whole numbers of an input.
enum Whole {
    Long(Vec<i64>),
    Int(Vec<i32>),
}

impl Whole {
    fn of(port: &Port, tokens: &Tokens) -> Self {
        let values: Vec<u32> = match port.name.as_str() {
            "attention_mask" => tokens.mask(0, 1),
            "token_type_ids" => vec![0; tokens.ids.len()],
            "position_ids" => tokens
                .lengths
                .iter()
                .flat_map(|_| 0..tokens.longest as u32)
                .collect(),
            _ => tokens.ids.clone(),
        };
        match port.element {
            Element::Int32 => Self::Int(values.into_iter().map(|value| value as i32).collect()),
            _ => Self::Long(values.into_iter().map(i64::from).collect()),
        }
    }

    fn values(&self) -> Values<'_> {
        match self {
            Self::Long(values) => Values::Int64(values),
            Self::Int(values) => Values::Int32(values),
        }
    }
}

fn is_filled(port: &Port) -> bool {
    let known = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];
    known.contains(&port.name.as_str()) && matches!(port.element, Element::Int64 | Element::Int32)
}

/// The name of the output that is read.
fn output(outputs: &[Port]) -> Result<String, String> {
    let named = |names: &[&str]| {
        let found = |name: &&str| outputs.iter().find(|port| port.name == **name);
        names.iter().find_map(found)
    };
    if let Some(port) = named(&VECTORS).or_else(|| named(&STATES)) {
        return Ok(port.name.clone());
    }
    let all: Vec<&str> = outputs.iter().map(|port| port.name.as_str()).collect();
    match outputs {
        [only] => Ok(only.name.clone()),
        _ => Err(format!(
            "gives {all:?}, of which none is called {VECTORS:?} or {STATES:?}; export one of them, or one output alone"
        )),
    }
}
