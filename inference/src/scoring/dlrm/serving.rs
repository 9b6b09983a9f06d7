//! DLRM as it is served: every part of the work is done as seldom as it can be.
//!
//! The first layers of both MLPs are sums over their inputs, so they split exactly:
//!
//! | part | done |
//! |---|---|
//! | top layer 1, products of two of the item's embeddings | once an item, kept in its block |
//! | bottom layer 1, user's numeric columns; top layer 1, products of two of the user's embeddings | once a request |
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
use super::values::{ValueLayers, Values};
use crate::dense::{
    Activation, EmbeddingTable, Linear, Matrix, Mlp, Rows, RowsMut, Start, Weights, WeightsError,
    inner_products, prefetch,
};
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers};

/// Items prepared at a time.
const PREPARED_AT_A_TIME: usize = 64;

/// Candidates scored at a time: all that lies between two layers stays in the second-level cache.
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

/// The first bottom layer, a matrix for each group of its inputs.
struct FirstBottom {
    user: Matrix,
    /// The item's numeric columns, then the pair features.
    item_and_pair: Matrix,
    bias: Vec<f32>,
}

/// The first top layer, a matrix for each group of its inputs.
struct FirstTop {
    user_user: Matrix,
    item_item: Matrix,
    /// What each candidate brings: see [`Candidate`].
    candidate: Matrix,
    bias: Vec<f32>,
    follows: Activation,
}

/// Where a candidate's inputs of the first top layer lie in its row: the bottom's output, and its products with the user's
/// and the item's embeddings.
struct Candidate {
    bottom: Range<usize>,
    with_user: Range<usize>,
    with_item: Range<usize>,
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
        let embeddings = |entity: &str, cardinalities: &[usize]| {
            let sizes = cardinalities.iter().enumerate();
            sizes
                .map(|(column, size)| {
                    weights.embedding(
                        &format!("embedding.{entity}.{column}"),
                        *size,
                        config.embedding_dim,
                    )
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let mut bottom = layers(&weights, "bottom", &config.bottom_widths())?;
        let mut top = layers(&weights, "top", &config.top_widths())?;
        let (bottom_first, top_first) = (bottom.remove(0), top.remove(0));
        Ok(Self {
            user: embeddings("user", &config.user_categorical)?,
            item: ValueLayers {
                tables: embeddings("item", &config.item_categorical)?,
                top: FirstTop::of_values(&top_first, config),
            },
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
        self.top_width()..self.top_width() + self.config.item_numeric
    }

    fn check_user(&self, user: &EncodedRow) -> Result<(), ScoreError> {
        let wanted = (self.user.len(), self.config.user_numeric);
        let found = (user.categorical.len(), user.numeric.len());
        if wanted == found {
            return Ok(());
        }
        Err(ScoreError::UserShape {
            wanted_categorical: wanted.0,
            wanted_numeric: wanted.1,
            found_categorical: found.0,
            found_numeric: found.1,
        })
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
        add_row(&user.numeric, &self.bottom_first.user, user_bottom);
        products.clear();
        push_triangle(embeddings, self.config.embedding_dim, products);
        user_top.clear();
        user_top.extend_from_slice(&self.top_first.bias);
        add_row(products, &self.top_first.user_user, user_top);
    }

    /// The bottom's output for each candidate, `[candidates, dim]`, into `buffers.bottom`.
    fn run_bottom(&self, blocks: &[&[f32]], pairs: &[f32], buffers: &mut Buffers) {
        let Buffers {
            user_bottom,
            bottom,
            spare,
            ..
        } = buffers;
        let (rows, pair, first) = (blocks.len(), self.config.pair, &self.bottom_first);
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
                stride: self.config.item_numeric + pair,
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
    fn run_products(&self, blocks: &[&[f32]], buffers: &mut Buffers) {
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
        let (width, top_width) = (place.with_item.end, user_top.len());
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
            values.sum(position, &blocks[position][..top_width], top);
        }
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
        let (width, top) = (self.block_width(), &self.top_first.item_item);
        let found = (items.categorical_width(), items.numeric_width());
        assert_eq!(
            found,
            (self.item.tables.len(), self.config.item_numeric),
            "items of another workflow"
        );
        assert_eq!(out.len(), items.rows() * width, "blocks of another width");
        let (mut embeddings, mut triangles) = (Vec::new(), Vec::new());
        for (chunk, blocks) in out.chunks_mut(PREPARED_AT_A_TIME * width).enumerate() {
            triangles.clear();
            for (position, block) in blocks.chunks_exact_mut(width).enumerate() {
                let row = chunk * PREPARED_AT_A_TIME + position;
                block[..self.top_width()].fill(0.0);
                block[self.numeric()].copy_from_slice(items.numeric(row));
                for (kept, index) in block[self.numeric().end..].iter_mut().zip(items.categorical(row)) {
                    *kept = f32::from_bits(*index);
                }
                embeddings.clear();
                for embedding in self.item.embeddings(block) {
                    embeddings.extend_from_slice(embedding);
                }
                push_triangle(&embeddings, self.config.embedding_dim, &mut triangles);
            }
            let x = Rows {
                values: &triangles,
                stride: top.inputs(),
            };
            let rows = blocks.len() / width;
            let blocks = RowsMut {
                values: blocks,
                stride: width,
            };
            top.multiply(rows, x, Start::Output, Activation::None, blocks);
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.check_user(user)?;
        let pair = self.config.pair;
        assert_eq!(candidates.pair_width, pair, "pair features of another workflow");
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
                self.run_products(blocks, buffers);
                self.run_top(blocks.len(), buffers);
                scores.extend(buffers.top.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())));
            }
        });
        check_numbers(scores)
    }
}

