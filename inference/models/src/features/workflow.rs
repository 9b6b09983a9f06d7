//! The workflow: the fitted preprocessing that turns raw rows into what models read.
//!
//! Categorical columns become vocabulary indexes, numeric columns go through a list of [`Operation`]s. The workflow is
//! data: `workflow.json` and one Parquet file a vocabulary. [`Workflow::digest`] is what every model remembers, so that a
//! model never meets a workflow that it was not fitted on. How it is fitted: [`super::fit`].

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::row::{Cardinalities, EncodedRow, EncodedTable, Layout};
use super::table::{Cells, RawTable, TableError};
use super::vocabulary::Vocabulary;

/// The version of `workflow.json` that this code reads and writes.
const FORMAT: u32 = 1;
const FILE: &str = "workflow.json";
const VOCABULARIES: &str = "vocabulary";

/// Why a workflow could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    /// A file can't be read or written.
    #[error("cannot read or write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// `workflow.json` does not say what it should.
    #[error("{path} is not a workflow")]
    Json {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// `workflow.json` is of a version that this program does not know.
    #[error("{path} has format {found}, but this program reads {FORMAT}; use the version that wrote it")]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        found: u32,
    },
    /// A vocabulary can't be read or written.
    #[error(transparent)]
    Vocabulary(#[from] TableError),
}

/// How many standard deviations from the training mean a value that is put while models serve may be. Networks
/// multiply what they read a few times with itself; from here that stays far from where `f32` ends.
pub const FURTHEST: f32 = 1e6;

/// One step of a numeric column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Stands in where the value is missing.
    Fill(f64),
    /// Keeps the value within bounds.
    Clip {
        /// No value is below this.
        minimum: f64,
        /// No value is above this.
        maximum: f64,
    },
    /// `ln(1 + x)`, with negative values taken as 0.
    Log,
    /// `(x - mean) / standard_deviation`.
    // Bundles are spelled so since the first release.
    #[serde(rename = "normalise")]
    Normalize {
        /// Mean of the training rows.
        mean: f64,
        /// Standard deviation of the training rows; 1 where they do not vary.
        standard_deviation: f64,
    },
}

impl Operation {
    pub(super) fn apply(self, value: Option<f64>) -> Option<f64> {
        match (self, value) {
            (Operation::Fill(fill), value) => Some(value.unwrap_or(fill)),
            (_, None) => None,
            (Operation::Clip { minimum, maximum }, Some(x)) => Some(x.max(minimum).min(maximum)),
            (Operation::Log, Some(x)) => Some(x.max(0.0).ln_1p()),
            (
                Operation::Normalize {
                    mean,
                    standard_deviation,
                },
                Some(x),
            ) => Some((x - mean) / standard_deviation),
        }
    }
}

/// A numeric column and what is done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericColumn {
    /// Its name in the raw row.
    pub column: String,
    /// The steps, in order. What is still missing after the last becomes 0.
    pub operations: Vec<Operation>,
}

impl NumericColumn {
    /// The encoded value of a raw one; never NaN.
    pub fn encode(&self, value: Option<f64>) -> f32 {
        let value = value.filter(|value| value.is_finite());
        let encoded = self
            .operations
            .iter()
            .fold(value, |value, operation| operation.apply(value));
        encoded.unwrap_or(0.0) as f32
    }
}

impl NumericColumn {
    /// Whether models can be given this encoded value: one that is finite, and at most [`FURTHEST`] where the column is
    /// normalized. Other columns have no measure of what is far.
    pub fn admits(&self, encoded: f32) -> bool {
        let is_normalized = self
            .operations
            .iter()
            .any(|operation| matches!(operation, Operation::Normalize { .. }));
        encoded.abs() <= if is_normalized { FURTHEST } else { f32::MAX }
    }
}

/// A categorical column and its vocabulary.
#[derive(Debug)]
pub struct CategoricalColumn {
    /// Its name in the raw row.
    pub column: String,
    /// Its known values.
    pub vocabulary: Vocabulary,
}

/// What is done to the rows of one entity.
#[derive(Debug, Default)]
pub struct EntityWorkflow {
    /// Categorical columns, in the order of [`EncodedRow::categorical`].
    pub categorical: Vec<CategoricalColumn>,
    /// Numeric columns, in the order of [`EncodedRow::numeric`].
    pub numeric: Vec<NumericColumn>,
}

