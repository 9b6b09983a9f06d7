//! Events as Parquet: one row each, read without a copy of what isn't needed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, BooleanArray, FixedSizeBinaryArray, FixedSizeBinaryBuilder,
    Float32Builder, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    UInt16Array, UInt32Array,
};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, Schema, UInt16Type};
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
    /// A list lacks chances, or items.
    #[error("a row has {items} items and {chances} chances; it was written by something else")]
    Lists {
        /// How many items.
        items: usize,
        /// How many chances.
        chances: usize,
    },
    /// A row lacks what every row has.
    #[error("column {0} has empty places; it was written by something else")]
    Null(&'static str),
}

/// Exposures as a Parquet file. `items` and `chances` are empty where an order was not drawn, and no file of before this release has
/// them.
pub fn encode_exposures(rows: &[Exposure]) -> Result<Bytes, TableError> {
    let column = |of: fn(&Exposure) -> &str| strings(rows.iter().map(of));
    let (items, chances) = drawn(rows);
    let columns = [
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
    ];
    let required = columns.into_iter().map(|(name, column)| (name, column, false));
    let batch = RecordBatch::try_from_iter_with_nullable(
        required.chain([("items", items, true), ("chances", chances, true)]),
    )?;
    encode(&batch)
}

/// The lists of items and of their chances, row by row.
fn drawn(rows: &[Exposure]) -> (ArrayRef, ArrayRef) {
    let mut items = ListBuilder::new(StringBuilder::new());
    let mut chances = ListBuilder::new(Float32Builder::new());
    for row in rows {
        for drawn in &row.drawn {
            items.values().append_value(&drawn.item);
            chances.values().append_value(drawn.chance);
        }
        items.append(!row.drawn.is_empty());
        chances.append(!row.drawn.is_empty());
    }
    (Arc::new(items.finish()), Arc::new(chances.finish()))
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

/// What was shown, where the order was drawn by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnRow<'a> {
    /// When.
    pub time: Timestamp,
    /// The same however often the event is sent.
    pub id: EventId,
    /// The arm that the unit is assigned to.
    pub arm: &'a str,
    /// Who.
    pub unit: UnitHash,
    /// The request.
    pub request: &'a str,
    /// Whether the answer fell back to something else than the arm.
    pub fallback: bool,
    /// The items in their order, and the chance of each; empty where the order was not drawn.
    pub drawn: Vec<(&'a str, f32)>,
}

/// Reads exposures for what was drawn, a few thousand at a time.
pub fn read_drawn(file: Bytes, mut take: impl FnMut(DrawnRow<'_>)) -> Result<(), TableError> {
    let wanted = [
        "time", "id", "arm", "unit", "request", "fallback", "items", "chances",
    ];
    for batch in reader(file, &wanted)? {
        let batch = batch?;
        let time = column(&batch, "time", &DataType::Int64)?.as_primitive::<Int64Type>();
        let id = sixteen(&batch, "id")?;
        let arm = column(&batch, "arm", &DataType::Utf8)?.as_string::<i32>();
        let unit = sixteen(&batch, "unit")?;
        let request = column(&batch, "request", &DataType::Utf8)?.as_string::<i32>();
        let fallback = column(&batch, "fallback", &DataType::Boolean)?.as_boolean();
        let lists = Lists::of(&batch)?;
        for row in 0..batch.num_rows() {
            take(DrawnRow {
                time: moment(time.value(row)),
                id: EventId(bytes_of(id, row)),
                arm: arm.value(row),
                unit: UnitHash(bytes_of(unit, row)),
                request: request.value(row),
                fallback: fallback.value(row),
                drawn: match &lists {
                    Some(lists) => lists.row(row)?,
                    None => Vec::new(),
                },
            });
        }
    }
    Ok(())
}

/// The lists of a file that has them.
struct Lists<'a> {
    items: &'a StringArray,
    item_ends: &'a [i32],
    chances: &'a [f32],
    chance_ends: &'a [i32],
}

impl<'a> Lists<'a> {
    fn of(batch: &'a RecordBatch) -> Result<Option<Self>, TableError> {
        if batch.column_by_name("items").is_none() && batch.column_by_name("chances").is_none() {
            return Ok(None);
        }
        let list = |name, wanted: DataType| {
            let missing = || TableError::Column {
                column: name,
                wanted: wanted.clone(),
            };
            let list = batch
                .column_by_name(name)
                .and_then(|column| column.as_list_opt::<i32>());
            let list = list.ok_or_else(missing)?;
            match list.values().null_count() {
                _ if *list.values().data_type() != wanted => Err(missing()),
                0 => Ok(list),
                _ => Err(TableError::Null(name)),
            }
        };
        let items = list("items", DataType::Utf8)?;
        let chances = list("chances", DataType::Float32)?;
        Ok(Some(Self {
            items: items.values().as_string::<i32>(),
            item_ends: items.value_offsets(),
            chances: chances.values().as_primitive::<Float32Type>().values(),
            chance_ends: chances.value_offsets(),
        }))
    }

    fn row(&self, row: usize) -> Result<Vec<(&'a str, f32)>, TableError> {
        let range = |ends: &[i32]| ends[row] as usize..ends[row + 1] as usize;
        let (items, chances) = (range(self.item_ends), range(self.chance_ends));
        if items.len() != chances.len() {
            return Err(TableError::Lists {
                items: items.len(),
                chances: chances.len(),
            });
        }
        let pairs = items.zip(chances);
        Ok(pairs
            .map(|(item, chance)| (self.items.value(item), self.chances[chance]))
            .collect())
    }
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
    each_outcome(file, &wanted, |_, _, row| {
        take(row);
        Ok(())
    })
}

/// What is needed of an outcome to say what it followed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FollowingRow<'a> {
    /// The outcome.
    pub outcome: OutcomeRow<'a>,
    /// The item, if there is one.
    pub item: Option<&'a str>,
    /// The request that it followed, if that is known.
    pub request: Option<&'a str>,
}

