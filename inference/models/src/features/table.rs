//! Raw tables: the users and items of a snapshot as a shop's data has them, columnar and in memory.

use std::collections::HashMap;
use std::fs::File;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Float64Builder, LargeStringArray,
    LargeStringBuilder, StringArray, StringDictionaryBuilder, UInt32Array,
};
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Schema, UInt32Type};
use arrow::record_batch::RecordBatch;
use hashbrown::HashTable;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use gondola_forest::misplaced::Misplaced;
use gondola_request::{RawRow, Value};

use super::list;

/// Rows that are read at a time.
const BATCH: usize = 8192;

/// Why a table of a bundle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A file is something else, left in the table's place.
    #[error("{path} is {}; {}", found.name(), found.way_out())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Misplaced,
    },
    /// The file is not there or can't be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not Parquet, or a damaged one.
    #[error("{path} is not a readable Parquet file")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A column can't be turned into text or numbers.
    #[error("{path}: cannot read its columns")]
    Arrow {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A column that must be there is not.
    #[error("{path} has no column {column:?}; it has {found:?}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column that was looked for.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// Rows that the tables of users and items do not have, or that are out of order.
    #[error(
        "{path}: row {row} is of user {user} and item {item}, which the tables of the bundle lack or which is out of order; publish \
         the bundle's files as one training run wrote them"
    )]
    Rows {
        /// The file.
        path: PathBuf,
        /// Which row, counted from 0.
        row: usize,
        /// The user's row.
        user: u32,
        /// The item's row.
        item: u32,
    },
    /// An id is null or is in two rows.
    #[error("{path}: the {key} of row {row} is {problem}; every row needs its own")]
    Id {
        /// The file.
        path: PathBuf,
        /// The id's column.
        key: String,
        /// Which row, counted from 0.
        row: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// One raw value, borrowed from a table or a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing is known.
    Null,
    /// A quantity.
    Number(f64),
    /// A category, an identifier or a text.
    Text(&'a str),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Cell::Null,
            Value::Number(number) => Cell::Number(*number),
            Value::Text(text) => Cell::Text(text),
        }
    }
}

impl Cell<'_> {
    /// The value as a number: `None` for null, for text that is not a number, and for NaN and infinities.
    pub fn as_number(self) -> Option<f64> {
        let number = match self {
            Cell::Null => None,
            Cell::Number(number) => Some(number),
            Cell::Text(text) => text.trim().parse().ok(),
        };
        number.filter(|number: &f64| number.is_finite())
    }

    /// Whether models can't tell it from another one: a number of 32 bits is the number of 64 bits that it was made of, and a category
    /// that is a number is its text.
    pub fn is_same(self, other: Cell<'_>) -> bool {
        match (self, other) {
            (Cell::Null, Cell::Null) => true,
            (Cell::Number(one), Cell::Number(other)) => one as f32 == other as f32,
            (Cell::Text(one), Cell::Text(other)) => one == other,
            (Cell::Number(number), Cell::Text(text)) | (Cell::Text(text), Cell::Number(number)) => {
                number.to_string() == text
            }
            _ => false,
        }
    }
}

/// Anything that has raw values by column name.
pub trait Cells {
    /// The value of `column`; null where there is none.
    fn cell(&self, column: &str) -> Cell<'_>;
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Value::Null,
            Cell::Number(number) => Value::Number(number),
            Cell::Text(text) => Value::Text(text.to_owned()),
        }
    }
}

impl Cells for RawRow {
    fn cell(&self, column: &str) -> Cell<'_> {
        self.get(column).into()
    }
}

#[derive(Debug)]
enum Column {
    Text(DictionaryArray<Int32Type>),
    Number(Float64Array),
}

/// The rows of one entity, found by id.
///
/// A text that many rows have is kept once, and the index holds row numbers only, so that a million users cost little
/// more than their file.
#[derive(Debug)]
pub struct RawTable {
    ids: LargeStringArray,
    rows: HashTable<u32>,
    hasher: hashbrown::DefaultHashBuilder,
    names: Vec<String>,
    columns: Vec<Column>,
    positions: HashMap<String, usize>,
}