impl Candidate {
    fn of(config: &DlrmConfig) -> Self {
        let (users, items) = (config.user_categorical.len(), config.item_categorical.len());
        let bottom = 0..config.embedding_dim;
        let with_user = bottom.end..bottom.end + users;
        let with_item = with_user.end..with_user.end + items;
        Self {
            bottom,
            with_user,
            with_item,
        }
    }
}

impl FirstBottom {
    fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let user = config.user_numeric;
        Self {
            user: layer.weights().of_inputs(0..user),
            item_and_pair: layer.weights().of_inputs(user..layer.input()),
            bias: layer.bias().to_vec(),
        }
    }
}

/// Where the first top layer reads the product of two vectors, which are numbered as they are stacked: 0 is the bottom's
/// output, then the user's, then the item's.
fn product(config: &DlrmConfig, row: usize, column: usize) -> usize {
    config.embedding_dim + row * (row - 1) / 2 + column
}

impl FirstTop {
    fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let (users, items) = (config.user_categorical.len(), config.item_categorical.len());
        let product = |r, c| product(config, r, c);
        let (user, item) = (|column: usize| 1 + column, |column: usize| 1 + users + column);
        let user_user = (0..users).flat_map(|r| (0..r).map(move |c| product(user(r), user(c))));
        let item_item = (0..items).flat_map(|r| (0..r).map(move |c| product(item(r), item(c))));
        // In the order of `Candidate`.
        let bottom = 0..config.embedding_dim;
        let with_user = (0..users).map(|u| product(user(u), 0));
        let with_item = (0..items).map(|i| product(item(i), 0));
        Self {
            user_user: layer.weights().of_inputs(user_user),
            item_item: layer.weights().of_inputs(item_item),
            candidate: layer
                .weights()
                .of_inputs(bottom.chain(with_user).chain(with_item)),
            bias: layer.bias().to_vec(),
            follows: if config.top.is_empty() {
                Activation::None
            } else {
                Activation::Relu
            },
        }
    }

    /// Of each item column, the weights for the products of its embedding with the user's.
    fn of_values(layer: &Linear, config: &DlrmConfig) -> Vec<Matrix> {
        let (users, items) = (config.user_categorical.len(), config.item_categorical.len());
        let weights = |item: usize| {
            let inputs = (0..users).map(|user| product(config, 1 + users + item, 1 + user));
            layer.weights().of_inputs(inputs)
        };
        (0..items).map(weights).collect()
    }
}

/// `out += x W` for one row.
fn add_row(x: &[f32], weights: &Matrix, out: &mut [f32]) {
    let (x, out) = (
        Rows {
            values: x,
            stride: x.len(),
        },
        RowsMut {
            stride: out.len(),
            values: out,
        },
    );
    weights.multiply(1, x, Start::Output, Activation::None, out);
}

