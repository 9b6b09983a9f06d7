//! DLRM as it is served: every part of the work is done as seldom as it can be.
//!
//! The first layers of both MLPs are sums over their inputs, so they split exactly:
//!
//! | part | done |
//! |---|---|
//! | top layer 1, products of two of the item's embeddings (or, where they stand side by side, themselves), and its numbers if it reads them | once an item, kept in its block |
//! | bottom layer 1, user's numeric columns; top layer 1, the same of the user's embeddings and numbers | once a request |
//! | products of a user's with an item's embedding, and their part of top layer 1 | once a value of the candidates: see [`values`](super::values) |
//! | bottom layer 1, item's numeric columns and pair features; the other bottom layers; products with the bottom's output; the rest of the top | each candidate |
//!
//! An item's block is `[its part of top layer 1, its numeric columns, the indexes of its embeddings]`. Neither the
//! embeddings nor the item's part of the bottom's first layer are kept: most tables are small enough for the processor's
//! caches, and a few numeric columns are multiplied sooner than a hidden layer is fetched from memory.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use super::DlrmConfig;
use super::arrangement::{Arrangement, Interaction};
use super::layers::{Candidate, FirstBottom, FirstTop, push_met};
use super::values::{ValueLayers, Values};
use crate::dense::{
    Activation, EmbeddingTable, Matrix, Mlp, Rows, RowsMut, Start, Weights, WeightsError, inner_products,
    prefetch,
};
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::neural::embeddings::EmbeddingTables;
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, push_probabilities};

/// Items prepared at a time.
const PREPARED_AT_A_TIME: usize = 64;

/// Candidates scored at a time: all that is between two layers stays in the second-level cache.
const SCORED_AT_A_TIME: usize = 256;

/// How many candidates ahead memory is asked for an item's part of the first top layer.
const AHEAD: usize = 8;

