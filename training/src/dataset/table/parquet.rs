//! Parquet: the columns of the schema's top level, with the types that they have there.

use std::fs::File;

use arrow::array::ArrayRef;
use gondola_artifacts::guard::guarded;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::{BATCH_ROWS, Place, TableError, position};

/// The names of the columns.
pub(super) fn columns(file: File) -> Result<Vec<String>, TableError> {
    Ok(names(&builder(file)?))
}

fn builder(file: File) -> Result<ParquetRecordBatchReaderBuilder<File>, TableError> {
    damaged(guarded(|| ParquetRecordBatchReaderBuilder::try_new(file)))
}

fn damaged<T>(outcome: Result<Result<T, ParquetError>, String>) -> Result<T, TableError> {
    outcome
        .unwrap_or_else(|panic| Err(ParquetError::General(panic)))
        .map_err(TableError::Parquet)
}

fn names(builder: &ParquetRecordBatchReaderBuilder<File>) -> Vec<String> {
    let fields = builder.schema().fields();
    fields.iter().map(|field| field.name().clone()).collect()
}

/// The rows of a file.
pub(super) struct Rows {
    reader: ParquetRecordBatchReader,
    /// Where each of the columns that were asked for stands among those that are read.
    wanted: Vec<Option<usize>>,
    read: u64,
    ended: bool,
}

impl Rows {
    pub(super) fn new(file: File, wanted: &[&str]) -> Result<Self, TableError> {
        let builder = builder(file)?;
        let found = names(&builder);
        let places = wanted.iter().map(|column| position(&found, column));
        let places: Vec<Option<usize>> = places.collect::<Result<_, _>>()?;
        let mut read: Vec<usize> = places.iter().copied().flatten().collect();
        read.sort_unstable();
        read.dedup();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read.iter().copied());
        let reader = damaged(guarded(|| {
            let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
            builder.build()
        }))?;
        let among_read = |place: usize| read.binary_search(&place).ok();
        Ok(Self {
            reader,
            wanted: places
                .into_iter()
                .map(|place| place.and_then(among_read))
                .collect(),
            read: 0,
            ended: false,
        })
    }
}

impl Iterator for Rows {
    type Item = Result<super::Rows, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let before = self.read;
        let next = guarded(|| self.reader.next()).unwrap_or_else(|panic| {
            let damage = ParquetError::General(panic);
            Some(Err(damage.into()))
        });
        let batch = next?.map_err(|source| {
            self.ended = true;
            let row = before + 1;
            TableError::Rows {
                place: Place { row, line: None },
                source,
            }
        });
        Some(batch.map(|batch| {
            self.read += batch.num_rows() as u64;
            let column =
                |place: &Option<usize>| -> Option<ArrayRef> { Some(batch.column((*place)?).clone()) };
            super::Rows {
                columns: self.wanted.iter().map(column).collect(),
                count: batch.num_rows(),
                before,
                lines: None,
            }
        }))
    }
}
