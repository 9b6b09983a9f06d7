//! The workflow: the fitted preprocessing that turns raw rows into what models read.
//!
//! Categorical columns become vocabulary indexes, numeric columns go through a list of
//! [`Operation`](super::operation::Operation)s. The workflow is data: `workflow.json` and one Parquet file a vocabulary. [`Workflow::digest`] is what every model remembers, so that a
//! model never meets a workflow that it was not fitted on. How it is fitted: [`super::fit`].

mod document;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::document::{Document, LATEST};
use super::columns::{CategoricalColumn, NumberSource, NumericColumn};
use super::row::{Cardinalities, EncodedRow, EncodedTable, Layout};
use super::table::{Cells, RawTable, TableError};

const FILE: &str = "workflow.json";
const VOCABULARIES: &str = "vocabulary";
const LOOKUPS: &str = "lookup";

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
    #[error(
        "{path} has format {found}, but this program reads those up to {LATEST}; use the version that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format that it has.
        found: u32,
    },
    /// A vocabulary or a lookup can't be read or written.
    #[error(transparent)]
    Vocabulary(#[from] TableError),
    /// A lookup lacks the numbers that a column takes from it.
    #[error(
        "{column} is looked up as {value:?} in the lookup {name:?}, which has no such numbers; publish the workflow's folder as it was made"
    )]
    NoValue {
        /// The workflow's column.
        column: String,
        /// The lookup.
        name: String,
        /// The numbers that it lacks.
        value: String,
    },
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
        let indexes = self.categorical.iter().map(|column| column.index(raw));
        row.categorical.extend(indexes);
        let values = self.numeric.iter().map(|column| column.read(raw));
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
        let rows = || (0..table.len()).map(|row| table.row(row));
        for (place, column) in self.categorical.iter().enumerate() {
            let indexes = match column.own_vocabulary() {
                Some(vocabulary) => table.map_column(&column.column, |cell| vocabulary.index(cell)),
                None => rows().map(|row| column.index(&row)).collect(),
            };
            encoded.set_categorical(place, &indexes);
        }
        for (place, column) in self.numeric.iter().enumerate() {
            let values = match column.raw_column() {
                Some(raw) => table.map_column(raw, |cell| column.encode(cell.as_number())),
                None => rows().map(|row| column.read(&row)).collect(),
            };
            encoded.set_numeric(place, &values);
        }
        encoded
    }

    /// Whether the workflow reads a raw column of this name, and as a number or not; `None` where it does not.
    pub fn reads_as_number(&self, column: &str) -> Option<bool> {
        let read = self.raw_columns().filter(|(name, _)| *name == column);
        read.map(|(_, is_number)| is_number).max()
    }

    /// The names of all raw columns that the workflow reads, each once.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        let names = self.raw_columns().map(|(name, _)| name);
        names.filter(move |name| seen.insert(*name))
    }

    /// Raw columns, and whether they are read as numbers.
    fn raw_columns(&self) -> impl Iterator<Item = (&str, bool)> {
        let categorical = self.categorical.iter().flat_map(CategoricalColumn::raw_columns);
        categorical.chain(self.numeric.iter().flat_map(NumericColumn::raw_columns))
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
            .map(CategoricalColumn::cardinality)
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
        let vocabularies = self.user.categorical.iter().chain(&self.item.categorical);
        for vocabulary in vocabularies.filter_map(CategoricalColumn::vocabulary) {
            digest.update([0]);
            vocabulary.hash_into(&mut digest);
        }
        for column in self.user.numeric.iter().chain(&self.item.numeric) {
            if let NumberSource::Lookup { lookup, .. } = &column.source {
                digest.update([1]);
                lookup.hash_into(&mut digest);
            }
        }
        format!("sha256:{}", hex::encode(digest.finalize()))
    }

    /// Writes `workflow.json`, the vocabularies and the lookups into a folder.
    pub fn save(&self, folder: &Path) -> Result<(), WorkflowError> {
        create(&folder.join(VOCABULARIES))?;
        for (entity, workflow) in [("user", &self.user), ("item", &self.item)] {
            workflow.save_files(folder, entity)?;
        }
        let path = folder.join(FILE);
        fs::write(&path, self.to_json()).map_err(|source| WorkflowError::File { path, source })
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
        if !(1..=LATEST).contains(&document.format) {
            return Err(WorkflowError::Format {
                path,
                found: document.format,
            });
        }
        document.load(folder)
    }

    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(&Document::of(self)).expect("names and finite numbers are always JSON")
    }
}

impl EntityWorkflow {
    fn save_files(&self, folder: &Path, entity: &str) -> Result<(), WorkflowError> {
        let mut written = HashSet::new();
        for named in self
            .categorical
            .iter()
            .filter_map(CategoricalColumn::named_vocabulary)
        {
            let path = vocabulary_path(folder, entity, &named.name);
            if written.insert(path.clone()) {
                named.vocabulary.save(&path)?;
            }
        }
        for column in &self.numeric {
            if let NumberSource::Lookup { name, lookup, .. } = &column.source {
                let path = lookup_path(folder, entity, name);
                if written.insert(path.clone()) {
                    create(&folder.join(LOOKUPS))?;
                    lookup.save(&path)?;
                }
            }
        }
        Ok(())
    }
}