/// A DLRM that serves.
pub struct DlrmScorer {
    config: DlrmConfig,
    user: Vec<EmbeddingTable>,
    item: ValueLayers,
    bottom_first: FirstBottom,
    bottom_rest: Mlp,
    top_first: FirstTop,
    top_rest: Mlp,
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    embeddings: Vec<f32>,
    products: Vec<f32>,
    user_bottom: Vec<f32>,
    user_top: Vec<f32>,
    /// The user's embeddings, `[dim, user columns]`.
    user: Matrix,
    values: Values,
    bottom: Vec<f32>,
    spare: Vec<f32>,
    candidates: Vec<f32>,
    top: Vec<f32>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl DlrmScorer {
    /// Reads the weights that [`super::Dlrm`] left.
    pub fn load(path: &Path, config: &DlrmConfig) -> Result<Self, WeightsError> {
        let weights = Weights::read(path)?;
        check_arrangement(&weights, config)?;
        let (arrangement, users) = (config.arrangement, config.shape.user_categorical.len());
        let tables =
            EmbeddingTables::named(&weights, &config.shape, config.embedding_dim, |side, column| {
                arrangement.table(side, column, users)
            })?;
        let mut bottom = weights.named_layers(&config.bottom_widths(), |at| arrangement.bottom(at))?;
        let last = config.top.len();
        let mut top = weights.named_layers(&config.top_widths(), |at| arrangement.top(at, last))?;
        let (bottom_first, top_first) = (bottom.remove(0), top.remove(0));
        Ok(Self {
            user: tables.user,
            item: ValueLayers::new(tables.item, &top_first, config),
            bottom_first: FirstBottom::split(&bottom_first, config),
            bottom_rest: Mlp::new(bottom, Activation::Relu),
            top_first: FirstTop::split(&top_first, config),
            top_rest: Mlp::new(top, Activation::None),
            config: config.clone(),
        })
    }

    fn top_width(&self) -> usize {
        self.top_first.bias.len()
    }

    /// Where an item's block keeps its numeric columns.
    fn numeric(&self) -> Range<usize> {
        self.top_width()..self.top_width() + self.config.shape.item_numeric
    }

    /// What depends on the user alone, into the buffers named after the user.
    fn run_user(&self, user: &EncodedRow, buffers: &mut Buffers) {
        let Buffers {
            embeddings,
            products,
            user_bottom,
            user_top,
            user: packed,
            ..
        } = buffers;
        embeddings.clear();
        for (table, index) in self.user.iter().zip(&user.categorical) {
            embeddings.extend_from_slice(table.row(*index));
        }
        packed.pack_transposed(self.config.embedding_dim, self.user.len(), embeddings);
        user_bottom.clear();
        user_bottom.extend_from_slice(&self.bottom_first.bias);
        self.bottom_first.user.add_row(&user.numeric, user_bottom);
        products.clear();
        push_met(
            self.config.interaction,
            embeddings,
            self.config.embedding_dim,
            products,
        );
        user_top.clear();
        user_top.extend_from_slice(&self.top_first.bias);
        self.top_first.user_user.add_row(products, user_top);
        if self.config.numbers_to_top {
            self.top_first.user_numbers.add_row(&user.numeric, user_top);
        }
    }

    /// The bottom's output for each candidate, `[candidates, dim]`, into `buffers.bottom`.
    fn run_bottom(&self, blocks: &[&[f32]], pairs: &[f32], buffers: &mut Buffers) {
        let Buffers {
            user_bottom,
            bottom,
            spare,
            ..
        } = buffers;
        let (rows, pair, first) = (blocks.len(), self.config.shape.pair, &self.bottom_first);
        spare.clear();
        for (position, block) in blocks.iter().enumerate() {
            self.item.prefetch(block);
            spare.extend_from_slice(&block[self.numeric()]);
            spare.extend_from_slice(&pairs[position * pair..][..pair]);
        }
        bottom.resize(rows * first.bias.len(), 0.0);
        first.item_and_pair.multiply(
            rows,
            Rows {
                values: spare,
                stride: self.config.shape.item_numeric + pair,
            },
            Start::Row(user_bottom),
            Activation::Relu,
            RowsMut {
                values: bottom,
                stride: first.bias.len(),
            },
        );
        self.bottom_rest.batch(rows, bottom, spare);
    }

    /// A row for each candidate, laid out as [`Candidate`] says, into `buffers.candidates`; and what the item, the user and
    /// the values bring to the first top layer, `[candidates, top width]`, into `buffers.top`.
    fn run_products(&self, blocks: &[&[f32]], pairs: &[f32], buffers: &mut Buffers) {
        let Buffers {
            user,
            user_top,
            values,
            bottom,
            candidates,
            top,
            ..
        } = buffers;
        values.find(&self.item, blocks);
        values.work_out(&self.item, user, user_top);
        let (dim, place) = (self.config.embedding_dim, Candidate::of(&self.config));
        let (width, top_width) = (place.pair.end, user_top.len());
        let (pair, read) = (self.config.shape.pair, place.pair.len());
        candidates.resize(blocks.len() * width, 0.0);
        top.resize(blocks.len() * top_width, 0.0);
        let rows = candidates.chunks_exact_mut(width).zip(bottom.chunks_exact(dim));
        for (position, ((row, bottom), top)) in rows.zip(top.chunks_exact_mut(top_width)).enumerate() {
            if let Some(ahead) = blocks.get(position + AHEAD) {
                prefetch(&ahead[..top_width]);
            }
            row[place.bottom.clone()].copy_from_slice(bottom);
            row[place.with_user.clone()].fill(0.0);
            values.products(position, bottom, &mut row[place.with_item.clone()]);
            inner_products(bottom, bottom, &mut row[place.itself.clone()]);
            row[place.pair.clone()].copy_from_slice(&pairs[position * pair..][..read]);
            values.sum(position, &blocks[position][..top_width], top);
        }
        values.add_own(&self.item, user, blocks.len(), top);
        if !place.with_user.is_empty() && !blocks.is_empty() {
            let x = Rows {
                values: bottom,
                stride: dim,
            };
            let out = RowsMut {
                values: &mut candidates[place.with_user.start..],
                stride: width,
            };
            user.multiply(blocks.len(), x, Start::Output, Activation::None, out);
        }
    }

    /// The logit of each candidate, into `buffers.top`.
    fn run_top(&self, rows: usize, buffers: &mut Buffers) {
        let Buffers {
            candidates,
            spare,
            top,
            ..
        } = buffers;
        let first = &self.top_first;
        first.candidate.multiply(
            rows,
            Rows {
                values: candidates,
                stride: first.candidate.inputs(),
            },
            Start::Output,
            first.follows,
            RowsMut {
                values: top,
                stride: first.bias.len(),
            },
        );
        self.top_rest.batch(rows, top, spare);
    }
}

impl Scorer for DlrmScorer {
    fn block_width(&self) -> usize {
        self.numeric().end + self.item.tables.len()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        let (width, top) = (self.block_width(), &self.top_first);
        self.config.shape.check_items(items);
        assert_eq!(out.len(), items.rows() * width, "blocks of another width");
        let (mut embeddings, mut met, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for (chunk, blocks) in out.chunks_mut(PREPARED_AT_A_TIME * width).enumerate() {
            met.clear();
            numbers.clear();
            for (position, block) in blocks.chunks_exact_mut(width).enumerate() {
                let row = chunk * PREPARED_AT_A_TIME + position;
                block[..self.top_width()].fill(0.0);
                block[self.numeric()].copy_from_slice(items.numeric(row));
                numbers.extend_from_slice(items.numeric(row));
                for (kept, index) in block[self.numeric().end..].iter_mut().zip(items.categorical(row)) {
                    *kept = f32::from_bits(*index);
                }
                embeddings.clear();
                for embedding in self.item.embeddings(block) {
                    embeddings.extend_from_slice(embedding);
                }
                push_met(
                    self.config.interaction,
                    &embeddings,
                    self.config.embedding_dim,
                    &mut met,
                );
            }
            let rows = blocks.len() / width;
            let mut add = |weights: &Matrix, values: &[f32]| {
                let stride = weights.inputs();
                let x = Rows { values, stride };
                let blocks = RowsMut {
                    values: &mut *blocks,
                    stride: width,
                };
                weights.multiply(rows, x, Start::Output, Activation::None, blocks);
            };
            add(&top.item_item, &met);
            if self.config.numbers_to_top {
                add(&top.item_numbers, &numbers);
            }
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.config.shape.check_request(user, candidates)?;
        let pair = self.config.shape.pair;
        scores.clear();
        BUFFERS.with_borrow_mut(|buffers| {
            // They come from all over the memory while the user's part is worked out.
            candidates
                .blocks
                .iter()
                .for_each(|block| prefetch(&block[self.top_width()..]));
            self.run_user(user, buffers);
            for (chunk, blocks) in candidates.blocks.chunks(SCORED_AT_A_TIME).enumerate() {
                let pairs = &candidates.pairs[chunk * SCORED_AT_A_TIME * pair..];
                self.run_bottom(blocks, pairs, buffers);
                self.run_products(blocks, pairs, buffers);
                self.run_top(blocks.len(), buffers);
                push_probabilities(&buffers.top, scores);
            }
        });
        check_numbers(scores)
    }
}

/// Refuses a file whose names are those of another arrangement, and an interaction that an arrangement does not have.
fn check_arrangement(weights: &Weights, config: &DlrmConfig) -> Result<(), WeightsError> {
    let wanted = config.arrangement;
    let wrong = |problem| Err(weights.wrong(&format!("{}.weight", wanted.bottom(0)), problem));
    if wanted == Arrangement::Torchrec && config.interaction != Interaction::Dot {
        return wrong("is TorchRec's, which has no interaction but dot".to_owned());
    }
    match Arrangement::of_names(&weights.names()?) {
        Some(found) if found != wanted => wrong(format!(
            "is missing, but there is {}.weight: if the arrangement is {:?}, say so in scorer.json",
            found.bottom(0),
            found.as_str()
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
