//! DLRM as it is served: every part of the work is done as seldom as it can be.
//!
//! The first layers of both MLPs are sums over their inputs, so they split exactly:
//!
//! | part | done |
//! |---|---|
//! | bottom layer 1, item's numeric columns; top layer 1, products of two of the item's embeddings | once an item, kept in its block |
//! | bottom layer 1, user's numeric columns; top layer 1, products of two of the user's embeddings | once a request |
//! | bottom layer 1, pair features; the other bottom layers; products with the bottom's output; products of a user's with an item's embedding; the rest of the top | each candidate |
//!
//! An item's block keeps the indexes of its embeddings, not the embeddings: most tables are small enough for the
//! processor's caches, and the block is an eighth of the size.

use std::cell::RefCell;
use std::path::Path;

use super::DlrmConfig;
use crate::dense::{
    EmbeddingTable, Linear, Mlp, Weights, WeightsError, add_matrix_product, add_product, products_with, relu,
    row_products,
};
use crate::features::{EncodedRow, EncodedTable};
use crate::scoring::{CandidateBatch, ScoreError, Scorer};

/// Items prepared at a time: their embeddings, 17 x 64 x 4 bytes each, stay in the second-level cache.
const PREPARED_AT_A_TIME: usize = 64;

/// A DLRM that serves.
pub struct DlrmScorer {
    config: DlrmConfig,
    user: Vec<EmbeddingTable>,
    item: Vec<EmbeddingTable>,
    bottom_first: FirstBottom,
    bottom_rest: Mlp,
    top_first: FirstTop,
    top_rest: Mlp,
}

/// The first bottom layer, one matrix (`[columns, output]`) for each group of its inputs.
struct FirstBottom {
    user: Vec<f32>,
    item: Vec<f32>,
    pair: Vec<f32>,
    bias: Vec<f32>,
}

/// The first top layer, one matrix (`[inputs, output]`) for each group of its inputs.
struct FirstTop {
    bottom: Vec<f32>,
    bottom_user: Vec<f32>,
    bottom_item: Vec<f32>,
    user_user: Vec<f32>,
    /// By item column, then by user column.
    item_user: Vec<f32>,
    item_item: Vec<f32>,
    bias: Vec<f32>,
}

