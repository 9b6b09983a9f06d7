//! Pooling: from `[texts, tokens, hidden]` to one vector a text.
//!
//! Every mode but the maximum is a weighted sum over a text's own tokens: `[texts, 1, tokens] x [texts, tokens, hidden]`.

use std::path::Path;

use candle_core::Tensor;
use serde::Deserialize;

use super::text_encoder::{EncoderLoadError, json};

/// Where padding stands for the maximum: below whatever a token's state can be.
const LOWEST: f64 = -1e9;

/// How tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The first token's state, which is `[CLS]`.
    First,
    Maximum,
    Mean,
    /// The sum divided by the root of the number of tokens.
    MeanOfRoot,
    /// A token counts by its place.
    WeightedMean,
    Last,
}

/// The modes of a folder, whose vectors are put behind each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pooling {
    modes: Vec<Mode>,
    includes_prompt: bool,
    /// The width that the folder says; 0 where it says none.
    hidden: usize,
}

impl Default for Pooling {
    fn default() -> Self {
        Self {
            modes: vec![Mode::Mean],
            includes_prompt: true,
            hidden: 0,
        }
    }
}

/// `1_Pooling/config.json`: a flag a mode, or names of modes.
#[derive(Deserialize)]
struct Config {
    #[serde(alias = "embedding_dimension", default)]
    word_embedding_dimension: usize,
    pooling_mode: Option<Names>,
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_max_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
    #[serde(default)]
    pooling_mode_mean_sqrt_len_tokens: bool,
    #[serde(default)]
    pooling_mode_weightedmean_tokens: bool,
    #[serde(default)]
    pooling_mode_lasttoken: bool,
    include_prompt: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Names {
    One(String),
    Several(Vec<String>),
}

impl Pooling {
    /// Reads a module's configuration.
    pub(super) fn read(path: &Path) -> Result<Self, EncoderLoadError> {
        let config: Config = json(path)?;
        let modes = config.modes().map_err(|value| EncoderLoadError::Field {
            path: path.to_owned(),
            field: "pooling_mode",
            value,
            expected: "supported: cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken".to_owned(),
        })?;
        Ok(Self {
            modes,
            includes_prompt: config.include_prompt.unwrap_or(true),
            hidden: config.word_embedding_dimension,
        })
    }

    /// Whether tokens of a prompt count.
    pub(super) fn includes_prompt(&self) -> bool {
        self.includes_prompt
    }

    /// Whether this pools states of such a width.
    pub(super) fn fits(&self, hidden: usize) -> bool {
        self.hidden == 0 || self.hidden == hidden
    }

    /// The length of a vector.
    pub(super) fn dimension(&self, hidden: usize) -> usize {
        self.modes.len() * hidden
    }

    /// `[texts, dimension]` of `states` (`[texts, longest, hidden]`), in which each text has as many tokens as `lengths` says.
    pub(super) fn pool(&self, states: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
        let pooled = self.modes.iter().map(|mode| mode.pool(states, lengths));
        Tensor::cat(&pooled.collect::<candle_core::Result<Vec<_>>>()?, 1)
    }
}

impl Config {
    /// The modes in the order of sentence-transformers, or what they are that can't be done.
    fn modes(&self) -> Result<Vec<Mode>, String> {
        let modes: Vec<Mode> = match &self.pooling_mode {
            Some(Names::One(name)) => vec![Mode::named(name)?],
            Some(Names::Several(names)) => names
                .iter()
                .map(|name| Mode::named(name))
                .collect::<Result<_, _>>()?,
            None => [
                (self.pooling_mode_cls_token, Mode::First),
                (self.pooling_mode_max_tokens, Mode::Maximum),
                (self.pooling_mode_mean_tokens, Mode::Mean),
                (self.pooling_mode_mean_sqrt_len_tokens, Mode::MeanOfRoot),
                (self.pooling_mode_weightedmean_tokens, Mode::WeightedMean),
                (self.pooling_mode_lasttoken, Mode::Last),
            ]
            .into_iter()
            .filter_map(|(set, mode)| set.then_some(mode))
            .collect(),
        };
        match modes.is_empty() {
            true => Err("none".to_owned()),
            false => Ok(modes),
        }
    }
}

impl Mode {
    fn named(name: &str) -> Result<Self, String> {
        match name {
            "cls" => Ok(Self::First),
            "max" => Ok(Self::Maximum),
            "mean" => Ok(Self::Mean),
            "mean_sqrt_len_tokens" => Ok(Self::MeanOfRoot),
            "weightedmean" => Ok(Self::WeightedMean),
            "lasttoken" => Ok(Self::Last),
            other => Err(format!("`{other}`")),
        }
    }

    fn pool(self, states: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
        let (texts, longest, _) = states.dims3()?;
        let mut weights = vec![0.0; texts * longest];
        for (row, length) in weights.chunks_exact_mut(longest).zip(lengths) {
            self.weigh(&mut row[..*length]);
        }
        let weights = Tensor::from_vec(weights, (texts, longest), states.device())?;
        match self {
            Self::Maximum => {
                let padding = ((1.0 - weights)? * LOWEST)?.unsqueeze(2)?;
                states.broadcast_add(&padding)?.max(1)
            }
            _ => weights.unsqueeze(1)?.matmul(states)?.squeeze(1),
        }
    }

    /// Gives each of a text's tokens its weight.
    fn weigh(self, tokens: &mut [f32]) {
        let count = tokens.len() as f32;
        match self {
            Self::First => tokens[..1].fill(1.0),
            Self::Last => tokens.last_mut().into_iter().for_each(|last| *last = 1.0),
            Self::Maximum => tokens.fill(1.0),
            Self::Mean => tokens.fill(1.0 / count),
            Self::MeanOfRoot => tokens.fill(1.0 / count.sqrt()),
            Self::WeightedMean => {
                let sum = count * (count + 1.0) / 2.0;
                for (place, token) in tokens.iter_mut().enumerate() {
                    *token = (place + 1) as f32 / sum;
                }
            }
        }
    }
}
