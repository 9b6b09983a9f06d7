//! Sentence encoders, such as all-MiniLM-L6-v2 (<https://arxiv.org/abs/1908.10084>).
//!
//! Tokens `[texts, tokens]` go through a [model of tokens](super::tokens) to `[texts, tokens, hidden]`; the vector of a text is what the
//! folder says ([`Sentence`]), the mean over its own tokens for one, scaled to length 1. A model that makes vectors itself has done all of that.
//! Texts are sorted by length before they are put into batches, so that little is spent on padding.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use tokenizers::Tokenizer;

use super::head::Layer;
use super::pooling::Pooling;
use super::sentence::Sentence;
use super::text_encoder::{
    EncodeError, EncoderLoadError, TextEncoder, json, normalize, token_ids, tokenizer,
};
use super::tokens::{Output, TokenModel, Tokens};

/// 64 short texts of 16 tokens keep the matrices of a layer within a core's cache.
const BATCH: usize = 64;
/// `[CLS]`, `[SEP]` and one token of text.
const MIN_TOKENS: usize = 3;

/// What sentence-transformers writes in addition to the model's own configuration.
#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// A model with its tokenizer, and what makes its states vectors.
pub(super) struct SentenceEncoder {
    model: Box<dyn TokenModel>,
    tokenizer: Tokenizer,
    /// What follows the model; nothing where it makes vectors itself.
    following: Option<Following>,
    prompt: String,
    lower_case: bool,
    dimension: usize,
}

/// From states to vectors.
struct Following {
    pooling: Pooling,
    head: Vec<Layer>,
}

impl SentenceEncoder {
    /// Joins a model with what its folder says beside it.
    pub(super) fn of(sentence: Sentence, model: Box<dyn TokenModel>) -> Result<Self, EncoderLoadError> {
        let folder = &sentence.transformer;
        let of_sentences = SentenceConfig::read(folder)?;
        let longest = model.vocabulary().longest;
        let max_tokens = of_sentences
            .max_seq_length
            .map_or(longest, |trained| trained.min(longest));
        if max_tokens < MIN_TOKENS {
            return Err(EncoderLoadError::Field {
                path: folder.join("config.json"),
                field: "max_position_embeddings",
                value: max_tokens.to_string(),
                expected: "at least 3 tokens are needed".to_owned(),
            });
        }
        let tokenizer = tokenizer(&folder.join("tokenizer.json"), max_tokens)?;
        let (following, dimension) = match model.output() {
            Output::Vectors { width } => (None, width),
            Output::States { hidden } => {
                let (following, dimension) = Following::load(&sentence, model.as_ref(), hidden)?;
                (Some(following), dimension)
            }
        };
        Ok(Self {
            model,
            tokenizer,
            following,
            prompt: sentence.prompt,
            lower_case: of_sentences.do_lower_case,
            dimension,
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
    fn embed(&self, batch: &[&[u32]]) -> Result<Vec<f32>, EncodeError> {
        let tokens = Tokens::of(batch, self.model.vocabulary().padding);
        let mut vectors = self.model.run(&tokens)?;
        if let Some(Following { pooling, head }) = &self.following {
            vectors = pooling.pool(&vectors, &tokens.lengths)?;
            for layer in head {
                vectors = layer.forward(&vectors)?;
            }
        }
        Ok(vectors.flatten_all()?.to_vec1()?)
    }
}

impl Following {
    /// Loads it, with the length of its vectors.
    fn load(
        sentence: &Sentence,
        model: &dyn TokenModel,
        hidden: usize,
    ) -> Result<(Self, usize), EncoderLoadError> {
        let pooling = sentence.pooling.clone().unwrap_or_default();
        if !pooling.fits(hidden) {
            return Err(EncoderLoadError::Field {
                path: sentence.transformer.join("config.json"),
                field: "hidden_size",
                value: hidden.to_string(),
                expected: "`word_embedding_dimension` of the pooling must be that".to_owned(),
            });
        }
        let mut dimension = pooling.dimension(hidden);
        let mut head = Vec::with_capacity(sentence.head.len());
        for step in &sentence.head {
            let (layer, width) = step.load(dimension, model.device())?;
            head.push(layer);
            dimension = width;
        }
        Ok((Self { pooling, head }, dimension))
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
}

impl TextEncoder for SentenceEncoder {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn encode(&self, texts: &[&str]) -> Result<Vec<f32>, EncodeError> {
        let prepared: Vec<Cow<'_, str>> = texts.iter().map(|text| self.prepared(text)).collect();
        let prepared: Vec<&str> = prepared.iter().map(Cow::as_ref).collect();
        let ids = token_ids(&self.tokenizer, &prepared, self.model.vocabulary().size)?;
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