impl RawTable {
    /// Reads a Parquet file whose column `key` holds the ids.
    pub fn read(path: &Path, key: &str) -> Result<Self, TableError> {
        let file = TableFile::open(path)?;
        let mut table = TableBuilder::new(file.reader.schema(), key, path)?;
        for batch in file.batches()? {
            table.add(&batch?)?;
        }
        table.finish()
    }

    /// Takes a record batch; `path` is only named in errors.
    pub fn from_batch(batch: &RecordBatch, key: &str, path: &Path) -> Result<Self, TableError> {
        let mut table = TableBuilder::new(&batch.schema(), key, path)?;
        table.add(batch)?;
        table.finish()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether the table has no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Names of the columns, without the id's, in the file's order.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// Whether a column's values are numbers; `None` where there is no such column.
    pub fn has_numbers(&self, column: &str) -> Option<bool> {
        let position = *self.positions.get(column)?;
        Some(matches!(self.columns[position], Column::Number(_)))
    }

    /// The row of an id.
    pub fn find(&self, id: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        self.rows
            .find(hash, |row| self.ids.value(*row as usize) == id)
            .map(|row| *row as usize)
    }

    /// The id of a row. Panics past the last row, as a slice does.
    pub fn id(&self, row: usize) -> &str {
        self.ids.value(row)
    }

    /// One row, to be read by column name.
    pub fn row(&self, row: usize) -> TableRow<'_> {
        TableRow { table: self, row }
    }

    /// The values of a column, in row order; nothing where there is no such column.
    pub fn cells<'a>(&'a self, column: &str) -> impl Iterator<Item = Cell<'a>> {
        let position = self.positions.get(column).copied();
        (0..self.len()).map(move |row| position.map_or(Cell::Null, |position| self.value(position, row)))
    }

    /// What `map` makes of a column's values, in row order; of a text that many rows have it is made once.
    pub(super) fn map_column<T: Copy>(&self, column: &str, map: impl Fn(Cell<'_>) -> T) -> Vec<T> {
        match self
            .positions
            .get(column)
            .map(|position| &self.columns[*position])
        {
            None => vec![map(Cell::Null); self.len()],
            Some(Column::Number(values)) => {
                let values = values.iter();
                values
                    .map(|value| map(value.map_or(Cell::Null, Cell::Number)))
                    .collect()
            }
            Some(Column::Text(values)) => {
                let null = map(Cell::Null);
                let texts = values.values().as_string::<i32>().iter();
                let of_each: Vec<T> = texts
                    .map(|text| map(text.map_or(Cell::Null, Cell::Text)))
                    .collect();
                let keys = values.keys().iter();
                keys.map(|key| key.map_or(null, |key| of_each[key as usize]))
                    .collect()
            }
        }
    }

    fn value(&self, position: usize, row: usize) -> Cell<'_> {
        match &self.columns[position] {
            Column::Text(values) if values.is_valid(row) => {
                let text = values.keys().value(row) as usize;
                Cell::Text(values.values().as_string::<i32>().value(text))
            }
            Column::Number(values) if values.is_valid(row) => Cell::Number(values.value(row)),
            _ => Cell::Null,
        }
    }
}

/// One row of a [`RawTable`].
#[derive(Clone, Copy, Debug)]
pub struct TableRow<'a> {
    table: &'a RawTable,
    row: usize,
}

impl<'a> TableRow<'a> {
    /// The value of `column`, which lives as long as the table; null where there is none.
    pub fn value(&self, column: &str) -> Cell<'a> {
        match self.table.positions.get(column) {
            Some(position) => self.table.value(*position, self.row),
            None => Cell::Null,
        }
    }
}

impl Cells for TableRow<'_> {
    fn cell(&self, column: &str) -> Cell<'_> {
        self.value(column)
    }
}

/// A table that is read batch by batch, so that nothing is in memory twice.
struct TableBuilder<'a> {
    key: &'a str,
    path: &'a Path,
    ids: LargeStringBuilder,
    columns: Vec<(String, ColumnBuilder)>,
}

