//! Forests of decision trees: random forests and gradient boosting, from the files of the libraries that train them.
//!
//! `prediction = objective(sum over trees of the leaf that the row reaches)`, or of their average for random forests; for two
//! classes the objective is `1 / (1 + exp(-x))`. Results equal those of the library on the same `f32` inputs: every
//! decision is the same, and leaf values are added in the order of the trees, in `f64`, or in `f32` where the library does.
//!
//! [`format`](mod@format) knows the files; a module for each format reads and checks one ([`lightgbm`], [`xgboost`], [`catboost`],
//! [`onnx`]) and makes a [`model`] of it; [`walk`] has the nodes and the vector code; [`parts`] is another way to the same leaves, for
//! small trees and rows that have parts in common; [`misplaced`] recognizes files that are something else altogether.
//!
//! Nothing here does I/O, but for a look at a misplaced file's first bytes. Absent on purpose: everything else of this project;
//! fuzzing stands on this crate alone.

mod catboost;
mod format;
mod lightgbm;
pub mod misplaced;
mod model;
mod onnx;
pub mod parts;
mod remark;
mod ubjson;
mod walk;
mod xgboost;

use std::cell::RefCell;
use std::ops::Range;

pub use catboost::CatBoostError;
pub use format::{Format, FormatError};
pub use lightgbm::{LightGbmError, lightgbm_name};
pub use model::TreeError;
use model::{Model, Objective};
pub use onnx::OnnxError;
use parts::PartedForest;
pub use remark::Remark;
pub use ubjson::UbjsonError;
use walk::Trees;
pub use walk::{Columns, Matrix, Path, TooLarge};
pub use xgboost::XgBoostError;

/// Why a forest could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    /// The file is not a model that we read.
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

/// A forest that is ready to predict.
#[derive(Clone, Debug)]
pub struct Forest {
    trees: Trees,
    outcome: Outcome,
    path: Path,
    remarks: Vec<Remark>,
}

/// What becomes of the trees' result.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// What it is divided by: 1, or the number of trees.
    divisor: f64,
    /// What makes a prediction of that.
    objective: Objective,
}

impl Outcome {
    fn of(self, result: f64) -> f64 {
        self.objective.apply(result / self.divisor)
    }
}

thread_local! {
    /// The rows of the walk that this thread is at, and their sums.
    static SCRATCH: RefCell<(Matrix, Vec<f64>)> = RefCell::default();
}

impl Forest {
    /// Reads a model. Its features must be `inputs`, by number and, unless the file has no names, by name: as they are, or as
    /// LightGBM writes them ([`lightgbm_name`]).
    pub fn load(format: Format, bytes: &[u8], inputs: &[String]) -> Result<Self, ForestError> {
        let model = format.parse(bytes)?;
        check_inputs(&model, inputs)?;
        Ok(Self::new(&model)?)
    }

    /// Reads a model, whatever its features are called.
    pub fn parse(format: Format, bytes: &[u8]) -> Result<Self, ForestError> {
        Ok(Self::new(&format.parse(bytes)?)?)
    }

    fn new(model: &Model) -> Result<Self, TooLarge> {
        Ok(Self {
            trees: Trees::new(model)?,
            outcome: Outcome {
                divisor: model.divisor,
                objective: model.objective,
            },
            path: Path::best(),
            remarks: model.remarks.clone(),
        })
    }

    /// Remarks on its file, for people who check the model.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// How the values of each input are read.
    pub fn columns(&self) -> &Columns {
        self.trees.columns()
    }

    /// The forest as it is asked part by part, if its trees are small enough: each part has the next `widths` of its inputs.
    pub fn parted(&self, widths: &[usize]) -> Option<PartedForest> {
        assert_eq!(
            widths.iter().sum::<usize>(),
            self.columns().len(),
            "parts of another forest"
        );
        PartedForest::new(&self.trees, widths, self.outcome, self.path)
    }

    /// Puts one prediction into `out` (cleared first) for each row of `rows` (`[n, columns]`, row-major). Here NaN is a
    /// missing value, as for LightGBM. `columns` must be the model's number of inputs.
    pub fn predict(&self, rows: &[f32], columns: usize, out: &mut Vec<f32>) {
        assert_eq!(columns, self.columns().len(), "rows of another model");
        out.clear();
        self.predict_on(self.path, rows, |prediction| out.push(prediction as f32));
    }

    /// Gives `each` the prediction for each row of `rows` (`[n, columns]`, row-major), walked on `path`: all paths agree bit for bit.
    pub fn predict_on(&self, path: Path, rows: &[f32], each: impl FnMut(f64)) {
        let reader = self.columns();
        assert!(
            rows.len().is_multiple_of(reader.len()),
            "the last row is not whole"
        );
        let fill = |part: Range<usize>, matrix: &mut Matrix| {
            for (row, values) in rows
                .chunks_exact(reader.len())
                .skip(part.start)
                .take(part.len())
                .enumerate()
            {
                for (column, (to, value)) in matrix.row_mut(row).iter_mut().zip(values).enumerate() {
                    *to = reader.encode(column, *value);
                }
            }
        };
        // A model without inputs has no rows.
        let count = rows.len().checked_div(reader.len()).unwrap_or_default();
        self.walk_on(path, count, fill, each);
    }

    /// Walks `rows` rows in parts: `fill` puts the values of the rows of a range into a matrix, from its row 0 on, as
    /// [`Forest::columns`] encodes them; `each` gets one prediction a row, in order.
    pub fn walk(&self, rows: usize, fill: impl FnMut(Range<usize>, &mut Matrix), each: impl FnMut(f64)) {
        self.walk_on(self.path, rows, fill, each);
    }

    fn walk_on(
        &self,
        path: Path,
        rows: usize,
        mut fill: impl FnMut(Range<usize>, &mut Matrix),
        mut each: impl FnMut(f64),
    ) {
        SCRATCH.with_borrow_mut(|(matrix, sums)| {
            for start in (0..rows).step_by(Matrix::MAX_ROWS) {
                let part = start..rows.min(start + Matrix::MAX_ROWS);
                matrix.reset(part.len(), self.columns().len());
                fill(part, matrix);
                self.trees.sum(matrix, path, sums);
                sums.iter().for_each(|sum| each(self.outcome.of(*sum)));
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

#[cfg(test)]
mod tests;
