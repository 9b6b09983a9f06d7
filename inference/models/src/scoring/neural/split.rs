//! Serving of models whose first layer reads all inputs side by side.
//!
//! A first layer is a sum over its inputs, so it splits exactly into what the user brings (once a request), what the item
//! brings (once an item, kept in its block) and what the pair brings, which is all that is left for every candidate:
//!
//! ```text
//! x W + b = (user W_u + b) + item W_i + pair W_p
//! ```
//!
//! What follows the first layer is the family's own: its [`Head`].

use std::cell::RefCell;

use super::InputShape;
use super::embeddings::EmbeddingTables;
use crate::dense::{Activation, Linear, Matrix, Rows, RowsMut, Start, prefetch};
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, push_probabilities};

/// Items prepared at a time.
const PREPARED_AT_A_TIME: usize = 64;

/// Candidates scored at a time: all that is between two layers stays in the second-level cache.
pub(crate) const SCORED_AT_A_TIME: usize = 256;

/// How many candidates ahead memory is asked for an item's part of the first layer.
const AHEAD: usize = 8;

/// A first layer, a matrix for each group of its inputs.
#[derive(Clone, Debug)]
pub(crate) struct FirstLayer {
    user: Matrix,
    item: Matrix,
    pair: Matrix,
    bias: Vec<f32>,
    follows: Activation,
}

impl FirstLayer {
    /// Splits a layer over inputs that are as [`InputShape::width`] says.
    pub(crate) fn split(
        weights: &Matrix,
        bias: &[f32],
        shape: &InputShape,
        embedding_dim: usize,
        follows: Activation,
    ) -> Self {
        let user = shape.user_width(embedding_dim);
        let item = user + shape.item_width(embedding_dim);
        Self {
            user: weights.of_inputs(0..user),
            item: weights.of_inputs(user..item),
            pair: weights.of_inputs(item..item + shape.pair),
            bias: bias.to_vec(),
            follows,
        }
    }

    /// Splits the first of some layers of an MLP; gives those that are left too.
    pub(crate) fn of_mlp(
        mut layers: Vec<Linear>,
        shape: &InputShape,
        embedding_dim: usize,
    ) -> (Self, Vec<Linear>) {
        let first = layers.remove(0);
        let follows = match layers.is_empty() {
            true => Activation::None,
            false => Activation::Relu,
        };
        let split = Self::split(first.weights(), first.bias(), shape, embedding_dim, follows);
        (split, layers)
    }

    /// Width of what comes out.
    pub(crate) fn width(&self) -> usize {
        self.bias.len()
    }

    /// What the user brings, and the bias.
    fn run_user(&self, input: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&self.bias);
        self.user.add_row(input, out);
    }

    /// The layer's output for each candidate, `[candidates, width]`.
    fn run(&self, user: &[f32], blocks: &[&[f32]], pairs: &[f32], out: &mut Vec<f32>) {
        let width = self.width();
        out.clear();
        for (position, block) in blocks.iter().enumerate() {
            if let Some(ahead) = blocks.get(position + AHEAD) {
                prefetch(&ahead[..width]);
            }
            out.extend(user.iter().zip(&block[..width]).map(|(user, item)| user + item));
        }
        let x = Rows {
            values: pairs,
            stride: self.pair.inputs(),
        };
        let out = RowsMut {
            values: out,
            stride: width,
        };
        self.pair
            .multiply(blocks.len(), x, Start::Output, self.follows, out);
    }
}

/// Some candidates of a request, as a head sees them.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// The user's row.
    pub(crate) user: &'a EncodedRow,
    /// The user's embeddings and numbers side by side.
    pub(crate) user_input: &'a [f32],
    /// What [`Head::prepare`] made of each candidate stands behind `first_width` values.
    blocks: &'a [&'a [f32]],
    first_width: usize,
    /// Features of each pair, `[candidates, pair features]`.
    pairs: &'a [f32],
    pair_width: usize,
}

