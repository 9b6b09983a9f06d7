//! The Parquet files of an exported workflow: categories and statistics.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;

use super::refusal::MerlinError;
use crate::features::lookup::{Lookup, LookupColumn};
use crate::features::table::{Cell, TableError, number_column, read_parquet, text_column};
use crate::features::texts::tuple;
use crate::features::vocabulary::{Indexes, Vocabulary};

/// Reads tables, each once.
pub(super) struct Tables<'a> {
    folder: &'a Path,
    vocabularies: HashMap<String, Arc<Vocabulary>>,
    statistics: HashMap<String, Arc<Lookup>>,
}

/// The smoothed mean of a target by category, as NVTabular's TargetEncoding with one fold has it.
pub(super) struct Smoothed<'a> {
    pub(super) count: &'a str,
    pub(super) sum: &'a str,
    pub(super) p_smooth: f64,
    pub(super) mean: f64,
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

    /// `(sum + p_smooth * mean) / (count + p_smooth)` of each category, in a column of this name.
    pub(super) fn smoothed(
        &self,
        table: &str,
        keys: &[String],
        formula: &Smoothed<'_>,
        name: &str,
    ) -> Result<Lookup, MerlinError> {
        let read = Table::read(self.folder, table, keys)?;
        let counts = number_column(&read.batch, formula.count, &read.path)?;
        let sums = number_column(&read.batch, formula.sum, &read.path)?;
        let Smoothed { p_smooth, mean, .. } = formula;
        let smoothed = |(sum, count): (Option<f64>, Option<f64>)| {
            let encoded = (sum? + p_smooth * mean) / (count? + p_smooth);
            Some(encoded).filter(|encoded| encoded.is_finite())
        };
        let numbers: Float64Array = sums.iter().zip(&counts).map(smoothed).collect();
        let column = LookupColumn {
            name: name.to_owned(),
            numbers,
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
fn categories(batch: &RecordBatch, column: &str, path: &Path) -> Result<StringArray, TableError> {
    match batch.column_by_name(column).map(Array::data_type) {
        Some(DataType::Float16 | DataType::Float32 | DataType::Float64) => {
            let numbers = number_column(batch, column, path)?;
            let text = |number: Option<f64>| number.filter(|number| !number.is_nan()).map(|n| n.to_string());
            Ok(numbers.iter().map(text).collect())
        }
        Some(DataType::Boolean) => {
            let numbers = number_column(batch, column, path)?;
            let whole = cast(&numbers, &DataType::Int8);
            let texts = whole.and_then(|whole| cast(&whole, &DataType::Utf8));
            let texts = texts.map_err(|source| TableError::Arrow {
                path: path.to_owned(),
                source,
            })?;
            Ok(texts.as_string().clone())
        }
        _ => text_column(batch, column, path),
    }
}