impl EntityWorkflow {
    /// Encodes one raw row into `row`, whose buffers are used again.
    pub fn encode_into(&self, raw: &impl Cells, row: &mut EncodedRow) {
        row.categorical.clear();
        row.numeric.clear();
        let indexes = self
            .categorical
            .iter()
            .map(|column| column.vocabulary.index(raw.cell(&column.column)));
        row.categorical.extend(indexes);
        let values = self
            .numeric
            .iter()
            .map(|column| column.encode(raw.cell(&column.column).as_number()));
        row.numeric.extend(values);
    }

    /// Encodes one raw row.
    pub fn encode(&self, raw: &impl Cells) -> EncodedRow {
        let mut row = EncodedRow::default();
        self.encode_into(raw, &mut row);
        row
    }

    /// The first column of an encoded row whose value models can't be given.
    pub fn first_not_admitted(&self, row: &EncodedRow) -> Option<&NumericColumn> {
        let mut values = self.numeric.iter().zip(&row.numeric);
        values
            .find(|(column, value)| !column.admits(**value))
            .map(|(column, _)| column)
    }

    /// Encodes a whole table, in row order: each row as [`encode`](Self::encode) does, but a text that many rows have is
    /// looked up once.
    pub fn encode_table(&self, table: &RawTable) -> EncodedTable {
        let mut encoded = EncodedTable::of_zeros(table.len(), self.categorical.len(), self.numeric.len());
        for (place, CategoricalColumn { column, vocabulary }) in self.categorical.iter().enumerate() {
            let indexes = table.map_column(column, |cell| vocabulary.index(cell));
            encoded.set_categorical(place, &indexes);
        }
        for (place, numeric) in self.numeric.iter().enumerate() {
            let values = table.map_column(&numeric.column, |cell| numeric.encode(cell.as_number()));
            encoded.set_numeric(place, &values);
        }
        encoded
    }

    /// Whether the workflow reads a column of this name, and as a number or not; `None` where it does not.
    pub fn reads_as_number(&self, column: &str) -> Option<bool> {
        if self.numeric.iter().any(|numeric| numeric.column == column) {
            return Some(true);
        }
        self.categorical
            .iter()
            .any(|categorical| categorical.column == column)
            .then_some(false)
    }

    /// The names of all columns that the workflow reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let categorical = self.categorical.iter().map(|column| column.column.as_str());
        categorical.chain(self.numeric.iter().map(|column| column.column.as_str()))
    }

    fn categorical_names(&self) -> Vec<String> {
        self.categorical
            .iter()
            .map(|column| column.column.clone())
            .collect()
    }

    fn cardinalities(&self) -> Vec<usize> {
        self.categorical
            .iter()
            .map(|column| column.vocabulary.cardinality())
            .collect()
    }
}

/// The fitted preprocessing of users, items, and pairs of the two.
#[derive(Debug, Default)]
pub struct Workflow {
    /// Of users.
    pub user: EntityWorkflow,
    /// Of items.
    pub item: EntityWorkflow,
    /// Of pairs: see [`super::pairs`].
    pub pair: Vec<NumericColumn>,
}

/// What `workflow.json` holds.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    user: EntityDocument,
    item: EntityDocument,
    pair: Vec<NumericColumn>,
}

#[derive(Serialize, Deserialize)]
struct EntityDocument {
    categorical: Vec<String>,
    numeric: Vec<NumericColumn>,
}

impl Workflow {
    /// The names of all inputs that models on this workflow read.
    pub fn layout(&self) -> Layout {
        let numeric = |columns: &[NumericColumn]| columns.iter().map(|c| c.column.clone()).collect();
        Layout {
            user_categorical: self.user.categorical_names(),
            user_numeric: numeric(&self.user.numeric),
            item_categorical: self.item.categorical_names(),
            item_numeric: numeric(&self.item.numeric),
            pair: numeric(&self.pair),
        }
    }

    /// The sizes of all vocabularies.
    pub fn cardinalities(&self) -> Cardinalities {
        Cardinalities {
            user: self.user.cardinalities(),
            item: self.item.cardinalities(),
        }
    }

