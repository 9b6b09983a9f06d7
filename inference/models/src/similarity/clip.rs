//! The text half of CLIP (<https://arxiv.org/abs/2103.00020>), FashionCLIP among others.
//!
//! Tokens `[texts, 77]` go through a causal transformer to `[texts, tokens, hidden]`; the state at the end-of-text token
//! is projected to `[texts, projection]` and scaled to length 1. What stands after that token can't be seen from it, so
//! a batch is cut after its last one.
//!
//! Where end-of-text stands: configurations of old have `eos_token_id: 2`, which no tokenizer used; there it is the
//! token with the highest id, and otherwise the first that has the configured id.

use std::path::{Path, PathBuf};

use candle_core::{Device, Module, Tensor};
use candle_nn::Linear;
use candle_transformers::models::clip::text_model::{Activation, ClipTextConfig, ClipTextTransformer};
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::text_encoder::{
    EncodeError, EncoderLoadError, TextEncoder, json, normalize, token_ids, tokenizer, weights,
};

/// 64 texts of up to 77 tokens.
const BATCH: usize = 64;
/// Start, end and one token of text.
const MIN_TOKENS: usize = 3;
/// What configurations say that were written before the field meant anything.
const LEGACY_EOS: u32 = 2;

/// `config.json` of a whole CLIP model, or of its text half alone.
#[derive(Deserialize)]
struct Config {
    text_config: Option<TextConfig>,
    #[serde(flatten)]
    itself: TextConfig,
}

/// The text half; what is absent has the value of CLIP ViT-B/32, as in Hugging Face's library.
#[derive(Deserialize)]
#[serde(default)]
struct TextConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    projection_dim: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: usize,
    hidden_act: String,
    eos_token_id: u32,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49_408,
            hidden_size: 512,
            intermediate_size: 2048,
            projection_dim: 512,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".to_owned(),
            eos_token_id: LEGACY_EOS,
        }
    }
}

/// The tokenizer's own configuration; only its padding matters here.
#[derive(Deserialize)]
struct TokenizerConfig {
    pad_token: Option<String>,
}

/// A CLIP text model with its tokenizer.
pub struct Clip {
    model: ClipTextTransformer,
    device: Device,
    projection: Linear,
    tokenizer: Tokenizer,
    padding: u32,
    tokens: usize,
    end_of_text: u32,
    vocabulary: usize,
    dimension: usize,
}

impl Clip {
    /// Loads a folder in Hugging Face's layout onto a device.
    pub fn load(folder: &Path, device: Device) -> Result<Self, EncoderLoadError> {
        let path = folder.join("config.json");
        let Config { text_config, itself } = json(&path)?;
        // The projection belongs to the pair of text and image, so the outer configuration decides.
        let dimension = itself.projection_dim;
        let config = checked(text_config.unwrap_or(itself), &path)?;
        let tokens = config.max_position_embeddings;
        let tokenizer = tokenizer(&folder.join("tokenizer.json"), tokens)?;
        let padding = padding(folder, &tokenizer)?;
        let path = folder.join("model.safetensors");
        let vars = weights(&path, &device)?;
        let failed = |source| EncoderLoadError::Weights {
            path: path.clone(),
            source,
        };
        let model = ClipTextTransformer::new(vars.pp("text_model"), &shape(&config)).map_err(failed)?;
        let projection = candle_nn::linear_no_bias(config.hidden_size, dimension, vars.pp("text_projection"));
        let (end_of_text, vocabulary) = (config.eos_token_id, config.vocab_size);
        Ok(Self {
            model,
            device,
            projection: projection.map_err(failed)?,
            tokenizer,
            padding,
            tokens,
            end_of_text,
            vocabulary,
            dimension,
        })
    }

    /// The tokens of every text, padded to the model's length.
    fn padded_ids(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, EncodeError> {
        let mut ids = token_ids(&self.tokenizer, texts, self.vocabulary)?;
        ids.iter_mut()
            .for_each(|ids| ids.resize(self.tokens, self.padding));
        Ok(ids)
    }

    /// Where the state stands that speaks for the whole text.
    fn end(&self, ids: &[u32]) -> usize {
        let wanted = if self.end_of_text == LEGACY_EOS {
            ids.iter().max().copied()
        } else {
            Some(self.end_of_text)
        };
        ids.iter().position(|&id| Some(id) == wanted).unwrap_or(0)
    }

    /// `[texts, projection]`, not yet normalized.
    fn embed(&self, batch: &[Vec<u32>]) -> candle_core::Result<Vec<f32>> {
        let ends: Vec<usize> = batch.iter().map(|ids| self.end(ids)).collect();
        let longest = ends.iter().max().map_or(1, |end| end + 1);
        let ids: Vec<u32> = batch.iter().flat_map(|ids| &ids[..longest]).copied().collect();
        let ids = Tensor::from_vec(ids, (batch.len(), longest), &self.device)?;
        let states = self.model.forward_with_mask(&ids, usize::MAX)?;
        let rows: Vec<u32> = ends
            .iter()
            .enumerate()
            .map(|(row, end)| (row * longest + end) as u32)
            .collect();
        let rows = Tensor::from_vec(rows, batch.len(), &self.device)?;
        let pooled = states.flatten(0, 1)?.index_select(&rows, 0)?;
        self.projection.forward(&pooled)?.flatten_all()?.to_vec1()
    }
}

impl TextEncoder for Clip {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        let ids = self.padded_ids(texts)?;
        let mut vectors = Vec::with_capacity(texts.len() * self.dimension);
        for batch in ids.chunks(BATCH) {
            vectors.extend(self.embed(batch)?);
        }
        normalize(&mut vectors, self.dimension);
        Ok(vectors)
    }
}