/// Buffers of one thread.
#[derive(Default)]
struct Buffers {
    user: Vec<f32>,
    items: Vec<f32>,
    bottom: Vec<f32>,
    products: Vec<f32>,
    top: Vec<f32>,
    spare: Vec<f32>,
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
            item: embeddings("item", &config.item_categorical)?,
            bottom_first: FirstBottom::split(&bottom_first, config),
            bottom_rest: Mlp::new(bottom),
            top_first: FirstTop::split(&top_first, config),
            top_rest: Mlp::new(top),
            config: config.clone(),
        })
    }

    fn hidden(&self) -> usize {
        self.bottom_first.bias.len()
    }

    fn top_width(&self) -> usize {
        self.top_first.bias.len()
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

    /// What of both first layers depends on the user alone: (bottom, top).
    fn user_part(&self, user: &EncodedRow, embeddings: &mut Vec<f32>) -> (Vec<f32>, Vec<f32>) {
        embeddings.clear();
        for (table, index) in self.user.iter().zip(&user.categorical) {
            embeddings.extend_from_slice(table.row(*index));
        }
        let mut bottom = self.bottom_first.bias.clone();
        add_product(&user.numeric, &self.bottom_first.user, &mut bottom);
        let mut square = Vec::new();
        products_with(
            self.user.len(),
            embeddings,
            embeddings,
            self.config.embedding_dim,
            &mut square,
        );
        let mut top = self.top_first.bias.clone();
        add_product(
            &lower_triangle(&square, self.user.len()),
            &self.top_first.user_user,
            &mut top,
        );
        (bottom, top)
    }

    /// The bottom's output for each candidate, `[candidates, dim]`, into `buffers.bottom`.
    fn run_bottom(&self, user_part: &[f32], candidates: &CandidateBatch<'_>, buffers: &mut Buffers) {
        let hidden = self.hidden();
        let x = &mut buffers.bottom;
        x.clear();
        for (position, block) in candidates.blocks.iter().enumerate() {
            let start = x.len();
            x.extend(
                block[..hidden]
                    .iter()
                    .zip(user_part)
                    .map(|(item, user)| item + user),
            );
            let pair = &candidates.pairs[position * candidates.pair_width..][..candidates.pair_width];
            add_product(pair, &self.bottom_first.pair, &mut x[start..]);
        }
        relu(x);
        if !self.bottom_rest.layers().is_empty() {
            self.bottom_rest
                .batch(candidates.blocks.len(), x, &mut buffers.spare);
            relu(x);
        }
    }

    /// The embeddings of each candidate, `[candidates, item columns, dim]`, into `buffers.items`.
    fn gather(&self, candidates: &CandidateBatch<'_>, buffers: &mut Buffers) {
        let start = self.hidden() + self.top_width();
        buffers.items.clear();
        for block in candidates.blocks {
            for (table, index) in self.item.iter().zip(&block[start..]) {
                buffers.items.extend_from_slice(table.row(index.to_bits()));
            }
        }
    }

    /// The first top layer for each candidate, `[candidates, top width]`, into `buffers.top`.
    fn run_first_top(&self, user_part: &[f32], candidates: &CandidateBatch<'_>, buffers: &mut Buffers) {
        let (count, dim, width) = (
            candidates.blocks.len(),
            self.config.embedding_dim,
            self.top_width(),
        );
        let Buffers {
            user,
            items,
            bottom,
            products,
            top,
            ..
        } = buffers;
        top.clear();
        for block in candidates.blocks {
            top.extend(
                block[self.hidden()..][..width]
                    .iter()
                    .zip(user_part)
                    .map(|(item, user)| item + user),
            );
        }
        let first = &self.top_first;
        add_matrix_product(count, bottom, &first.bottom, width, top);
        products_with(count, bottom, user, dim, products);
        add_matrix_product(count, products, &first.bottom_user, width, top);
        row_products(count, self.item.len(), dim, bottom, items, products);
        add_matrix_product(count, products, &first.bottom_item, width, top);
        products_with(count * self.item.len(), items, user, dim, products);
        add_matrix_product(count, products, &first.item_user, width, top);
    }
}

impl Scorer for DlrmScorer {
    fn block_width(&self) -> usize {
        self.hidden() + self.top_width() + self.item.len()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        let (hidden, top, dim) = (self.hidden(), self.top_width(), self.config.embedding_dim);
        let triangle = self.item.len() * self.item.len().saturating_sub(1) / 2;
        let (mut embeddings, mut square) = (Vec::new(), Vec::new());
        let (mut triangles, mut folded) = (Vec::new(), Vec::new());
        for (chunk, blocks) in out
            .chunks_mut(PREPARED_AT_A_TIME * self.block_width())
            .enumerate()
        {
            let rows = blocks.len() / self.block_width();
            triangles.clear();
            for (position, block) in blocks.chunks_exact_mut(self.block_width()).enumerate() {
                let row = chunk * PREPARED_AT_A_TIME + position;
                block.fill(0.0);
                add_product(items.numeric(row), &self.bottom_first.item, &mut block[..hidden]);
                embeddings.clear();
                let indexes = items.categorical(row);
                for ((table, index), kept) in self.item.iter().zip(indexes).zip(&mut block[hidden + top..]) {
                    embeddings.extend_from_slice(table.row(*index));
                    *kept = f32::from_bits(*index);
                }
                products_with(self.item.len(), &embeddings, &embeddings, dim, &mut square);
                triangles.extend(lower_triangle(&square, self.item.len()));
            }
            folded.clear();
            folded.resize(rows * top, 0.0);
            if triangle > 0 {
                add_matrix_product(rows, &triangles, &self.top_first.item_item, top, &mut folded);
            }
            for (block, folded) in blocks
                .chunks_exact_mut(self.block_width())
                .zip(folded.chunks_exact(top))
            {
                block[hidden..hidden + top].copy_from_slice(folded);
            }
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        self.check_user(user)?;
        assert_eq!(
            candidates.pair_width, self.config.pair,
            "pair features of another workflow"
        );
        scores.clear();
        if candidates.blocks.is_empty() {
            return Ok(());
        }
        BUFFERS.with_borrow_mut(|buffers| {
            let (bottom, top) = self.user_part(user, &mut buffers.user);
            self.run_bottom(&bottom, candidates, buffers);
            self.gather(candidates, buffers);
            self.run_first_top(&top, candidates, buffers);
            if !self.top_rest.layers().is_empty() {
                relu(&mut buffers.top);
                self.top_rest
                    .batch(candidates.blocks.len(), &mut buffers.top, &mut buffers.spare);
            }
            scores.extend(buffers.top.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())));
        });
        match scores.iter().position(|score| score.is_nan()) {
            Some(position) => Err(ScoreError::NotANumber {
                position,
                score: scores[position],
            }),
            None => Ok(()),
        }
    }
}

