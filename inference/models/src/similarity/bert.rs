//! BERT (<https://arxiv.org/abs/1810.04805>), the transformer of most sentence encoders.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_transformers::models::bert::{BertModel, Config};

use super::text_encoder::{EncodeError, EncoderLoadError, json, weights};
use super::tokens::{Output, TokenModel, Tokens, Vocabulary};

/// A BERT model.
pub(super) struct Bert {
    model: BertModel,
    device: Device,
    hidden: usize,
    vocabulary: Vocabulary,
}

impl Bert {
    /// Loads `config.json` and `model.safetensors` of a folder.
    pub(super) fn load(folder: &Path, device: Device) -> Result<Self, EncoderLoadError> {
        let path = folder.join("config.json");
        let config: Config = json(&path)?;
        let wrong = |field, value: usize, expected: &str| EncoderLoadError::Field {
            path: path.clone(),
            field,
            value: value.to_string(),
            expected: expected.to_owned(),
        };
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(wrong(
                "num_attention_heads",
                config.num_attention_heads,
                "it must divide `hidden_size`",
            ));
        }
        if config.pad_token_id >= config.vocab_size {
            return Err(wrong(
                "pad_token_id",
                config.pad_token_id,
                "it must be in the vocabulary",
            ));
        }
        let path = folder.join("model.safetensors");
        let model = BertModel::load(weights(&path, &device)?, &config)
            .map_err(|source| EncoderLoadError::Weights { path, source })?;
        Ok(Self {
            model,
            device,
            hidden: config.hidden_size,
            vocabulary: Vocabulary {
                size: config.vocab_size,
                padding: config.pad_token_id as u32,
                longest: config.max_position_embeddings,
            },
        })
    }
}

impl TokenModel for Bert {
    fn output(&self) -> Output {
        Output::States { hidden: self.hidden }
    }

    fn vocabulary(&self) -> Vocabulary {
        self.vocabulary
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn run(&self, tokens: &Tokens) -> Result<Tensor, EncodeError> {
        let ids = Tensor::from_slice(&tokens.ids, tokens.shape(), &self.device)?;
        let mask = Tensor::from_vec(tokens.mask(0_f32, 1.0), tokens.shape(), &self.device)?;
        Ok(self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?)
    }
}
