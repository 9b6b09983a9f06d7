//! Events as Parquet: one row each, read without a copy of what isn't needed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder, Float64Array,
    Int64Array, RecordBatch, StringArray, UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, UInt16Type};
use bytes::Bytes;
use gondola_artifacts::guard::guarded;
use jiff::Timestamp;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::event::{Exposure, Outcome};
use crate::unit::{EventId, UnitHash};

/// Rows that are read at a time.
const BATCH: usize = 8192;

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It is damaged, or no Parquet.
    #[error("it is not a Parquet file that can be read")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// It is damaged inside.
    #[error("its rows can't be read")]
    Arrow(#[from] arrow::error::ArrowError),
    /// It holds something else.
    #[error("it has no column {column} of type {wanted}; it was written by something else")]
    Column {
        /// The column.
        column: &'static str,
        /// Its type.
        wanted: DataType,
    },
    /// A row lacks what every row has.
    #[error("column {0} has empty places; it was written by something else")]
    Null(&'static str),
}

/// Exposures as a Parquet file.
pub fn encode_exposures(rows: &[Exposure]) -> Result<Bytes, TableError> {
    let column = |of: fn(&Exposure) -> &str| strings(rows.iter().map(of));
    let batch = RecordBatch::try_from_iter([
        ("time", times(rows.iter().map(|row| row.time))),
        ("id", ids(rows.iter().map(|row| row.id.0))),
        ("experiment", column(|row| &row.experiment)),
        ("epoch", u32s(rows.iter().map(|row| row.epoch))),
        ("revision", column(|row| &row.revision)),
        ("arm", column(|row| &row.arm)),
        ("armBucket", u16s(rows.iter().map(|row| row.arm_bucket))),
        ("trafficBucket", u16s(rows.iter().map(|row| row.traffic_bucket))),
        ("unit", ids(rows.iter().map(|row| row.unit.0))),
        ("request", column(|row| &row.request)),
        (
            "fallback",
            Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.fallback)))),
        ),
        ("latency", u32s(rows.iter().map(|row| row.latency))),
        ("model", column(|row| &row.model)),
    ])?;
    encode(&batch)
}

/// Outcomes as a Parquet file.
pub fn encode_outcomes(rows: &[Outcome]) -> Result<Bytes, TableError> {
    let optional = |of: fn(&Outcome) -> Option<&str>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("time", times(rows.iter().map(|row| row.time)), false),
        ("received", times(rows.iter().map(|row| row.received)), false),
        ("id", ids(rows.iter().map(|row| row.id.0)), false),
        ("unit", ids(rows.iter().map(|row| row.unit.0)), false),
        ("type", strings(rows.iter().map(|row| row.kind.as_ref())), false),
        (
            "value",
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.value))) as ArrayRef,
            false,
        ),
        ("item", optional(|row| row.item.as_deref()), true),
        ("request", optional(|row| row.request.as_deref()), true),
    ])?;
    encode(&batch)
}

/// What is needed of an exposure to analyze it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExposureRow<'a> {
    /// When.
    pub time: Timestamp,
    /// The same however often the event is sent.
    pub id: EventId,
    /// The arm.
    pub arm: &'a str,
    /// The unit's bucket among arms.
    pub arm_bucket: u16,
    /// The unit's bucket in the order in which units are enrolled.
    pub traffic_bucket: u16,
    /// Who.
    pub unit: UnitHash,
    /// Whether the answer fell back to something else than the arm.
    pub fallback: bool,
}

/// Reads exposures, a few thousand at a time.
pub fn read_exposures(file: Bytes, mut take: impl FnMut(ExposureRow<'_>)) -> Result<(), TableError> {
    let wanted = [
        "time",
        "id",
        "arm",
        "armBucket",
        "trafficBucket",
        "unit",
        "fallback",
    ];
    for batch in reader(file, &wanted)? {
        let batch = batch?;
        let time = column(&batch, "time", &DataType::Int64)?.as_primitive::<Int64Type>();
        let id = sixteen(&batch, "id")?;
        let arm = column(&batch, "arm", &DataType::Utf8)?.as_string::<i32>();
        let arm_bucket = column(&batch, "armBucket", &DataType::UInt16)?.as_primitive::<UInt16Type>();
        let traffic_bucket = column(&batch, "trafficBucket", &DataType::UInt16)?.as_primitive::<UInt16Type>();
        let unit = sixteen(&batch, "unit")?;
        let fallback = column(&batch, "fallback", &DataType::Boolean)?.as_boolean();
        for row in 0..batch.num_rows() {
            take(ExposureRow {
                time: moment(time.value(row)),
                id: EventId(bytes_of(id, row)),
                arm: arm.value(row),
                arm_bucket: arm_bucket.value(row),
                traffic_bucket: traffic_bucket.value(row),
                unit: UnitHash(bytes_of(unit, row)),
                fallback: fallback.value(row),
            });
        }
    }
    Ok(())
}

/// What is needed of an outcome to analyze it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutcomeRow<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// When it arrived.
    pub received: Timestamp,
    /// The same however often the event is sent.
    pub id: EventId,
    /// Who.
    pub unit: UnitHash,
    /// What.
    pub kind: &'a str,
    /// How much.
    pub value: f64,
}