impl<'a> Chunk<'a> {
    /// Number of candidates.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// For each candidate, what [`Head::prepare`] made of the item, and the features of the pair.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (&'a [f32], &'a [f32])> {
        let Self {
            blocks,
            first_width,
            pairs,
            pair_width,
            ..
        } = *self;
        let candidates = blocks.iter().enumerate();
        candidates.map(move |(at, block)| {
            (
                &block[first_width..],
                &pairs[at * pair_width..(at + 1) * pair_width],
            )
        })
    }
}

/// Buffers that a head works in.
#[derive(Default)]
pub(crate) struct HeadBuffers {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    pub(crate) third: Vec<f32>,
    pub(crate) fourth: Vec<f32>,
    pub(crate) fifth: Vec<f32>,
    pub(crate) hashes: Vec<u32>,
}

/// What follows the first layer.
pub(crate) trait Head: Send + Sync {
    /// How many values it keeps for each item.
    fn block_width(&self) -> usize;

    /// Fills `out` with what it needs to know of the item of a row, whose embeddings and numbers are `input`.
    fn prepare(&self, items: &EncodedTable, row: usize, input: &[f32], out: &mut [f32]);

    /// Turns the first layer's output for each candidate, `[candidates, width]`, into logits, `[candidates]`.
    fn logits(&self, chunk: Chunk<'_>, hidden: &mut Vec<f32>, head_buffers: &mut HeadBuffers);
}

/// A model of a first layer and a head, which serves.
pub struct SplitScorer<H> {
    shape: InputShape,
    tables: EmbeddingTables,
    first: FirstLayer,
    head: H,
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    user_input: Vec<f32>,
    user_first: Vec<f32>,
    hidden: Vec<f32>,
    head_buffers: HeadBuffers,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl<H> SplitScorer<H> {
    pub(crate) fn new(shape: InputShape, tables: EmbeddingTables, first: FirstLayer, head: H) -> Self {
        Self {
            shape,
            tables,
            first,
            head,
        }
    }
}

impl<H: Head> Scorer for SplitScorer<H> {
    fn block_width(&self) -> usize {
        self.first.width() + self.head.block_width()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        self.shape.check_items(items);
        let (width, first_width) = (self.block_width(), self.first.width());
        assert_eq!(out.len(), items.rows() * width, "blocks of another width");
        let mut inputs = Vec::new();
        for (chunk, blocks) in out.chunks_mut(PREPARED_AT_A_TIME * width).enumerate() {
            inputs.clear();
            for (position, block) in blocks.chunks_exact_mut(width).enumerate() {
                let (row, start) = (chunk * PREPARED_AT_A_TIME + position, inputs.len());
                self.tables.push_item(items, row, &mut inputs);
                let (first, kept) = block.split_at_mut(first_width);
                first.fill(0.0);
                self.head.prepare(items, row, &inputs[start..], kept);
            }
            let x = Rows {
                values: &inputs,
                stride: self.first.item.inputs(),
            };
            let rows = blocks.len() / width;
            let blocks = RowsMut {
                values: blocks,
                stride: width,
            };
            self.first
                .item
                .multiply(rows, x, Start::Output, Activation::None, blocks);
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.shape.check_request(user, candidates)?;
        let pair_width = self.shape.pair;
        scores.clear();
        BUFFERS.with_borrow_mut(|buffers| {
            let Buffers {
                user_input,
                user_first,
                hidden,
                head_buffers,
            } = buffers;
            user_input.clear();
            self.tables.push_user(user, user_input);
            self.first.run_user(user_input, user_first);
            for (chunk, blocks) in candidates.blocks.chunks(SCORED_AT_A_TIME).enumerate() {
                let pairs = &candidates.pairs[chunk * SCORED_AT_A_TIME * pair_width..];
                self.first.run(user_first, blocks, pairs, hidden);
                let chunk = Chunk {
                    user,
                    user_input,
                    blocks,
                    first_width: self.first.width(),
                    pairs,
                    pair_width,
                };
                self.head.logits(chunk, hidden, head_buffers);
                push_probabilities(hidden, scores);
            }
        });
        check_numbers(scores)
    }
}
