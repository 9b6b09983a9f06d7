//! Forests of decision trees: random forests and gradient boosting, from the files of the libraries that train them.
//!
//! `score = objective(sum over trees of the leaf that the row reaches)`, or of their average for random forests; for two
//! classes the objective is `1 / (1 + exp(-x))`. Results equal those of the library on the same `f32` inputs: every
//! decision is the same, and leaf values are added in the order of the trees, in `f64`, or in `f32` where the library does.
//!
//! Inputs stand in the order of [`Layout::inputs`]. The index into a categorical column's vocabulary is a category if
//! the model splits the column by category, and a number otherwise. An item's part of the row is made once
//! ([`Scorer::prepare`]); a request copies the parts together and walks all candidates at once.
//!
//! [`format`] knows the files; a module for each format reads and checks one ([`lightgbm`], [`xgboost`], [`catboost`],
//! [`onnx`]) and makes a [`model`] of it; [`walk`] has the nodes and the vector code. Nothing here does I/O.

mod catboost;
mod format;
mod lightgbm;
mod model;
mod onnx;
mod remark;
mod ubjson;
mod walk;
mod xgboost;

use std::cell::RefCell;

use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::scoring::{CandidateBatch, ScoreError, Scorer, check_numbers, check_user};

pub use catboost::CatBoostError;
pub use format::{Format, FormatError};
pub use lightgbm::LightGbmError;
pub use model::TreeError;
use model::{Model, Objective};
pub use onnx::OnnxError;
pub use remark::Remark;
pub use ubjson::UbjsonError;
pub use walk::TooLarge;
use walk::{Matrix, Path, Trees};
pub use xgboost::XgBoostError;

/// Why a forest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    /// The file is no model that we read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The model does not fit the nodes of the walk.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The model reads another number of inputs.
    #[error(
        "the forest reads {model} inputs, but the workflow gives {workflow}; load bundles of one run, or ask `gondola-train check` what a model of your own must read"
    )]
    InputCount {
        /// Features of the model.
        model: usize,
        /// Inputs of the layout.
        workflow: usize,
    },
    /// The model reads another input.
    #[error(
        "input {position} of the forest is {model}, but the workflow gives {workflow}; load bundles of one run, or ask `gondola-train check` what a model of your own must read"
    )]
    InputName {
        /// Which input, from 0.
        position: usize,
        /// Its name in the model.
        model: String,
        /// Its name in the layout.
        workflow: String,
    },
}

/// The name under which a model file knows an input: LightGBM puts `_` for spaces and refuses the other characters that
/// are replaced here, so a trainer must name its columns so.
pub fn lightgbm_name(input: &str) -> String {
    let forbidden = |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '[' | ']' | '{' | '}' | '"');
    input.replace(forbidden, "_")
}

/// A forest that is ready to score.
#[derive(Clone, Debug)]
pub struct Forest {
    trees: Trees,
    objective: Objective,
    /// What the trees' result is divided by before the objective: 1, or the number of trees.
    divisor: f64,
    widths: Widths,
    path: Path,
    remarks: Vec<Remark>,
}

/// Number of inputs of each kind, in the order of a row.
#[derive(Clone, Copy, Debug)]
struct Widths {
    user_categorical: usize,
    user_numeric: usize,
    item_categorical: usize,
    item_numeric: usize,
    pair: usize,
}

impl Widths {
    fn user(&self) -> usize {
        self.user_categorical + self.user_numeric
    }

    fn item(&self) -> usize {
        self.item_categorical + self.item_numeric
    }
}

thread_local! {
    /// The rows of the walk that this thread is at, and their sums.
    static SCRATCH: RefCell<(Matrix, Vec<f64>)> = RefCell::default();
}

impl Forest {
    /// Reads a model. Its features must be the inputs of `layout`, by number and, unless the file has no names, by name:
    /// as they are, or as LightGBM writes them ([`lightgbm_name`]).
    pub fn load(format: Format, bytes: &[u8], layout: &Layout) -> Result<Self, ForestError> {
        let model = format.parse(bytes)?;
        check_inputs(&model, &layout.inputs())?;
        Ok(Self {
            trees: Trees::new(&model)?,
            objective: model.objective,
            divisor: model.divisor,
            widths: Widths {
                user_categorical: layout.user_categorical.len(),
                user_numeric: layout.user_numeric.len(),
                item_categorical: layout.item_categorical.len(),
                item_numeric: layout.item_numeric.len(),
                pair: layout.pair.len(),
            },
            path: Path::best(),
            remarks: model.remarks,
        })
    }

    /// What whoever checks the model should know of its file.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Puts one prediction into `out` (cleared first) for each row of `rows` (`[n, columns]`, row-major). Here NaN is a
    /// missing value, as for LightGBM. `columns` must be the model's number of inputs.
    pub fn predict(&self, rows: &[f32], columns: usize, out: &mut Vec<f32>) {
        assert_eq!(columns, self.trees.columns().len(), "rows of another model");
        assert!(rows.len().is_multiple_of(columns), "the last row is not whole");
        out.clear();
        self.predict_with(self.path, rows, |prediction| out.push(prediction as f32));
    }

