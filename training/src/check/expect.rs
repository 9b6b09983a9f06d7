//! What a scorer's own library predicts for some rows, and whether the scorer gives the same.
//!
//! A file (CSV with a header, or Parquet) has a column for each input, by name and in any order, and a column
//! [`PREDICTION`]. Rows are what models read: indexes into vocabularies and scaled numbers, not raw values.
//! An empty cell or NaN is a missing number.

use std::fmt;
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::error::DataFusionError;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionContext};
use gondola_models::features::{EncodedRow, EncodedTable, Layout};
use gondola_models::scoring::forest::lightgbm_name;
use gondola_models::scoring::{CandidateBatch, ScoreError, Scorer};

use gondola_models::scoring::check::{Input, InputKind, Inputs};

/// The column with the library's predictions.
pub const PREDICTION: &str = "prediction";

/// Why a scorer could not be compared with a file, or is not what the file says.
#[derive(Debug, thiserror::Error)]
pub enum ExpectError {
    /// The file can't be read.
    #[error("cannot read {path}; it must be CSV with a header, or Parquet")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: DataFusionError,
    },
    /// The file has no rows.
    #[error("{path} has no rows, so nothing can be compared with it")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A column is missing.
    #[error(
        "{path} has no column {column:?}; it must have one for each input, as `check` lists them, and one {PREDICTION:?}, but it has {}",
        found.join(", ")
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// Those that there are.
        found: Vec<String>,
    },
    /// A column is no numbers.
    #[error(
        "column {column:?} of {path} is not a column of numbers; write what the model reads, not raw values"
    )]
    Numbers {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The cause.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A cell can't be what its column says.
    #[error("row {row} of {path} has {value} in column {column:?}, but it must be {wanted}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Which row, from 0.
        row: usize,
        /// The column.
        column: String,
        /// What is there.
        value: f64,
        /// What would do.
        wanted: String,
    },
    /// A row can't be scored.
    #[error("the scorer can't score row {row} of {path}")]
    Score {
        /// The file.
        path: PathBuf,
        /// Which row, from 0.
        row: usize,
        /// The cause.
        #[source]
        source: ScoreError,
    },
    /// The scorer gives other scores.
    #[error(
        "{others} of {rows} rows of {path} get other scores than expected, row {row} the most: {found}, but {PREDICTION} is {expected}; compare what the score is of (probability or margin, and of which class), which value was missing in training, and whether all trees were used"
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// Rows that differ.
        others: usize,
        /// Rows in all.
        rows: usize,
        /// The row that differs most, from 0.
        row: usize,
        /// Its score.
        found: f32,
        /// What the file says.
        expected: f64,
    },
}

use ExpectError as Error;

/// A scorer that gives what was expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Rows compared.
    pub rows: usize,
    /// How far apart score and prediction are at most.
    pub furthest: f64,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, furthest } = self;
        write!(
            f,
            "{rows} rows get the scores that were expected, within {furthest:.1e}"
        )
    }
}

/// Compares a scorer's scores with a file's predictions: each within `tolerance`, of the prediction where
/// that is above 1.
pub(super) async fn compare(
    scorer: &dyn Scorer,
    layout: &Layout,
    inputs: &Inputs,
    path: &Path,
    tolerance: f64,
) -> Result<Agreement, ExpectError> {
    let file = Rows::read(path).await?;
    let expected = file.column(PREDICTION)?;
    let columns = inputs.0.iter().map(|input| file.input(input));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut furthest = (0, 0.0, 0.0);
    let mut others = 0;
    for (row, expected) in expected.iter().enumerate() {
        let values: Vec<f64> = columns.iter().map(|column| column[row]).collect();
        let found = score(scorer, layout, &values).map_err(|source| Error::Score {
            path: path.to_owned(),
            row,
            source,
        })?;
        if expected.is_nan() {
            return Err(file.cell(row, PREDICTION, *expected, "a number".to_owned()));
        }
        let apart = (f64::from(found) - expected).abs();
        others += usize::from(apart.is_nan() || apart > tolerance * expected.abs().max(1.0));
        if apart >= furthest.1 {
            furthest = (row, apart, found);
        }
    }
    let (row, apart, found) = furthest;
    match others {
        0 => Ok(Agreement {
            rows: expected.len(),
            furthest: apart,
        }),
        _ => Err(Error::Differs {
            path: path.to_owned(),
            others,
            rows: expected.len(),
            row,
            found,
            expected: expected[row],
        }),
    }
}

