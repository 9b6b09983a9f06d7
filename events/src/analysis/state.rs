//! All units between two analyses: one Parquet file, in the order of their hashes, with the names of the files that it was made from.
//!
//! It is written beside the old one and takes its place whole, so that an analysis that is broken off has changed nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray as _, BinaryBuilder, BooleanArray, FixedSizeBinaryBuilder, Int64Array, RecordBatch,
    UInt8Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::{DataType, Int64Type, Schema, UInt8Type, UInt32Type, UInt64Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use super::unit::{First, KnownOutcome, Unit};
use crate::table::{TableError, guarded_parquet, moment, next_batch, schema};
use crate::unit::UnitHash;

/// Units that are read or written at a time.
const BATCH: usize = 4096;
/// The key of the file's metadata that holds what it was made from.
const MADE: &str = "gondola.made";
/// The arm of a unit that was not exposed.
const NO_ARM: u8 = u8::MAX;
/// Bytes of an outcome.
const OUTCOME: usize = 8 + 1 + 8 + 8;

/// Files that were read: for each folder and writer, which numbers, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consumed(BTreeMap<String, Vec<(u64, u64)>>);

impl Consumed {
    /// Whether a writer's file was read.
    pub fn contains(&self, writer: &str, number: u64) -> bool {
        let ranges = self.0.get(writer).map_or(&[][..], Vec::as_slice);
        ranges
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// Notes that it was.
    pub fn insert(&mut self, writer: &str, number: u64) {
        let ranges = self.0.entry(writer.to_owned()).or_default();
        let mut all: BTreeSet<(u64, u64)> = ranges.drain(..).collect();
        all.insert((number, number));
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1 + 1 => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
    }

    /// How many were.
    pub fn files(&self) -> u64 {
        let ranges = self.0.values().flatten();
        ranges.map(|(first, last)| last - first + 1).sum()
    }
}

/// Events that were counted and not kept, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// Exposures that were there already.
    pub duplicate_exposures: u64,
    /// Outcomes that were there already.
    pub duplicate_outcomes: u64,
    /// Outcomes that came too late.
    pub late: u64,
    /// Events from before anything began.
    pub misdated: u64,
    /// Outcomes of a type that no metric names.
    pub other_types: u64,
    /// Exposures of an arm that there isn't.
    pub other_arms: u64,
    /// Outcomes whose value is not a finite number.
    pub unusable: u64,
    /// Outcomes beyond the most that are kept of a unit.
    pub beyond: u64,
    /// Outcomes of units that nobody saw exposed in time.
    #[serde(default)]
    pub forgotten: u64,
}

impl Counted {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.duplicate_exposures += other.duplicate_exposures;
        self.duplicate_outcomes += other.duplicate_outcomes;
        self.late += other.late;
        self.misdated += other.misdated;
        self.other_types += other.other_types;
        self.other_arms += other.other_arms;
        self.unusable += other.unusable;
        self.beyond += other.beyond;
        self.forgotten += other.forgotten;
    }
}

/// What units were made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The files that were read.
    pub consumed: Consumed,
    /// What in them does not count.
    pub counted: Counted,
}

/// Units as they were kept, in the order of their hashes.
pub struct StateReader {
    batches: Option<ParquetRecordBatchReader>,
    ready: std::vec::IntoIter<(UnitHash, Unit)>,
    next: Option<(UnitHash, Unit)>,
    /// What they were made from.
    pub made: Sources,
}

impl StateReader {
    /// Nobody.
    pub fn empty() -> Self {
        Self {
            batches: None,
            ready: Vec::new().into_iter(),
            next: None,
            made: Sources::default(),
        }
    }

