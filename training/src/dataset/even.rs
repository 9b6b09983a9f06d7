//! The rows of a query as a Parquet file whose bytes depend on the rows alone.
//!
//! Where an engine ends its batches, and so its pages, and whether it keeps text as views, depends on threads, machines and
//! versions; here every batch but the last has as many rows, and every column a type of its own.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt as _;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::error::DatasetError;

/// Rows written at a time.
const ROWS: usize = 8192;

/// Writes what a query gives, in the query's order.
pub(super) async fn write(
    engine: &SessionContext,
    what: &'static str,
    sql: &str,
    path: &Path,
    compression: Compression,
) -> Result<(), DatasetError> {
    let wrap = DatasetError::query(what);
    let frame = engine.sql(sql).await.map_err(&wrap)?;
    // Ballista forgets the columns of what it can tell to be empty.
    let schema = frame.schema().as_arrow().clone();
    let mut batches = frame.execute_stream().await.map_err(&wrap)?;
    let mut table = EvenTable::create(path, &schema, compression).map_err(DatasetError::Staging)?;
    while let Some(batch) = batches.try_next().await.map_err(&wrap)? {
        table.add(&batch).map_err(DatasetError::Staging)?;
    }
    table.close().map_err(DatasetError::Staging)
}

/// A file that is written in batches of the same size.
struct EvenTable {
    schema: SchemaRef,
    rows: BatchCoalescer,
    writer: ArrowWriter<File>,
}

impl EvenTable {
    fn create(path: &Path, schema: &Schema, compression: Compression) -> Result<Self, ParquetError> {
        let plain = |field: &Arc<Field>| Field::new(field.name(), plain(field.data_type()), true);
        let schema = Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()));
        let form = WriterProperties::builder().set_compression(compression).build();
        Ok(Self {
            rows: BatchCoalescer::new(schema.clone(), ROWS),
            writer: ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(form))?,
            schema,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        self.rows.push_batch(self.plain(batch)?)?;
        self.write()
    }

    fn close(mut self) -> Result<(), ParquetError> {
        self.rows.finish_buffered_batch()?;
        self.write()?;
        self.writer.close().map(drop)
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        while let Some(batch) = self.rows.next_completed_batch() {
            self.writer.write(&batch)?;
        }
        Ok(())
    }

    fn plain(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)
    }
}

fn plain(engine: &DataType) -> DataType {
    match engine {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => DataType::Utf8,
        other => other.clone(),
    }
}