/// The score of one row, whose values are in the order of the inputs.
fn score(scorer: &dyn Scorer, layout: &Layout, values: &[f64]) -> Result<f32, ScoreError> {
    let (user, rest) = entity(values, layout.user_categorical.len(), layout.user_numeric.len());
    let (item, pair) = entity(rest, layout.item_categorical.len(), layout.item_numeric.len());
    let mut items = EncodedTable::new(item.categorical.len(), item.numeric.len());
    items.push(&item);
    let mut block = vec![0.0; scorer.block_width()];
    scorer.prepare(&items, &mut block);
    let pairs: Vec<f32> = pair.iter().map(|value| *value as f32).collect();
    let candidates = CandidateBatch {
        blocks: &[&block],
        pairs: &pairs,
        pair_width: pairs.len(),
    };
    let mut scores = Vec::with_capacity(1);
    scorer.score(&user, &candidates, &mut scores)?;
    Ok(scores[0])
}

/// The first values as an entity's row, and the others.
fn entity(values: &[f64], categorical: usize, numeric: usize) -> (EncodedRow, &[f64]) {
    let (indexes, rest) = values.split_at(categorical);
    let (numbers, rest) = rest.split_at(numeric);
    let row = EncodedRow {
        categorical: indexes.iter().map(|index| *index as u32).collect(),
        numeric: numbers.iter().map(|number| *number as f32).collect(),
    };
    (row, rest)
}

/// The rows of a file.
struct Rows<'a> {
    path: &'a Path,
    batch: RecordBatch,
}

impl<'a> Rows<'a> {
    async fn read(path: &'a Path) -> Result<Self, Error> {
        let batch = read(path).await.map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })?;
        match batch.num_rows() {
            0 => Err(Error::Empty {
                path: path.to_owned(),
            }),
            _ => Ok(Self { path, batch }),
        }
    }

    /// The values of an input's column, which may have the name that LightGBM can write.
    fn input(&self, input: &Input) -> Result<Vec<f64>, Error> {
        let written = lightgbm_name(&input.name);
        let name = match self.batch.column_by_name(&written) {
            Some(_) => &written,
            None => &input.name,
        };
        let values = self.column(name)?;
        if let InputKind::Index { values: count } = input.kind {
            let is_index = |value: &f64| value.fract() == 0.0 && (0.0..count as f64).contains(value);
            if let Some(row) = values.iter().position(|value| !is_index(value)) {
                let wanted = format!(
                    "an index into its vocabulary, from 0 to {}",
                    count.saturating_sub(1)
                );
                return Err(self.cell(row, name, values[row], wanted));
            }
        }
        Ok(values)
    }

    /// The numbers of a column; NaN where there is none.
    fn column(&self, name: &str) -> Result<Vec<f64>, Error> {
        let column = self.batch.column_by_name(name).ok_or_else(|| Error::Column {
            path: self.path.to_owned(),
            column: name.to_owned(),
            found: self
                .batch
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect(),
        })?;
        numbers(column).map_err(|source| Error::Numbers {
            path: self.path.to_owned(),
            column: name.to_owned(),
            source,
        })
    }

    fn cell(&self, row: usize, column: &str, value: f64, wanted: String) -> Error {
        Error::Cell {
            path: self.path.to_owned(),
            row,
            column: column.to_owned(),
            value,
            wanted,
        }
    }
}

async fn read(path: &Path) -> Result<RecordBatch, DataFusionError> {
    let sql = SessionContext::new();
    let file = path.to_string_lossy().into_owned();
    let frame = match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => sql.read_parquet(file, ParquetReadOptions::default()).await?,
        extension => {
            let ending = extension
                .map(|extension| format!(".{extension}"))
                .unwrap_or_default();
            let options = CsvReadOptions::new()
                .file_extension(&ending)
                .schema_infer_max_records(usize::MAX);
            sql.read_csv(file, options).await?
        }
    };
    let schema = std::sync::Arc::clone(frame.schema().inner());
    let batches = frame.collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

fn numbers(column: &ArrayRef) -> Result<Vec<f64>, arrow::error::ArrowError> {
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let numbers = cast_with_options(column, &DataType::Float64, &strict)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    Ok(numbers.iter().map(|number| number.unwrap_or(f64::NAN)).collect())
}
