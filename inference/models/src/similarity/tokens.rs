//! Models of tokens: what turns the tokens of texts into states, or into vectors at once.

use candle_core::{Device, Tensor};

use super::text_encoder::EncodeError;

/// Texts as tokens, padded to the longest: `[texts, longest]`.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Row-major.
    pub(super) ids: Vec<u32>,
    /// How many of a row are its text's own.
    pub(super) lengths: Vec<usize>,
    /// The length of a row.
    pub(super) longest: usize,
}

impl Tokens {
    /// Pads texts with a token.
    pub(super) fn of(texts: &[&[u32]], padding: u32) -> Self {
        let longest = texts.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let mut ids = vec![padding; texts.len() * longest];
        for (row, text) in ids.chunks_exact_mut(longest.max(1)).zip(texts) {
            row[..text.len()].copy_from_slice(text);
        }
        Self {
            ids,
            lengths: texts.iter().map(|ids| ids.len()).collect(),
            longest,
        }
    }

    /// `[texts, longest]`.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.lengths.len(), self.longest)
    }

    /// 1 where a token is a text's own, and 0 where it is padding.
    pub(super) fn mask<T: Copy>(&self, zero: T, one: T) -> Vec<T> {
        let mut mask = vec![zero; self.ids.len()];
        for (row, length) in mask.chunks_exact_mut(self.longest.max(1)).zip(&self.lengths) {
            row[..*length].fill(one);
        }
        mask
    }
}

/// What a model makes of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// A state a token, `[texts, longest, hidden]`, of which a text's vector is yet to be made.
    States {
        /// The length of a state.
        hidden: usize,
    },
    /// A vector a text, `[texts, width]`.
    Vectors {
        /// Its length.
        width: usize,
    },
}

/// What is known of a model's tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vocabulary {
    /// How many tokens the model knows.
    pub(super) size: usize,
    /// What stands behind a text.
    pub(super) padding: u32,
    /// How many tokens a text may have.
    pub(super) longest: usize,
}

/// A model of tokens.
pub(super) trait TokenModel: Send + Sync {
    /// What it makes.
    fn output(&self) -> Output;
    /// Which tokens it takes.
    fn vocabulary(&self) -> Vocabulary;
    /// Where its output is.
    fn device(&self) -> &Device;
    /// The output for some texts.
    fn run(&self, tokens: &Tokens) -> Result<Tensor, EncodeError>;
}