impl FirstBottom {
    fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let rows = |from: usize, count: usize| {
            layer.weights()[from * layer.output()..(from + count) * layer.output()].to_vec()
        };
        let (user, item, pair) = (config.user_numeric, config.item_numeric, config.pair);
        Self {
            user: rows(0, user),
            item: rows(user, item),
            pair: rows(user + item, pair),
            bias: layer.bias().to_vec(),
        }
    }
}

impl FirstTop {
    fn split(layer: &Linear, config: &DlrmConfig) -> Self {
        let (users, items, dim) = (
            config.user_categorical.len(),
            config.item_categorical.len(),
            config.embedding_dim,
        );
        // The vectors are numbered as they are stacked: 0 is the bottom's output, then the user's, then the item's.
        let product = |r: usize, c: usize| dim + r * (r - 1) / 2 + c;
        let (user, item) = (|column: usize| 1 + column, |column: usize| 1 + users + column);
        let pick = |inputs: Vec<usize>| {
            let rows = inputs
                .into_iter()
                .map(|input| &layer.weights()[input * layer.output()..][..layer.output()]);
            rows.flatten().copied().collect::<Vec<f32>>()
        };
        let within = |number: &dyn Fn(usize) -> usize, count: usize| {
            let pairs = (0..count).flat_map(|r| (0..r).map(move |c| (r, c)));
            pairs.map(|(r, c)| product(number(r), number(c))).collect()
        };
        let across = (0..items).flat_map(|i| (0..users).map(move |u| (i, u)));
        Self {
            bottom: pick((0..dim).collect()),
            bottom_user: pick((0..users).map(|u| product(user(u), 0)).collect()),
            bottom_item: pick((0..items).map(|i| product(item(i), 0)).collect()),
            user_user: pick(within(&user, users)),
            item_user: pick(across.map(|(i, u)| product(item(i), user(u))).collect()),
            item_item: pick(within(&item, items)),
            bias: layer.bias().to_vec(),
        }
    }
}

/// The values below the diagonal of a `[side, side]` matrix, row by row.
fn lower_triangle(square: &[f32], side: usize) -> Vec<f32> {
    (0..side)
        .flat_map(|r| square[r * side..][..r].iter().copied())
        .collect()
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

    const CANDIDATES: usize = 70;

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

    #[test]
    fn serving_gives_what_training_gave() {
        let config = DlrmConfig {
            embedding_dim: 8,
            bottom: vec![16],
            top: vec![24, 12],
            user_categorical: vec![5, 9, 3],
            item_categorical: vec![11, 4, 6, 7],
            user_numeric: 3,
            item_numeric: 5,
            pair: 2,
        };
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
        check(DlrmConfig {
            item_categorical: vec![11],
            bottom: vec![16, 8],
            ..config
        });
    }
}
