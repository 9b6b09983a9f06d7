//! Columns of Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

/// Why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file is not there, or not ours to read.
    #[error("cannot open {}; make setup fetches the data set", file.display())]
    Open {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not a Parquet file.
    #[error("cannot read {} as Parquet", file.display())]
    Parquet {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: ParquetError,
    },
    /// A part of it is damaged, or a column is of another type.
    #[error("cannot read rows of {}", file.display())]
    Rows {
        /// Which file.
        file: PathBuf,
        /// Why.
        #[source]
        source: ArrowError,
    },
    /// A column is missing.
    #[error("{} has no column {column}", file.display())]
    Column {
        /// Which file.
        file: PathBuf,
        /// Which column.
        column: String,
    },
}

/// Some columns of a file, in memory.
#[derive(Debug)]
pub(crate) struct Table {
    file: PathBuf,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// Reads the columns of these names.
    pub(crate) fn read(file: PathBuf, columns: &[&str]) -> Result<Self, TableError> {
        let batches = read_batches(&file, columns)?;
        Ok(Self { file, batches })
    }

    /// A column as texts, whatever it was.
    pub(crate) fn texts(&self, column: &str) -> Result<Vec<Option<String>>, TableError> {
        self.values(column, &DataType::Utf8, |array| {
            let texts = array.as_string::<i32>().iter();
            texts.map(|text| text.map(str::to_owned)).collect()
        })
    }

    /// A column as whole numbers.
    pub(crate) fn integers(&self, column: &str) -> Result<Vec<Option<i64>>, TableError> {
        self.values(column, &DataType::Int64, |array| {
            array.as_primitive::<Int64Type>().iter().collect()
        })
    }

    /// A column as numbers.
    pub(crate) fn numbers(&self, column: &str) -> Result<Vec<Option<f64>>, TableError> {
        self.values(column, &DataType::Float64, |array| {
            array.as_primitive::<Float64Type>().iter().collect()
        })
    }

    fn values<T>(
        &self,
        column: &str,
        kind: &DataType,
        read: impl Fn(&ArrayRef) -> Vec<T>,
    ) -> Result<Vec<T>, TableError> {
        let mut values = Vec::new();
        for batch in &self.batches {
            let array = batch.column_by_name(column).ok_or_else(|| TableError::Column {
                file: self.file.clone(),
                column: column.to_owned(),
            })?;
            let array = cast(array, kind).map_err(|source| self.rows(source))?;
            debug_assert_eq!(array.len(), batch.num_rows());
            values.extend(read(&array));
        }
        Ok(values)
    }

    fn rows(&self, source: ArrowError) -> TableError {
        TableError::Rows {
            file: self.file.clone(),
            source,
        }
    }
}

fn read_batches(file: &Path, columns: &[&str]) -> Result<Vec<RecordBatch>, TableError> {
    let damaged = |source| TableError::Parquet {
        file: file.to_owned(),
        source,
    };
    let opened = File::open(file).map_err(|source| TableError::Open {
        file: file.to_owned(),
        source,
    })?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(damaged)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader = builder.with_projection(mask).build().map_err(damaged)?;
    reader
        .collect::<Result<_, ArrowError>>()
        .map_err(|source| TableError::Rows {
            file: file.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use parquet::arrow::ArrowWriter;
    use tempfile::TempDir;

    use super::*;

    /// A folder with a file of two rows, in which a cell is missing.
    fn folder() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("name", Arc::new(StringArray::from(vec![Some("milk"), None]))),
            ("more", Arc::new(StringArray::from(vec!["a", "b"]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let file = File::create(folder.path().join("table.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        folder
    }

    #[test]
    fn columns_are_read_as_what_is_wanted_of_them() {
        let folder = folder();
        let table = Table::read(folder.path().join("table.parquet"), &["name", "id"]).unwrap();
        assert_eq!(
            table.texts("id").unwrap(),
            [Some("7".to_owned()), Some("8".to_owned())]
        );
        assert_eq!(table.texts("name").unwrap(), [Some("milk".to_owned()), None]);
        assert_eq!(table.integers("id").unwrap(), [Some(7), Some(8)]);
        assert_eq!(table.numbers("id").unwrap(), [Some(7.0), Some(8.0)]);
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let folder = folder();
        let file = folder.path().join("table.parquet");
        let table = Table::read(file.clone(), &["id", "price"]).unwrap();
        let error = table.texts("price").unwrap_err().to_string();
        assert!(error.ends_with("table.parquet has no column price"), "{error}");
        let error = Table::read(folder.path().join("other.parquet"), &["id"]);
        let error = error.unwrap_err().to_string();
        assert!(
            error.ends_with("other.parquet; make setup fetches the data set"),
            "{error}"
        );
        std::fs::write(&file, "no Parquet").unwrap();
        let error = Table::read(file, &["id"]).unwrap_err().to_string();
        assert!(error.ends_with("table.parquet as Parquet"), "{error}");
    }
}