/// Reads outcomes, a few thousand at a time.
pub fn read_outcomes(file: Bytes, mut take: impl FnMut(OutcomeRow<'_>)) -> Result<(), TableError> {
    let wanted = ["time", "received", "id", "unit", "type", "value"];
    for batch in reader(file, &wanted)? {
        let batch = batch?;
        let time = column(&batch, "time", &DataType::Int64)?.as_primitive::<Int64Type>();
        let received = column(&batch, "received", &DataType::Int64)?.as_primitive::<Int64Type>();
        let id = sixteen(&batch, "id")?;
        let unit = sixteen(&batch, "unit")?;
        let kind = column(&batch, "type", &DataType::Utf8)?.as_string::<i32>();
        let value = column(&batch, "value", &DataType::Float64)?.as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            take(OutcomeRow {
                time: moment(time.value(row)),
                received: moment(received.value(row)),
                id: EventId(bytes_of(id, row)),
                unit: UnitHash(bytes_of(unit, row)),
                kind: kind.value(row),
                value: value.value(row),
            });
        }
    }
    Ok(())
}

fn reader(
    file: Bytes,
    wanted: &[&str],
) -> Result<impl Iterator<Item = Result<RecordBatch, TableError>>, TableError> {
    let builder = guarded_parquet(|| ParquetRecordBatchReaderBuilder::try_new(file))?;
    let columns = builder.parquet_schema().columns().iter().enumerate();
    let places: Vec<usize> = columns
        .filter(|(_, column)| wanted.contains(&column.name()))
        .map(|(place, _)| place)
        .collect();
    let mask = parquet::arrow::ProjectionMask::leaves(builder.parquet_schema(), places);
    let mut batches = guarded_parquet(|| builder.with_projection(mask).with_batch_size(BATCH).build())?;
    Ok(std::iter::from_fn(move || next_batch(&mut batches)))
}

/// The next rows of a file; nothing is asked of a reader that failed.
pub(crate) fn next_batch(batches: &mut ParquetRecordBatchReader) -> Option<Result<RecordBatch, TableError>> {
    guarded_parquet(|| Ok(batches.next()))
        .transpose()
        .map(|batch| Ok(batch??))
}

/// Reads of a Parquet file. The library may panic where a damaged one contradicts itself.
pub(crate) fn guarded_parquet<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, TableError> {
    Ok(guarded(read).unwrap_or_else(|panic| Err(ParquetError::General(panic)))?)
}

fn column<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
    wanted: &DataType,
) -> Result<&'a ArrayRef, TableError> {
    let found = batch
        .column_by_name(name)
        .filter(|column| column.data_type() == wanted)
        .ok_or(TableError::Column {
            column: name,
            wanted: wanted.clone(),
        })?;
    match found.null_count() {
        0 => Ok(found),
        _ => Err(TableError::Null(name)),
    }
}

fn sixteen<'a>(batch: &'a RecordBatch, name: &'static str) -> Result<&'a FixedSizeBinaryArray, TableError> {
    Ok(column(batch, name, &DataType::FixedSizeBinary(16))?.as_fixed_size_binary())
}

fn bytes_of(array: &FixedSizeBinaryArray, row: usize) -> [u8; 16] {
    array
        .value(row)
        .try_into()
        .expect("the column's type says 16 bytes")
}

/// A moment as columns keep it, in microseconds since 1970; what is beyond all years that there are is at their end.
pub(crate) fn moment(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(if microseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

fn times(values: impl Iterator<Item = Timestamp>) -> ArrayRef {
    let microseconds = values.map(Timestamp::as_microsecond);
    Arc::new(Int64Array::from_iter_values(microseconds))
}

fn u32s(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(UInt32Array::from_iter_values(values))
}

fn u16s(values: impl Iterator<Item = u16>) -> ArrayRef {
    Arc::new(UInt16Array::from_iter_values(values))
}

fn strings<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn ids(values: impl ExactSizeIterator<Item = [u8; 16]>) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(values.len(), 16);
    for value in values {
        builder.append_value(value).expect("every value has 16 bytes");
    }
    Arc::new(builder.finish())
}

fn encode(batch: &RecordBatch) -> Result<Bytes, TableError> {
    let level = ZstdLevel::try_new(1)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        // They are drawn at random: a dictionary of them is longer than they are.
        .set_column_dictionary_enabled("id".into(), false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.close()?;
    Ok(bytes.into())
}

/// The schema of a table with these columns, for what is written piece by piece.
pub(crate) fn schema(columns: &[(&str, DataType)]) -> Arc<Schema> {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), false));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