fn checked(config: TextConfig, path: &Path) -> Result<TextConfig, EncoderLoadError> {
    let wrong = |field, value: String, expected: &str| {
        Err(EncoderLoadError::Field {
            path: path.to_owned(),
            field,
            value,
            expected: expected.to_owned(),
        })
    };
    let heads = config.num_attention_heads;
    if heads == 0 || !config.hidden_size.is_multiple_of(heads) {
        return wrong(
            "num_attention_heads",
            heads.to_string(),
            "it must divide `hidden_size`",
        );
    }
    if config.hidden_act != "quick_gelu" {
        return wrong("hidden_act", config.hidden_act, "only `quick_gelu` is supported");
    }
    if config.max_position_embeddings < MIN_TOKENS {
        let tokens = config.max_position_embeddings.to_string();
        return wrong("max_position_embeddings", tokens, "at least 3 tokens are needed");
    }
    Ok(config)
}

fn shape(config: &TextConfig) -> ClipTextConfig {
    ClipTextConfig {
        vocab_size: config.vocab_size,
        embed_dim: config.hidden_size,
        activation: Activation::QuickGelu,
        intermediate_size: config.intermediate_size,
        max_position_embeddings: config.max_position_embeddings,
        pad_with: None,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        projection_dim: config.projection_dim,
    }
}

/// The token that fills a row up: what the folder says, or CLIP's end-of-text.
fn padding(folder: &Path, tokenizer: &Tokenizer) -> Result<u32, EncoderLoadError> {
    let path: PathBuf = folder.join("tokenizer_config.json");
    let named = if path.exists() {
        json::<TokenizerConfig>(&path)?.pad_token
    } else {
        None
    };
    let token = named.unwrap_or_else(|| "<|endoftext|>".to_owned());
    tokenizer
        .token_to_id(&token)
        .ok_or_else(|| EncoderLoadError::Field {
            path,
            field: "pad_token",
            value: token,
            expected: "the tokenizer must know it".to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::encoder;

    #[derive(Deserialize)]
    struct Expected {
        texts: Vec<String>,
        input_ids: Vec<Vec<u32>>,
        text_embeds: Vec<Vec<f32>>,
        text_embeds_l2: Vec<Vec<f32>>,
    }

    fn fixture() -> (PathBuf, Expected) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clip");
        let expected = json(&folder.join("expected.json")).unwrap();
        (folder, expected)
    }

    #[track_caller]
    fn check_near(found: &[f32], expected: &[Vec<f32>]) {
        let expected: Vec<f32> = expected.concat();
        assert_eq!(found.len(), expected.len());
        let worst = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst < 1e-4, "off by {worst}");
    }

    #[test]
    fn tokens_and_vectors_equal_those_of_transformers() {
        let (folder, expected) = fixture();
        let clip = Clip::load(&folder, Device::Cpu).unwrap();
        let texts: Vec<&str> = expected.texts.iter().map(String::as_str).collect();
        let ids = clip.padded_ids(&texts).unwrap();
        for (text, (ids, expected)) in texts.iter().zip(ids.iter().zip(&expected.input_ids)) {
            assert_eq!(ids, expected, "{text}");
        }
        check_near(&clip.embed(&ids).unwrap(), &expected.text_embeds);
        check_near(&clip.encode(&texts).unwrap(), &expected.text_embeds_l2);
    }

    #[test]
    fn the_folder_says_that_it_is_clip() {
        let (folder, expected) = fixture();
        let encoder = encoder::load(&folder, Default::default()).unwrap();
        assert_eq!(encoder.dimension(), 16);
        check_near(
            &encoder.encode(&[&expected.texts[0]]).unwrap(),
            &expected.text_embeds_l2[..1],
        );
    }

    #[test]
    fn each_missing_file_is_named() {
        let (from, _) = fixture();
        for missing in ["config.json", "tokenizer.json", "model.safetensors"] {
            let folder = tempfile::tempdir().unwrap();
            for file in [
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                "model.safetensors",
            ] {
                if file != missing {
                    std::fs::copy(from.join(file), folder.path().join(file)).unwrap();
                }
            }
            let message = encoder::load(folder.path(), Default::default())
                .err()
                .unwrap()
                .to_string();
            assert!(
                message.contains(&format!("{missing}: cannot be read")),
                "{message}"
            );
        }
    }
}