/// Adds the products of each of some vectors with those before it.
fn push_triangle(vectors: &[f32], dim: usize, products: &mut Vec<f32>) {
    for (position, vector) in vectors.chunks_exact(dim).enumerate() {
        let start = products.len();
        products.resize(start + position, 0.0);
        inner_products(vectors, vector, &mut products[start..]);
    }
}

fn layers(weights: &Weights, name: &str, widths: &[usize]) -> Result<Vec<Linear>, WeightsError> {
    let pairs = widths.windows(2).enumerate();
    pairs
        .map(|(position, pair)| weights.linear(&format!("{name}.{position}"), pair[0], pair[1]))
        .collect()
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use candle_nn::{VarBuilder, VarMap};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::Dlrm;
    use super::*;

    /// More than are scored at a time.
    const CANDIDATES: usize = SCORED_AT_A_TIME + 44;

    fn rows(rng: &mut ChaCha8Rng, count: usize, cardinalities: &[usize], numeric: usize) -> EncodedTable {
        let mut table = EncodedTable::new(cardinalities.len(), numeric);
        for _ in 0..count {
            table.push(&EncodedRow {
                categorical: cardinalities
                    .iter()
                    .map(|size| rng.random_range(0..*size as u32))
                    .collect(),
                numeric: (0..numeric).map(|_| rng.random_range(-2.0..2.0)).collect(),
            });
        }
        table
    }

    fn tensors(table: &EncodedTable, repeat: usize) -> (Tensor, Tensor) {
        let rows: Vec<usize> = (0..table.rows())
            .flat_map(|row| std::iter::repeat_n(row, repeat))
            .collect();
        let categorical: Vec<u32> = rows
            .iter()
            .flat_map(|row| table.categorical(*row))
            .copied()
            .collect();
        let numeric: Vec<f32> = rows.iter().flat_map(|row| table.numeric(*row)).copied().collect();
        let count = rows.len();
        (
            Tensor::from_vec(categorical, (count, table.categorical_width()), &Device::Cpu).unwrap(),
            Tensor::from_vec(numeric, (count, table.numeric_width()), &Device::Cpu).unwrap(),
        )
    }

    #[track_caller]
    fn check(config: DlrmConfig) {
        let weights = VarMap::new();
        let model = Dlrm::new(
            &config,
            VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu),
        )
        .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        weights.save(&path).unwrap();
        let scorer = DlrmScorer::load(&path, &config).unwrap();

        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let user = rows(&mut rng, 1, &config.user_categorical, config.user_numeric);
        let items = rows(
            &mut rng,
            CANDIDATES,
            &config.item_categorical,
            config.item_numeric,
        );
        let pairs: Vec<f32> = (0..CANDIDATES * config.pair)
            .map(|_| rng.random_range(-2.0..2.0))
            .collect();

        let ((user_cat, user_num), (item_cat, item_num)) = (tensors(&user, CANDIDATES), tensors(&items, 1));
        let pair = Tensor::from_vec(pairs.clone(), (CANDIDATES, config.pair), &Device::Cpu).unwrap();
        let logits = model
            .forward(&user_cat, &user_num, &item_cat, &item_num, &pair)
            .unwrap();
        let trained: Vec<f32> = candle_nn::ops::sigmoid(&logits).unwrap().to_vec1().unwrap();

        let mut blocks = vec![0.0; CANDIDATES * scorer.block_width()];
        scorer.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks_exact(scorer.block_width()).collect();
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: config.pair,
        };
        let mut served = Vec::new();
        scorer.score(&user.row(0), &batch, &mut served).unwrap();
        for (trained, served) in trained.iter().zip(&served) {
            assert!((trained - served).abs() < 1e-5, "{trained} is not {served}");
        }
    }

    fn small() -> DlrmConfig {
        DlrmConfig {
            embedding_dim: 8,
            bottom: vec![16],
            top: vec![24, 12],
            user_categorical: vec![5, 9, 3],
            item_categorical: vec![11, 4, 6, 7],
            user_numeric: 3,
            item_numeric: 5,
            pair: 2,
        }
    }

    /// A scorer with the weights that training starts from, one tensor of them filled with a value.
    fn load(config: &DlrmConfig, filled: Option<(&str, f32)>) -> Result<DlrmScorer, WeightsError> {
        let mut weights = VarMap::new();
        let vb = VarBuilder::from_varmap(&weights, DType::F32, &Device::Cpu);
        Dlrm::new(config, vb).unwrap();
        if let Some((name, value)) = filled {
            let shape = weights.data().lock().unwrap()[name].shape().clone();
            weights
                .set_one(name, Tensor::full(value, shape, &Device::Cpu).unwrap())
                .unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        weights.save(&path).unwrap();
        DlrmScorer::load(&path, config)
    }

    fn score(scorer: &DlrmScorer, user: &EncodedRow, count: usize) -> Result<Vec<f32>, ScoreError> {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let config = &scorer.config;
        let items = rows(&mut rng, count, &config.item_categorical, config.item_numeric);
        let mut blocks = vec![0.0; count * scorer.block_width()];
        scorer.prepare(&items, &mut blocks);
        let blocks: Vec<&[f32]> = blocks.chunks_exact(scorer.block_width()).collect();
        let pairs = vec![0.5; count * config.pair];
        let batch = CandidateBatch {
            blocks: &blocks,
            pairs: &pairs,
            pair_width: config.pair,
        };
        let mut scores = vec![7.0];
        scorer.score(user, &batch, &mut scores).map(|()| scores)
    }

    fn some_user() -> EncodedRow {
        EncodedRow {
            categorical: vec![1, 1, 1],
            numeric: vec![0.5, -1.0, 2.0],
        }
    }

    #[test]
    fn no_candidates_have_no_scores() {
        let scorer = load(&small(), None).unwrap();
        assert_eq!(score(&scorer, &some_user(), 0).unwrap(), Vec::<f32>::new());
    }

    #[test]
    fn an_index_that_training_never_saw_is_the_unknown() {
        let scorer = load(&small(), None).unwrap();
        let mut user = some_user();
        let known = score(&scorer, &user, 5).unwrap();
        user.categorical[1] = u32::MAX;
        assert_eq!(score(&scorer, &user, 5).unwrap(), known);
    }

    #[test]
    fn a_user_of_another_workflow_is_refused() {
        let scorer = load(&small(), None).unwrap();
        let mut user = some_user();
        user.numeric.pop();
        let message = score(&scorer, &user, 5).unwrap_err().to_string();
        let part = "3 categorical and 3 numeric user features, but the row has 3 and 2";
        assert!(message.contains(part), "{message}");
    }

    #[test]
    fn a_score_that_is_nan_is_an_error() {
        let scorer = load(&small(), None).unwrap();
        let mut user = some_user();
        user.numeric[1] = f32::NAN;
        let error = score(&scorer, &user, 5).unwrap_err();
        assert!(
            matches!(error, ScoreError::NotANumber { position: 0, .. }),
            "{error}"
        );
    }

    #[track_caller]
    fn check_refused(config: &DlrmConfig, filled: Option<(&str, f32)>, part: &str) {
        let error = load(config, filled).err().expect("these weights can't be served");
        assert!(error.to_string().contains(part), "{error}");
    }

    #[test]
    fn weights_that_cannot_serve_are_refused_by_name() {
        let nan = Some(("top.1.bias", f32::NAN));
        check_refused(&small(), nan, "tensor top.1.bias has NaN at position 0");
        let mut config = small();
        config.item_categorical[1] = 1;
        check_refused(
            &config,
            None,
            "tensor embedding.item.1.weight has 1 rows by its configuration",
        );
    }

    #[test]
    fn serving_gives_what_training_gave() {
        let config = small();
        check(config.clone());
        check(DlrmConfig {
            pair: 0,
            bottom: vec![],
            ..config.clone()
        });
        check(DlrmConfig {
            top: vec![],
            user_categorical: vec![5],
            ..config.clone()
        });
        // One vocabulary in which candidates are looked for that have a value in common, and one in which they are not.
        check(DlrmConfig {
            item_categorical: vec![1024, 1025],
            ..config.clone()
        });
        check(DlrmConfig {
            item_categorical: vec![11],
            bottom: vec![16, 8],
            ..config.clone()
        });
        check(DlrmConfig {
            user_categorical: vec![6; 19],
            embedding_dim: 20,
            top: vec![33],
            ..config
        });
    }
}