    /// Opens a file that [`StateWriter`] wrote.
    pub fn open(file: File) -> Result<Self, TableError> {
        let builder = guarded_parquet(|| ParquetRecordBatchReaderBuilder::try_new(file))?;
        let metadata = builder.metadata().file_metadata().key_value_metadata();
        let made = metadata
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == MADE))
            .and_then(|pair| serde_json::from_str(pair.value.as_ref()?).ok())
            .ok_or(TableError::Column {
                column: MADE,
                wanted: DataType::Utf8,
            })?;
        let mut reader = Self {
            batches: Some(guarded_parquet(|| builder.with_batch_size(BATCH).build())?),
            made,
            ..Self::empty()
        };
        reader.advance()?;
        Ok(reader)
    }

    /// The next unit whose hash satisfies `wanted`; `None` where the next one does not.
    pub fn next_if(
        &mut self,
        wanted: impl Fn(UnitHash) -> bool,
    ) -> Result<Option<(UnitHash, Unit)>, TableError> {
        if !self.next.as_ref().is_some_and(|(hash, _)| wanted(*hash)) {
            return Ok(None);
        }
        let found = self.next.take();
        self.advance()?;
        Ok(found)
    }

    fn advance(&mut self) -> Result<(), TableError> {
        loop {
            self.next = self.ready.next();
            if self.next.is_some() {
                return Ok(());
            }
            match self.batches.as_mut().and_then(next_batch) {
                Some(batch) => self.ready = units(&batch?)?.into_iter(),
                None => return Ok(()),
            }
        }
    }
}

fn units(batch: &RecordBatch) -> Result<Vec<(UnitHash, Unit)>, TableError> {
    let column = |name: &'static str, wanted: DataType| {
        batch
            .column_by_name(name)
            .filter(|column| column.data_type() == &wanted)
            .ok_or(TableError::Column { column: name, wanted })
    };
    let hash = column("unit", DataType::FixedSizeBinary(16))?.as_fixed_size_binary();
    let arm = column("arm", DataType::UInt8)?.as_primitive::<UInt8Type>();
    let time = column("time", DataType::Int64)?.as_primitive::<Int64Type>();
    let id = column("id", DataType::UInt64)?.as_primitive::<UInt64Type>();
    let crossover = column("crossover", DataType::Boolean)?.as_boolean();
    let fallbacks = column("fallbacks", DataType::UInt32)?.as_primitive::<UInt32Type>();
    let exposures = column("exposures", DataType::Binary)?.as_binary::<i32>();
    let outcomes = column("outcomes", DataType::Binary)?.as_binary::<i32>();
    let unit = |row: usize| {
        let first = First {
            time: moment(time.value(row)),
            id: id.value(row),
            arm: arm.value(row),
        };
        let hash = hash
            .value(row)
            .try_into()
            .expect("the column's type says 16 bytes");
        let unit = Unit {
            first: Some(first).filter(|first| first.arm != NO_ARM),
            crossover: crossover.value(row),
            fallbacks: fallbacks.value(row),
            exposures: exposures
                .value(row)
                .chunks_exact(8)
                .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("a chunk has 8 bytes")))
                .collect(),
            outcomes: outcomes.value(row).chunks_exact(OUTCOME).map(outcome).collect(),
        };
        (UnitHash(hash), unit)
    };
    Ok((0..batch.num_rows()).map(unit).collect())
}

fn outcome(bytes: &[u8]) -> KnownOutcome {
    let eight = |at: usize| -> [u8; 8] { bytes[at..at + 8].try_into().expect("the range has 8 bytes") };
    KnownOutcome {
        id: u64::from_le_bytes(eight(0)),
        kind: bytes[8],
        time: moment(i64::from_le_bytes(eight(9))),
        value: f64::from_le_bytes(eight(17)),
    }
}

/// Writes units in the order of their hashes.
pub struct StateWriter {
    writer: ArrowWriter<File>,
    schema: Arc<Schema>,
    waiting: Vec<(UnitHash, Unit)>,
}

impl StateWriter {
    /// A new file.
    pub fn create(path: &Path) -> Result<Self, TableError> {
        let file = File::create(path).map_err(parquet::errors::ParquetError::from)?;
        let schema = schema(&[
            ("unit", DataType::FixedSizeBinary(16)),
            ("arm", DataType::UInt8),
            ("time", DataType::Int64),
            ("id", DataType::UInt64),
            ("crossover", DataType::Boolean),
            ("fallbacks", DataType::UInt32),
            ("exposures", DataType::Binary),
            ("outcomes", DataType::Binary),
        ]);
        let level = ZstdLevel::try_new(1)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_dictionary_enabled(false)
            // What is gathered until it is compressed must not grow with the number of units.
            .set_max_row_group_row_count(Some(1 << 17))
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        Ok(Self {
            writer,
            schema,
            waiting: Vec::with_capacity(BATCH),
        })
    }

