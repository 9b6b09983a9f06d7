//! The Parquet files of an exported workflow: categories and statistics.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::exported::{JoinGroupby, TargetEncoding};
use super::refusal::MerlinError;
use crate::features::lookup::{Lookup, LookupColumn};
use crate::features::table::{Cell, number_column, read_parquet, text_column};
use crate::features::texts::tuple;
use crate::features::vocabulary::{Indexes, Vocabulary};

/// Reads tables, each once.
pub(super) struct Tables<'a> {
    folder: &'a Path,
    vocabularies: HashMap<String, Arc<Vocabulary>>,
    statistics: HashMap<String, Arc<Lookup>>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            vocabularies: HashMap::new(),
            statistics: HashMap::new(),
        }
    }

    /// The categories of a file, in its order.
    pub(super) fn vocabulary(
        &mut self,
        table: &str,
        keys: &[String],
        indexes: Indexes,
    ) -> Result<Arc<Vocabulary>, MerlinError> {
        if let Some(read) = self.vocabularies.get(table) {
            return Ok(Arc::clone(read));
        }
        let read = Table::read(self.folder, table, keys)?;
        let values = match read.keys.as_slice() {
            [texts] => {
                if let Some(row) = (0..texts.len()).find(|row| texts.is_null(*row)) {
                    return Err(MerlinError::NullCategory {
                        path: read.path,
                        column: keys.join(", "),
                        row,
                    });
                }
                texts.clone()
            }
            _ => StringArray::from_iter_values(read.rows().map(tuple)),
        };
        let vocabulary = Arc::new(Vocabulary::from_values(values).with_indexes(indexes));
        self.vocabularies
            .insert(table.to_owned(), Arc::clone(&vocabulary));
        Ok(vocabulary)
    }

    /// All statistics of a file.
    pub(super) fn statistics(&mut self, table: &str, keys: &[String]) -> Result<Arc<Lookup>, MerlinError> {
        if let Some(read) = self.statistics.get(table) {
            return Ok(Arc::clone(read));
        }
        let read = Table::read(self.folder, table, keys)?;
        let schema = read.batch.schema();
        let names = schema.fields().iter().map(|field| field.name());
        let mut columns = Vec::new();
        for name in names.filter(|name| !keys.contains(name)) {
            columns.push(LookupColumn {
                name: name.clone(),
                numbers: number_column(&read.batch, name, &read.path)?,
            });
        }
        let lookup = Arc::new(Lookup::new(read.rows(), columns));
        self.statistics.insert(table.to_owned(), Arc::clone(&lookup));
        Ok(lookup)
    }

    /// Which column of its statistics an operator takes.
    pub(super) fn column(&self, statistics: &Lookup, join: &JoinGroupby) -> Result<usize, MerlinError> {
        statistics
            .column(&join.value)
            .ok_or_else(|| MerlinError::NoStatistic {
                path: self.folder.join(&join.table),
                column: join.value.clone(),
            })
    }

    /// `(sum + p_smooth * mean) / (count + p_smooth)` of each category, in a column of this name.
    pub(super) fn smoothed(&self, encoding: &TargetEncoding, name: &str) -> Result<Lookup, MerlinError> {
        let TargetEncoding { p_smooth, mean, .. } = encoding;
        let read = Table::read(self.folder, &encoding.table, &encoding.keys)?;
        let counts = number_column(&read.batch, &encoding.count, &read.path)?;
        let sums = number_column(&read.batch, &encoding.sum, &read.path)?;
        let smoothed = |(sum, count): (Option<f64>, Option<f64>)| {
            let encoded = (sum? + p_smooth * mean) / (count? + p_smooth);
            Some(encoding.precision.round(encoded)).filter(|encoded| encoded.is_finite())
        };
        let column = LookupColumn {
            name: name.to_owned(),
            numbers: sums.iter().zip(&counts).map(smoothed).collect(),
        };
        Ok(Lookup::new(read.rows(), vec![column]))
    }
}

/// A file whose first columns are categories, as text.
struct Table {
    path: PathBuf,
    batch: RecordBatch,
    keys: Vec<StringArray>,
}

impl Table {
    fn read(folder: &Path, table: &str, keys: &[String]) -> Result<Self, MerlinError> {
        let path = folder.join(table);
        let batch = read_parquet(&path)?;
        let keys = keys
            .iter()
            .map(|key| categories(&batch, key, &path))
            .collect::<Result<_, _>>()?;
        Ok(Self { path, batch, keys })
    }

    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = Cell<'_>>> {
        (0..self.batch.num_rows()).map(move |row| {
            let keys = self.keys.iter();
            keys.map(move |key| match key.is_valid(row) {
                true => Cell::Text(key.value(row)),
                false => Cell::Null,
            })
        })
    }
}

/// A column of categories as the texts by which they are found: whole numbers without a point, truth values as 1 and 0.
fn categories(batch: &RecordBatch, column: &str, path: &Path) -> Result<StringArray, MerlinError> {
    let Some(array) = batch.column_by_name(column) else {
        return Ok(text_column(batch, column, path)?);
    };
    let number = |number: Option<f64>| {
        number
            .filter(|number| !number.is_nan())
            .map(|number| number.to_string())
    };
    match array.data_type() {
        DataType::Boolean => {
            let truths = array.as_boolean().iter();
            Ok(truths
                .map(|is_true| is_true.map(|is_true| if is_true { "1" } else { "0" }))
                .collect())
        }
        kind if kind.is_floating() => {
            let numbers = number_column(batch, column, path)?;
            Ok(numbers.iter().map(number).collect())
        }
        kind if kind.is_string() || kind.is_integer() || matches!(kind, DataType::Dictionary(..)) => {
            Ok(text_column(batch, column, path)?)
        }
        kind => Err(MerlinError::CategoryType {
            path: path.to_owned(),
            column: column.to_owned(),
            kind: kind.to_string(),
        }),
    }
}