enum ColumnBuilder {
    Text(StringDictionaryBuilder<Int32Type>),
    Number(Float64Builder),
}

impl<'a> TableBuilder<'a> {
    fn new(schema: &Schema, key: &'a str, path: &'a Path) -> Result<Self, TableError> {
        if schema.column_with_name(key).is_none() {
            return Err(no_column(schema, key, path));
        }
        let columns = schema.fields().iter().filter(|field| field.name() != key);
        let columns = columns.map(|field| (field.name().clone(), ColumnBuilder::of(field.data_type())));
        Ok(Self {
            key,
            path,
            ids: LargeStringBuilder::new(),
            columns: columns.collect(),
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let ids = text_column(batch, self.key, self.path)?;
        self.ids.extend(ids.iter());
        for (name, column) in &mut self.columns {
            match column {
                ColumnBuilder::Text(values) => values.extend(text_column(batch, name, self.path)?.iter()),
                ColumnBuilder::Number(values) => values.extend(number_column(batch, name, self.path)?.iter()),
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<RawTable, TableError> {
        let ids = self.ids.finish();
        let hasher = hashbrown::DefaultHashBuilder::default();
        let rows = index(&ids, &hasher).map_err(|(row, problem)| TableError::Id {
            path: self.path.to_owned(),
            key: self.key.to_owned(),
            row,
            problem,
        })?;
        let (names, columns): (Vec<String>, Vec<ColumnBuilder>) = self.columns.into_iter().unzip();
        Ok(RawTable {
            ids,
            rows,
            hasher,
            positions: names.iter().cloned().zip(0..).collect(),
            names,
            columns: columns.into_iter().map(ColumnBuilder::finish).collect(),
        })
    }
}

impl ColumnBuilder {
    fn of(kind: &DataType) -> Self {
        match kind {
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Dictionary(..)
            | DataType::List(_)
            | DataType::LargeList(_) => Self::Text(StringDictionaryBuilder::new()),
            _ => Self::Number(Float64Builder::new()),
        }
    }

    fn finish(self) -> Column {
        match self {
            Self::Text(mut values) => Column::Text(values.finish()),
            Self::Number(mut values) => Column::Number(values.finish()),
        }
    }
}

/// A Parquet file of a bundle, opened.
pub(crate) struct TableFile {
    path: PathBuf,
    reader: ParquetRecordBatchReaderBuilder<File>,
}

impl TableFile {
    pub(crate) fn open(path: &Path) -> Result<Self, TableError> {
        let path = path.to_owned();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(source) => return Err(TableError::File { path, source }),
        };
        if let Some(found) = Misplaced::of_file(&path) {
            return Err(TableError::Misplaced { path, found });
        }
        match ParquetRecordBatchReaderBuilder::try_new(file) {
            Ok(reader) => Ok(Self { path, reader }),
            Err(source) => Err(TableError::Parquet { path, source }),
        }
    }

    /// Whether it has a column.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.reader.schema().column_with_name(column).is_some()
    }

    /// Its rows, some thousand at a time.
    pub(crate) fn batches(self) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>>, TableError> {
        let Self { path, reader } = self;
        let batches = reader.with_batch_size(BATCH).build();
        let batches = batches.map_err(|source| TableError::Parquet {
            path: path.clone(),
            source,
        })?;
        Ok(batches.map(move |batch| {
            batch.map_err(|source| TableError::Arrow {
                path: path.clone(),
                source,
            })
        }))
    }
}

/// All of a Parquet file as one batch.
pub fn read_parquet(path: &Path) -> Result<RecordBatch, TableError> {
    let file = TableFile::open(path)?;
    let schema = file.reader.schema().clone();
    let batches: Vec<_> = file.batches()?.collect::<Result<_, _>>()?;
    concat_batches(&schema, &batches).map_err(|source| TableError::Arrow {
        path: path.to_owned(),
        source,
    })
}

/// A column as text; lists as [`super::list`] has them.
pub(crate) fn text_column(batch: &RecordBatch, column: &str, path: &Path) -> Result<StringArray, TableError> {
    let array = find_column(batch, column, path)?;
    let text = match array.data_type() {
        DataType::List(_) | DataType::LargeList(_) => list::as_texts(array),
        _ => cast(array, &DataType::Utf8).map(|text| text.as_string().clone()),
    };
    text.map_err(|source| TableError::Arrow {
        path: path.to_owned(),
        source,
    })
}

/// A column as numbers.
pub(crate) fn number_column(
    batch: &RecordBatch,
    column: &str,
    path: &Path,
) -> Result<Float64Array, TableError> {
    let array = find_column(batch, column, path)?;
    let numbers = cast(array, &DataType::Float64).map_err(|source| TableError::Arrow {
        path: path.to_owned(),
        source,
    })?;
    Ok(numbers.as_primitive::<Float64Type>().clone())
}

/// A column of rows of another table.
pub(crate) fn row_column(batch: &RecordBatch, column: &str, path: &Path) -> Result<UInt32Array, TableError> {
    let array = find_column(batch, column, path)?;
    let strict = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    let rows = cast_with_options(array, &DataType::UInt32, &strict).map_err(|source| TableError::Arrow {
        path: path.to_owned(),
        source,
    })?;
    Ok(rows.as_primitive::<UInt32Type>().clone())
}

fn find_column<'a>(batch: &'a RecordBatch, column: &str, path: &Path) -> Result<&'a ArrayRef, TableError> {
    let found = batch.column_by_name(column);
    found.ok_or_else(|| no_column(&batch.schema(), column, path))
}

fn no_column(schema: &Schema, column: &str, path: &Path) -> TableError {
    TableError::NoColumn {
        path: path.to_owned(),
        column: column.to_owned(),
        found: schema.fields().iter().map(|field| field.name().clone()).collect(),
    }
}

fn index(ids: &LargeStringArray, hasher: &impl BuildHasher) -> Result<HashTable<u32>, (usize, String)> {
    let mut rows = HashTable::with_capacity(ids.len());
    for row in 0..ids.len() {
        if ids.is_null(row) {
            return Err((row, "null".to_owned()));
        }
        let id = ids.value(row);
        let hash = hasher.hash_one(id);
        if let Some(other) = rows.find(hash, |other: &u32| ids.value(*other as usize) == id) {
            return Err((row, format!("{id:?}, as in row {other}")));
        }
        rows.insert_unique(hash, row as u32, |row| hasher.hash_one(ids.value(*row as usize)));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn table(ids: Vec<Option<&str>>) -> Result<RawTable, TableError> {
        let ages = Float64Array::from(vec![Some(31.0); ids.len()]);
        let batch = RecordBatch::try_from_iter([
            ("user_id", Arc::new(StringArray::from(ids)) as ArrayRef),
            ("age", Arc::new(ages) as ArrayRef),
        ])
        .unwrap();
        RawTable::from_batch(&batch, "user_id", Path::new("users.parquet"))
    }

    #[test]
    fn a_pointer_of_git_lfs_is_refused_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("items.parquet");
        std::fs::write(
            &path,
            "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 9\n",
        )
        .unwrap();
        let message = RawTable::read(&path, "item_id").unwrap_err().to_string();
        assert!(
            message.contains("items.parquet is a pointer of git-lfs"),
            "{message}"
        );
    }

    #[test]
    fn a_row_is_found_by_its_id() {
        let table = table(vec![Some("a"), Some("b")]).unwrap();
        assert_eq!(table.find("b"), Some(1));
        assert_eq!(table.find("c"), None);
        assert_eq!(table.row(1).cell("age"), Cell::Number(31.0));
        assert_eq!(table.row(1).cell("color"), Cell::Null);
    }

    #[test]
    fn an_id_that_is_null_or_stands_twice_is_refused() {
        let message = |ids| table(ids).unwrap_err().to_string();
        assert_eq!(
            message(vec![Some("a"), None]),
            "users.parquet: the user_id of row 1 is null; every row needs its own"
        );
        assert_eq!(
            message(vec![Some("a"), Some("a")]),
            "users.parquet: the user_id of row 1 is \"a\", as in row 0; every row needs its own"
        );
    }
}