    fn predict_with(&self, path: Path, rows: &[f32], mut each: impl FnMut(f64)) {
        let reader = self.trees.columns();
        SCRATCH.with_borrow_mut(|(matrix, sums)| {
            for rows in rows.chunks(Matrix::MOST_ROWS * reader.len()) {
                matrix.reset(rows.len() / reader.len(), reader.len());
                for (number, row) in rows.chunks_exact(reader.len()).enumerate() {
                    for (column, (to, value)) in matrix.row_mut(number).iter_mut().zip(row).enumerate() {
                        *to = reader.encode(column, *value);
                    }
                }
                self.trees.sum(matrix, path, sums);
                sums.iter()
                    .for_each(|sum| each(self.objective.apply(sum / self.divisor)));
            }
        });
    }
}

fn check_inputs(model: &Model, inputs: &[String]) -> Result<(), ForestError> {
    if model.features != inputs.len() {
        return Err(ForestError::InputCount {
            model: model.features,
            workflow: inputs.len(),
        });
    }
    let names = model.feature_names.iter().flatten();
    for (position, (name, input)) in names.zip(inputs).enumerate() {
        if name != input && *name != lightgbm_name(input) {
            return Err(ForestError::InputName {
                position,
                model: name.clone(),
                workflow: input.clone(),
            });
        }
    }
    Ok(())
}

impl Scorer for Forest {
    /// The item's part of a row.
    fn block_width(&self) -> usize {
        self.widths.item()
    }

    fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        let width = self.widths.item();
        assert_eq!(out.len(), items.rows() * width, "one block per item");
        if width == 0 {
            return;
        }
        for (row, block) in out.chunks_exact_mut(width).enumerate() {
            // A category's number travels as the bits of a float; copies keep bits.
            self.fill(
                self.widths.user(),
                items.categorical(row),
                items.numeric(row),
                |at, bits| {
                    block[at] = f32::from_bits(bits);
                },
            );
        }
    }

    fn score(
        &self,
        user: &EncodedRow,
        candidates: &CandidateBatch<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), ScoreError> {
        let widths = &self.widths;
        check_user(user, widths.user_categorical, widths.user_numeric)?;
        assert_eq!(
            candidates.pair_width, widths.pair,
            "pair features of another workflow"
        );
        assert_eq!(
            candidates.pairs.len(),
            candidates.blocks.len() * widths.pair,
            "pair features of each candidate"
        );

        scores.clear();
        let reader = self.trees.columns();
        SCRATCH.with_borrow_mut(|(matrix, sums)| {
            let mut first = 0;
            for blocks in candidates.blocks.chunks(Matrix::MOST_ROWS) {
                matrix.reset(blocks.len(), reader.len());
                self.fill_items(blocks, matrix);
                self.fill_pairs(&candidates.pairs[first * widths.pair..], matrix, blocks.len());
                self.fill_user(user, matrix, blocks.len());
                self.trees.sum(matrix, self.path, sums);
                scores.extend(
                    sums.iter()
                        .map(|sum| self.objective.apply(sum / self.divisor) as f32),
                );
                first += blocks.len();
            }
        });
        check_numbers(scores)
    }
}

impl Forest {
    /// Hands one entity's values, as the walk reads them, to `put` with their place. `first` is the entity's first input.
    fn fill(&self, first: usize, categorical: &[u32], numeric: &[f32], mut put: impl FnMut(usize, u32)) {
        let reader = self.trees.columns();
        for (at, index) in categorical.iter().enumerate() {
            put(at, reader.encode_index(first + at, *index));
        }
        for (at, value) in (categorical.len()..).zip(numeric) {
            put(at, reader.encode(first + at, *value));
        }
    }

    fn fill_items(&self, blocks: &[&[f32]], matrix: &mut Matrix) {
        let (first, width) = (self.widths.user(), self.widths.item());
        for (row, block) in blocks.iter().enumerate() {
            let to = &mut matrix.row_mut(row)[first..first + width];
            to.iter_mut()
                .zip(&block[..width])
                .for_each(|(to, value)| *to = value.to_bits());
        }
    }

    fn fill_pairs(&self, pairs: &[f32], matrix: &mut Matrix, rows: usize) {
        let (first, width) = (self.widths.user() + self.widths.item(), self.widths.pair);
        let reader = self.trees.columns();
        for row in 0..rows {
            let to = &mut matrix.row_mut(row)[first..];
            for (column, value) in pairs[row * width..][..width].iter().enumerate() {
                to[column] = reader.encode(first + column, *value);
            }
        }
    }

    /// Puts the user's part into the first row, then copies it into the others.
    fn fill_user(&self, user: &EncodedRow, matrix: &mut Matrix, rows: usize) {
        if rows == 0 {
            return;
        }
        let first = matrix.row_mut(0);
        self.fill(0, &user.categorical, &user.numeric, |at, bits| first[at] = bits);
        matrix.repeat_start(self.widths.user());
    }
}

#[cfg(test)]
mod tests;
