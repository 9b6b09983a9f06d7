//! From a table of the shop to one Parquet file with our names and types, which queries read.
//!
//! Every cell goes through [`cells`](super::cells) once, so that what queries see is checked, and read from
//! CSV or fetched only once however many cut-offs there are. In the place of ids the file has whole numbers.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, new_null_array};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::cells::{Refusal, Role, convert};
use super::error::DatasetError;
use super::files::{Part, TableFiles};
use super::ids::SeenIds;
use super::table::{self, Rows};

/// A column that is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    /// What the shop calls it.
    pub(super) source: &'a str,
    /// What it is for.
    pub(super) role: Role,
    /// What we call it.
    pub(super) name: &'a str,
    /// Whether a row without it is left out.
    pub(super) required: bool,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Staged {
    /// Rows that are kept.
    pub(super) rows: u64,
    /// Rows that were left out, because something required is null there.
    pub(super) left_out: u64,
    /// The ids of each column of ids, in whose place the file has their numbers.
    pub(super) ids: Vec<SeenIds>,
}

/// Writes the columns of a table to a file.
pub(super) fn stage(table: &TableFiles, columns: &[Column<'_>], to: &Path) -> Result<Staged, DatasetError> {
    check_columns(table, columns)?;
    let schema = schema(columns);
    let mut writer = writer(to, &schema).map_err(DatasetError::Staging)?;
    let mut staged = Staged {
        ids: columns
            .iter()
            .filter(|column| column.role == Role::Id)
            .map(|_| SeenIds::default())
            .collect(),
        ..Staged::default()
    };
    let sources: Vec<&str> = columns.iter().map(|column| column.source).collect();
    for part in &table.parts {
        let rows = table::rows(&part.path, table.format, &sources).map_err(DatasetError::file(part))?;
        for rows in rows {
            let rows = rows.map_err(DatasetError::file(part))?;
            let kept = kept(arrays(part, &rows, columns)?, columns, rows.count);
            let kept = numbered(kept, columns, &schema, &mut staged.ids);
            staged.rows += kept.num_rows() as u64;
            staged.left_out += (rows.count - kept.num_rows()) as u64;
            writer.write(&kept).map_err(DatasetError::Staging)?;
        }
    }
    writer.close().map_err(DatasetError::Staging)?;
    Ok(staged)
}

/// Refuses a column that no part has. One that some parts lack is null there: it was added later, or is gone.
fn check_columns(table: &TableFiles, columns: &[Column<'_>]) -> Result<(), DatasetError> {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for part in &table.parts {
        let names = table::columns(&part.path, table.format).map_err(DatasetError::file(part))?;
        found.extend(names.into_iter().filter(|name| known.insert(name.clone())));
    }
    match columns.iter().find(|column| !known.contains(column.source)) {
        None => Ok(()),
        Some(column) => Err(DatasetError::NoColumn {
            file: table.name.clone(),
            column: column.source.to_owned(),
            found,
        }),
    }
}

fn schema(columns: &[Column<'_>]) -> SchemaRef {
    let field = |column: &Column<'_>| Field::new(column.name, data_type(column.role), true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn data_type(role: Role) -> DataType {
    match role {
        Role::Id => DataType::Int32,
        Role::Category | Role::Text => DataType::Utf8,
        Role::Quantity | Role::Price => DataType::Float64,
        Role::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
    }
}

/// Statistics are kept of times alone, by which queries leave out what they don't need.
fn writer(to: &Path, schema: &SchemaRef) -> Result<ArrowWriter<File>, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None);
    for field in schema.fields() {
        if field.data_type().is_temporal() {
            let column = field.name().as_str().into();
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    ArrowWriter::try_new(File::create(to)?, schema.clone(), Some(properties.build()))
}

fn arrays(part: &Part, rows: &Rows, columns: &[Column<'_>]) -> Result<Vec<ArrayRef>, DatasetError> {
    let array = |(array, column): (&Option<ArrayRef>, &Column<'_>)| match array {
        None if column.role == Role::Id => Ok(new_null_array(&DataType::Utf8, rows.count)),
        None => Ok(new_null_array(&data_type(column.role), rows.count)),
        Some(array) => convert(array, column.role).map_err(|refusal| refused(part, rows, column, refusal)),
    };
    rows.columns.iter().zip(columns).map(array).collect()
}

fn refused(part: &Part, rows: &Rows, column: &Column<'_>, refusal: Refusal) -> DatasetError {
    let (file, role) = (part.name.clone(), column.role);
    let column = column.source.to_owned();
    match refusal {
        Refusal::Type(found) => DatasetError::Type {
            file,
            column,
            found,
            role,
        },
        Refusal::Cell { row, value, problem } => DatasetError::Cell {
            file,
            place: rows.place(row),
            column,
            value,
            problem,
        },
    }
}

/// The rows in which nothing required is null.
fn kept(arrays: Vec<ArrayRef>, columns: &[Column<'_>], rows: usize) -> Vec<ArrayRef> {
    let required: Vec<&ArrayRef> = arrays
        .iter()
        .zip(columns)
        .filter_map(|(array, column)| column.required.then_some(array))
        .collect();
    let whole: BooleanArray = (0..rows)
        .map(|row| Some(required.iter().all(|array| array.is_valid(row))))
        .collect();
    let kept = |array: &ArrayRef| filter(array, &whole).expect("the mask has as many rows as the batch");
    arrays.iter().map(kept).collect()
}

/// The rows with places among the ids that were met in the place of ids.
fn numbered(
    arrays: Vec<ArrayRef>,
    columns: &[Column<'_>],
    schema: &SchemaRef,
    ids: &mut [SeenIds],
) -> RecordBatch {
    let mut ids = ids.iter_mut();
    let arrays = arrays
        .into_iter()
        .zip(columns)
        .map(|(array, column)| match column.role {
            Role::Id => {
                let ids = ids.next().expect("each column of ids has its own");
                Arc::new(ids.add(array.as_string())) as ArrayRef
            }
            _ => array,
        });
    RecordBatch::try_new(schema.clone(), arrays.collect()).expect("cells have the types of their roles")
}