    /// Names this workflow by its content: `sha256:` and 64 hexadecimal digits.
    pub fn digest(&self) -> String {
        self.digest_of(&self.to_json())
    }

    /// The digest of the workflow that was saved in a folder, from which this one was loaded: a number that was read may differ in its
    /// last bit from the one that was written.
    pub fn saved_digest(&self, folder: &Path) -> Result<String, WorkflowError> {
        let path = folder.join(FILE);
        let json = fs::read(&path).map_err(|source| WorkflowError::File { path, source })?;
        Ok(self.digest_of(&json))
    }

    fn digest_of(&self, json: &[u8]) -> String {
        let mut digest = Sha256::new();
        digest.update(json);
        for column in self.user.categorical.iter().chain(&self.item.categorical) {
            digest.update([0]);
            column.vocabulary.hash_into(&mut digest);
        }
        format!("sha256:{}", hex::encode(digest.finalize()))
    }

    /// Writes `workflow.json` and the vocabularies into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), WorkflowError> {
        let vocabularies = folder.join(VOCABULARIES);
        let wrap = |path: &Path| {
            let path = path.to_owned();
            |source| WorkflowError::File { path, source }
        };
        fs::create_dir_all(&vocabularies).map_err(wrap(&vocabularies))?;
        for (entity, columns) in [("user", &self.user.categorical), ("item", &self.item.categorical)] {
            for column in columns {
                column
                    .vocabulary
                    .save(&vocabulary_path(folder, entity, &column.column))?;
            }
        }
        let path = folder.join(FILE);
        fs::write(&path, self.to_json()).map_err(wrap(&path))
    }

    /// Reads what [`Workflow::save`] wrote.
    pub fn load(folder: &Path) -> Result<Self, WorkflowError> {
        let path = folder.join(FILE);
        let json = fs::read(&path).map_err(|source| WorkflowError::File {
            path: path.clone(),
            source,
        })?;
        let document: Document = serde_json::from_slice(&json).map_err(|source| WorkflowError::Json {
            path: path.clone(),
            source,
        })?;
        if document.format != FORMAT {
            return Err(WorkflowError::Format {
                path,
                found: document.format,
            });
        }
        Ok(Self {
            user: load_entity(folder, "user", document.user)?,
            item: load_entity(folder, "item", document.item)?,
            pair: document.pair,
        })
    }

    fn to_json(&self) -> Vec<u8> {
        let entity = |entity: &EntityWorkflow| EntityDocument {
            categorical: entity.categorical_names(),
            numeric: entity.numeric.clone(),
        };
        let document = Document {
            format: FORMAT,
            user: entity(&self.user),
            item: entity(&self.item),
            pair: self.pair.clone(),
        };
        serde_json::to_vec_pretty(&document).expect("names and finite numbers are always JSON")
    }
}

fn load_entity(
    folder: &Path,
    entity: &str,
    document: EntityDocument,
) -> Result<EntityWorkflow, WorkflowError> {
    let mut categorical = Vec::with_capacity(document.categorical.len());
    for column in document.categorical {
        let vocabulary = Vocabulary::load(&vocabulary_path(folder, entity, &column))?;
        categorical.push(CategoricalColumn { column, vocabulary });
    }
    Ok(EntityWorkflow {
        categorical,
        numeric: document.numeric,
    })
}