    /// Adds a unit.
    pub fn add(&mut self, hash: UnitHash, unit: Unit) -> Result<(), TableError> {
        self.waiting.push((hash, unit));
        if self.waiting.len() == BATCH {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), TableError> {
        let rows = std::mem::take(&mut self.waiting);
        let mut hashes = FixedSizeBinaryBuilder::with_capacity(rows.len(), 16);
        let (mut exposures, mut outcomes) = (BinaryBuilder::new(), BinaryBuilder::new());
        let mut bytes = Vec::new();
        for (hash, unit) in &rows {
            hashes.append_value(hash.0)?;
            bytes.clear();
            bytes.extend(unit.exposures.iter().flat_map(|id| id.to_le_bytes()));
            exposures.append_value(&bytes);
            bytes.clear();
            for outcome in &unit.outcomes {
                bytes.extend(outcome.id.to_le_bytes());
                bytes.push(outcome.kind);
                bytes.extend(outcome.time.as_microsecond().to_le_bytes());
                bytes.extend(outcome.value.to_le_bytes());
            }
            outcomes.append_value(&bytes);
        }
        let first = |of: fn(First) -> u64| rows.iter().map(move |(_, unit)| unit.first.map_or(0, of));
        let arms = rows
            .iter()
            .map(|(_, unit)| unit.first.map_or(NO_ARM, |first| first.arm));
        let times = rows
            .iter()
            .map(|(_, unit)| unit.first.map_or(0, |first| first.time.as_microsecond()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(hashes.finish()),
            Arc::new(UInt8Array::from_iter_values(arms)),
            Arc::new(Int64Array::from_iter_values(times)),
            Arc::new(UInt64Array::from_iter_values(first(|first| first.id))),
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|(_, unit)| Some(unit.crossover)),
            )),
            Arc::new(UInt32Array::from_iter_values(
                rows.iter().map(|(_, unit)| unit.fallbacks),
            )),
            Arc::new(exposures.finish()),
            Arc::new(outcomes.finish()),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        Ok(self.writer.write(&batch)?)
    }

    /// Ends the file with what it was made from.
    pub fn finish(mut self, made: &Sources) -> Result<(), TableError> {
        self.write()?;
        let text = serde_json::to_string(made).expect("names and numbers are JSON");
        self.writer
            .append_key_value_metadata(KeyValue::new(MADE.to_owned(), text));
        self.writer.close()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        let mut consumed = Consumed::default();
        for number in [3, 1, 2, 7, 2] {
            consumed.insert("exposures/a", number);
        }
        assert_eq!(consumed.0["exposures/a"], [(1, 3), (7, 7)]);
        assert_eq!(consumed.files(), 4);
        assert!(consumed.contains("exposures/a", 2) && !consumed.contains("exposures/a", 4));
        assert!(!consumed.contains("outcomes/a", 2));
    }

    #[test]
    fn units_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.parquet");
        let unit = |number: u32| Unit {
            first: (!number.is_multiple_of(3)).then_some(First {
                time: moment(i64::from(number)),
                id: 5,
                arm: 1,
            }),
            crossover: number.is_multiple_of(5),
            fallbacks: number,
            exposures: vec![1, u64::from(number) + 2],
            outcomes: vec![KnownOutcome {
                id: 9,
                kind: 2,
                time: moment(-7),
                value: f64::from(number) / 7.0,
            }],
        };
        let hash = |number: u32| UnitHash(u128::from(number).to_be_bytes());
        let mut writer = StateWriter::create(&path).unwrap();
        for number in 0..10_000 {
            writer.add(hash(number), unit(number)).unwrap();
        }
        let mut made = Sources::default();
        made.consumed.insert("outcomes/a", 1);
        made.counted.late = 3;
        writer.finish(&made).unwrap();
        let mut reader = StateReader::open(File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.made, made);
        for number in 0..10_000 {
            assert_eq!(reader.next_if(|_| false).unwrap(), None);
            assert_eq!(
                reader.next_if(|_| true).unwrap(),
                Some((hash(number), unit(number)))
            );
        }
        assert_eq!(reader.next_if(|_| true).unwrap(), None);
    }
}
