//! BERT sentence encoders, such as all-MiniLM-L6-v2 (<https://arxiv.org/abs/1908.10084>).
//!
//! Tokens `[texts, tokens]` go through BERT to `[texts, tokens, hidden]`; the vector of a text is what the folder says
//! ([`Sentence`]), the mean over its own tokens for one, scaled to length 1. Texts are sorted by length before they are put into batches, so that little is spent on
//! padding.

use std::borrow::Cow;
use std::path::Path;

use candle_core::{Device, Tensor};
use candle_transformers::models::bert::{BertModel, Config};
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::head::Layer;
use super::pooling::Pooling;
use super::sentence::Sentence;
use super::text_encoder::{
    EncodeError, EncoderLoadError, TextEncoder, json, normalize, token_ids, tokenizer, weights,
};

/// 64 short texts of 16 tokens keep the matrices of a layer within a core's cache.
const BATCH: usize = 64;
/// `[CLS]`, `[SEP]` and one token of text.
const MIN_TOKENS: usize = 3;

/// What sentence-transformers writes in addition to BERT's own configuration.
#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// A BERT model with its tokenizer.
pub struct Bert {
    model: BertModel,
    device: Device,
    tokenizer: Tokenizer,
    pooling: Pooling,
    head: Vec<Layer>,
    prompt: String,
    lower_case: bool,
    dimension: usize,
    vocabulary: usize,
    padding: u32,
}

impl Bert {
    /// Loads a folder in the layout of sentence-transformers.
    pub(super) fn load(sentence: Sentence, device: Device) -> Result<Self, EncoderLoadError> {
        let folder = &sentence.transformer;
        let pooling = sentence.pooling.unwrap_or_default();
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
        if !pooling.fits(config.hidden_size) {
            let expected = "`word_embedding_dimension` of the pooling must be that";
            return Err(wrong("hidden_size", config.hidden_size, expected));
        }
        let of_sentences = SentenceConfig::read(folder)?;
        let max_tokens = of_sentences.max_tokens(&config);
        if max_tokens < MIN_TOKENS {
            return Err(wrong(
                "max_position_embeddings",
                max_tokens,
                "at least 3 tokens are needed",
            ));
        }
        let tokenizer = tokenizer(&folder.join("tokenizer.json"), max_tokens)?;
        let path = folder.join("model.safetensors");
        let model = BertModel::load(weights(&path, &device)?, &config).map_err(|source| {
            EncoderLoadError::Weights {
                path: path.clone(),
                source,
            }
        })?;
        let mut dimension = pooling.dimension(config.hidden_size);
        let mut head = Vec::with_capacity(sentence.head.len());
        for step in &sentence.head {
            let (layer, width) = step.load(dimension, &device)?;
            head.push(layer);
            dimension = width;
        }
        Ok(Self {
            model,
            device,
            tokenizer,
            pooling,
            head,
            prompt: sentence.prompt,
            lower_case: of_sentences.do_lower_case,
            dimension,
            vocabulary: config.vocab_size,
            padding: config.pad_token_id as u32,
        })
    }

    /// A text as the model was trained to read it.
    fn prepared<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match (self.prompt.as_str(), self.lower_case) {
            ("", false) => Cow::Borrowed(text),
            (prompt, false) => Cow::Owned(format!("{prompt}{text}")),
            (prompt, true) => Cow::Owned(format!("{prompt}{text}").to_lowercase()),
        }
    }

    /// One vector a text of the batch, not yet normalized.
    fn embed(&self, batch: &[&[u32]]) -> candle_core::Result<Vec<f32>> {
        let longest = batch.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let mut ids = vec![self.padding; batch.len() * longest];
        let mut mask = vec![0f32; batch.len() * longest];
        for (row, text) in batch.iter().enumerate() {
            let at = row * longest;
            ids[at..at + text.len()].copy_from_slice(text);
            mask[at..at + text.len()].fill(1.0);
        }
        let shape = (batch.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &self.device)?;
        let mask = Tensor::from_vec(mask, shape, &self.device)?;
        let states = self.model.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let lengths: Vec<usize> = batch.iter().map(|text| text.len()).collect();
        let mut vectors = self.pooling.pool(&states, &lengths)?;
        for layer in &self.head {
            vectors = layer.forward(&vectors)?;
        }
        vectors.flatten_all()?.to_vec1()
    }
}

impl SentenceConfig {
    fn read(folder: &Path) -> Result<Self, EncoderLoadError> {
        let path = folder.join("sentence_bert_config.json");
        match path.exists() {
            true => json(&path),
            false => Ok(Self::default()),
        }
    }

    /// The shorter of what the model can and what it was trained for.
    fn max_tokens(&self, config: &Config) -> usize {
        let most = config.max_position_embeddings;
        self.max_seq_length.map_or(most, |trained| trained.min(most))
    }
}

impl TextEncoder for Bert {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        let prepared: Vec<Cow<'_, str>> = texts.iter().map(|text| self.prepared(text)).collect();
        let prepared: Vec<&str> = prepared.iter().map(Cow::as_ref).collect();
        let ids = token_ids(&self.tokenizer, &prepared, self.vocabulary)?;
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&text| ids[text].len());
        let mut vectors = vec![0.0; texts.len() * self.dimension];
        for batch in order.chunks(BATCH) {
            let batch_ids: Vec<&[u32]> = batch.iter().map(|&text| ids[text].as_slice()).collect();
            let embedded = self.embed(&batch_ids)?;
            for (&text, vector) in batch.iter().zip(embedded.chunks_exact(self.dimension)) {
                vectors[text * self.dimension..][..self.dimension].copy_from_slice(vector);
            }
        }
        normalize(&mut vectors, self.dimension);
        Ok(vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::encoder;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn real_weights_put_like_texts_near_each_other() {
        let Some(folder) = std::env::var_os("GONDOLA_ENCODER") else {
            println!(
                "not checked: GONDOLA_ENCODER names no folder with a sentence encoder (`make test` sets it)"
            );
            return;
        };
        let encoder = encoder::load(Path::new(&folder), Default::default()).unwrap();
        let texts = [
            "whole milk gallon",
            "skim milk half gallon",
            "",
            "motor oil 5w30",
            "a longer text, so that rows are padded",
        ];
        let vectors = encoder.encode(&texts).unwrap();
        let rows: Vec<&[f32]> = vectors.chunks_exact(encoder.dimension()).collect();
        assert_eq!(rows.len(), texts.len());
        assert!(rows.iter().all(|row| (cosine(row, row) - 1.0).abs() < 1e-5));
        assert!(
            cosine(rows[0], rows[1]) > 0.6 && cosine(rows[0], rows[3]) < 0.4,
            "milk is like milk"
        );
        for (text, row) in texts.iter().zip(&rows) {
            let alone = encoder.encode(&[text]).unwrap();
            assert!(
                cosine(&alone, row) > 0.9999,
                "`{text}` alone and in a batch are the same"
            );
        }
    }

    #[test]
    fn texts_above_the_models_length_are_cut() {
        let Some(folder) = std::env::var_os("GONDOLA_ENCODER") else {
            return;
        };
        let encoder = encoder::load(Path::new(&folder), Default::default()).unwrap();
        let (long, longer) = ("bread ".repeat(300), "bread ".repeat(1000));
        assert_eq!(
            encoder.encode(&[&long]).unwrap(),
            encoder.encode(&[&longer]).unwrap()
        );
    }
}