/// Where a column's vocabulary is. A column may be called anything; a file may not.
fn vocabulary_path(folder: &Path, entity: &str, column: &str) -> PathBuf {
    let mut name = String::new();
    for byte in column.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    folder.join(VOCABULARIES).join(format!("{entity}.{name}.parquet"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::record_batch::RecordBatch;
    use gondola_request::{RawRow, Value};

    use super::super::table::Cell;
    use super::*;

    fn workflow() -> Workflow {
        let ages = Vocabulary::fit([Cell::Text("25-34"), Cell::Text("35-44")].into_iter(), 1);
        Workflow {
            user: EntityWorkflow {
                categorical: vec![CategoricalColumn {
                    column: "age".into(),
                    vocabulary: ages,
                }],
                numeric: vec![NumericColumn {
                    column: "monetary".into(),
                    operations: vec![
                        Operation::Fill(0.0),
                        Operation::Clip {
                            minimum: 0.0,
                            maximum: 100.0,
                        },
                        Operation::Log,
                        Operation::Normalize {
                            mean: 1.0,
                            standard_deviation: 2.0,
                        },
                    ],
                }],
            },
            ..Workflow::default()
        }
    }

    #[track_caller]
    fn check(raw: RawRow, categorical: u32, numeric: f64) {
        let row = workflow().user.encode(&raw);
        assert_eq!(row.categorical, [categorical]);
        assert!(
            (f64::from(row.numeric[0]) - numeric).abs() < 1e-6,
            "{row:?}, wanted {numeric}"
        );
    }

    #[test]
    fn a_table_is_encoded_as_its_rows_are() {
        let ages = StringArray::from(vec![Some("25-34"), None, Some("99"), Some("25-34")]);
        let amounts = StringArray::from(vec![Some("7.5"), Some("much"), None, Some("1e9")]);
        let batch = RecordBatch::try_from_iter([
            (
                "user_id",
                Arc::new(StringArray::from(vec!["a", "b", "c", "d"])) as ArrayRef,
            ),
            ("age", Arc::new(ages)),
            ("monetary", Arc::new(amounts)),
        ])
        .unwrap();
        let table = RawTable::from_batch(&batch, "user_id", Path::new("users.parquet")).unwrap();
        let mut user = workflow().user;
        user.categorical.push(CategoricalColumn {
            column: "nowhere".into(),
            vocabulary: Vocabulary::fit([Cell::Text("x")].into_iter(), 1),
        });
        let encoded = user.encode_table(&table);
        assert_eq!(encoded.rows(), 4);
        for row in 0..table.len() {
            assert_eq!(encoded.row(row), user.encode(&table.row(row)), "row {row}");
        }
    }

    #[test]
    fn the_steps_of_released_bundles_are_read() {
        let steps = r#"[{"fill":0.0},{"clip":{"minimum":0.0,"maximum":100.0}},"log",{"normalise":{"mean":1.0,"standard_deviation":2.0}}]"#;
        let read: Vec<Operation> = serde_json::from_str(steps).unwrap();
        assert_eq!(read, workflow().user.numeric[0].operations);
        assert_eq!(serde_json::to_string(&read).unwrap(), steps);
    }

    #[test]
    fn operations_apply_in_order_and_nothing_is_ever_nan() {
        check(
            RawRow::from([("age", "25-34".into()), ("monetary", Value::Number(9.0))]),
            2,
            0.651_292_546,
        );
        check(RawRow::default(), 0, -0.5);
        check(RawRow::from([("monetary", Value::Number(f64::NAN))]), 0, -0.5);
        check(
            RawRow::from([("age", "99".into()), ("monetary", Value::Number(-5.0))]),
            1,
            -0.5,
        );
        check(
            RawRow::from([("monetary", "1e9".into())]),
            0,
            (101f64.ln() - 1.0) / 2.0,
        );
    }

    #[test]
    fn values_far_from_those_of_training_are_not_admitted() {
        let normalized = NumericColumn {
            column: "rate".into(),
            operations: vec![Operation::Normalize {
                mean: 1.0,
                standard_deviation: 0.5,
            }],
        };
        for (raw, admitted) in [
            (1e39, false),
            (-1e39, false),
            (6e5, false),
            (4e5, true),
            (f64::NAN, true),
        ] {
            assert_eq!(normalized.admits(normalized.encode(Some(raw))), admitted, "{raw}");
        }
        let as_it_is = NumericColumn {
            operations: vec![],
            ..normalized
        };
        for (raw, admitted) in [(1e39, false), (1e38, true), (1.7e9, true)] {
            assert_eq!(as_it_is.admits(as_it_is.encode(Some(raw))), admitted, "{raw}");
        }
    }

    #[test]
    fn what_was_saved_is_what_loads_with_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        workflow().save(folder.path()).unwrap();
        let loaded = Workflow::load(folder.path()).unwrap();
        assert_eq!(loaded.digest(), workflow().digest());
        assert_eq!(loaded.layout(), workflow().layout());
    }

    #[test]
    fn another_vocabulary_is_another_digest() {
        let mut other = workflow();
        other.user.categorical[0].vocabulary = Vocabulary::fit([Cell::Text("25-34")].into_iter(), 1);
        assert_ne!(other.digest(), workflow().digest());
    }
}