/// Reads outcomes with what they followed, a few thousand at a time.
pub fn read_following(file: Bytes, mut take: impl FnMut(FollowingRow<'_>)) -> Result<(), TableError> {
    let wanted = [
        "time", "received", "id", "unit", "type", "value", "item", "request",
    ];
    each_outcome(file, &wanted, |batch, row, outcome| {
        let text = |name| {
            let column = typed(batch, name, &DataType::Utf8)?.as_string::<i32>();
            Ok::<_, TableError>(column.is_valid(row).then(|| column.value(row)))
        };
        take(FollowingRow {
            outcome,
            item: text("item")?,
            request: text("request")?,
        });
        Ok(())
    })
}

fn each_outcome(
    file: Bytes,
    wanted: &[&str],
    mut take: impl FnMut(&RecordBatch, usize, OutcomeRow<'_>) -> Result<(), TableError>,
) -> Result<(), TableError> {
    for batch in reader(file, wanted)? {
        let batch = batch?;
        let time = column(&batch, "time", &DataType::Int64)?.as_primitive::<Int64Type>();
        let received = column(&batch, "received", &DataType::Int64)?.as_primitive::<Int64Type>();
        let id = sixteen(&batch, "id")?;
        let unit = sixteen(&batch, "unit")?;
        let kind = column(&batch, "type", &DataType::Utf8)?.as_string::<i32>();
        let value = column(&batch, "value", &DataType::Float64)?.as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let outcome = OutcomeRow {
                time: moment(time.value(row)),
                received: moment(received.value(row)),
                id: EventId(bytes_of(id, row)),
                unit: UnitHash(bytes_of(unit, row)),
                kind: kind.value(row),
                value: value.value(row),
            };
            take(&batch, row, outcome)?;
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
        // A list's values have a name of their own; its column is where their path begins.
        .filter(|(_, column)| wanted.contains(&column.path().parts()[0].as_str()))
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
    let found = typed(batch, name, wanted)?;
    match found.null_count() {
        0 => Ok(found),
        _ => Err(TableError::Null(name)),
    }
}

fn typed<'a>(
    batch: &'a RecordBatch,
    name: &'static str,
    wanted: &DataType,
) -> Result<&'a ArrayRef, TableError> {
    batch
        .column_by_name(name)
        .filter(|column| column.data_type() == wanted)
        .ok_or(TableError::Column {
            column: name,
            wanted: wanted.clone(),
        })
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