fn create(folder: &Path) -> Result<(), WorkflowError> {
    fs::create_dir_all(folder).map_err(|source| WorkflowError::File {
        path: folder.to_owned(),
        source,
    })
}

/// Where a column's vocabulary is.
fn vocabulary_path(folder: &Path, entity: &str, column: &str) -> PathBuf {
    file(&folder.join(VOCABULARIES), entity, column)
}

/// Where a lookup is.
fn lookup_path(folder: &Path, entity: &str, name: &str) -> PathBuf {
    file(&folder.join(LOOKUPS), entity, name)
}

/// A column may be called anything; a file may not.
fn file(folder: &Path, entity: &str, column: &str) -> PathBuf {
    let mut name = String::new();
    for byte in column.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    folder.join(format!("{entity}.{name}.parquet"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};
    use arrow::record_batch::RecordBatch;
    use gondola_request::{RawRow, Value};

    use super::super::columns::{Encoding, NamedVocabulary, Reading};
    use super::super::lookup::{Lookup, LookupColumn};
    use super::super::operation::Operation;
    use super::super::table::Cell;
    use super::super::vocabulary::{Indexes, Vocabulary};
    use super::*;

    fn workflow() -> Workflow {
        let ages = Vocabulary::fit([Cell::Text("25-34"), Cell::Text("35-44")].into_iter(), 1);
        Workflow {
            user: EntityWorkflow {
                categorical: vec![CategoricalColumn::of("age", ages)],
                numeric: vec![NumericColumn::of(
                    "monetary",
                    vec![
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
                )],
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
        let nowhere = Vocabulary::fit([Cell::Text("x")].into_iter(), 1);
        user.categorical.push(CategoricalColumn::of("nowhere", nowhere));
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
        let normalize = Operation::Normalize {
            mean: 1.0,
            standard_deviation: 0.5,
        };
        let normalized = NumericColumn::of("rate", vec![normalize]);
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
    fn the_digest_of_a_workflow_of_earlier_releases_stays() {
        let digest = "sha256:08693798372a5ac9bf073e3047bf42b2aeb5a694d66e1bce08b7f2bd33abf74c";
        assert_eq!(workflow().digest(), digest);
    }

    #[test]
    fn columns_that_are_made_of_others_are_saved_and_loaded() {
        let sizes = Vocabulary::fit([Cell::Text(r#"["s","25-34"]"#)].into_iter(), 1);
        let vocabulary = NamedVocabulary {
            name: "size_age".into(),
            vocabulary: Arc::new(sizes.with_indexes(Indexes {
                null: 1,
                unknown: 2,
                first: 3,
            })),
        };
        let mean = LookupColumn {
            name: "mean".into(),
            numbers: Float64Array::from(vec![0.25]),
        };
        let lookup = Lookup::new([[Cell::Text("s")].into_iter()].into_iter(), vec![mean]);
        let mut made = workflow();
        made.user.categorical.push(CategoricalColumn {
            column: "both".into(),
            reads: vec![Reading::of("size"), Reading::of("age")],
            encoding: Encoding::Vocabulary(vocabulary),
        });
        made.user.numeric.push(NumericColumn {
            column: "mean_of_size".into(),
            source: NumberSource::Lookup {
                reads: vec![Reading::of("size")],
                name: "size".into(),
                lookup: Arc::new(lookup),
                value: 0,
            },
            operations: vec![Operation::Fill(0.5)],
        });
        let folder = tempfile::tempdir().unwrap();
        made.save(folder.path()).unwrap();
        let loaded = Workflow::load(folder.path()).unwrap();
        assert_eq!(loaded.digest(), made.digest());
        assert_eq!(
            loaded.user.columns().collect::<Vec<_>>(),
            ["age", "size", "monetary"]
        );
        assert_eq!(loaded.user.reads_as_number("size"), Some(false));
        let row = |size: &str| {
            loaded
                .user
                .encode(&RawRow::from([("size", size.into()), ("age", "25-34".into())]))
        };
        assert_eq!((row("s").categorical, row("s").numeric[1]), (vec![2, 3], 0.25));
        assert_eq!((row("xl").categorical, row("xl").numeric[1]), (vec![2, 2], 0.5));
        assert_eq!(loaded.user.encode(&RawRow::default()).categorical, [0, 1]);
    }

    #[test]
    fn another_vocabulary_is_another_digest() {
        let mut other = workflow();
        let fewer = Vocabulary::fit([Cell::Text("25-34")].into_iter(), 1);
        other.user.categorical[0] = CategoricalColumn::of("age", fewer);
        assert_ne!(other.digest(), workflow().digest());
    }
}
