//! Comma-separated values: every cell is text until its role says otherwise, so that ids keep their leading
//! zeros.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder};
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::{BATCH_ROWS, Place, TableError, position};

/// The most bytes of a row. A quote that is never closed would otherwise take all that follows into memory.
const MAX_ROW_BYTES: u64 = 16 << 20;

/// Bytes of cells after which a batch ends: far from what a column of texts can hold.
const BATCH_BYTES: usize = 64 << 20;

/// What may stand between cells elsewhere.
const OTHER_SEPARATORS: [char; 3] = [';', '\t', '|'];

/// The names in the first line.
pub(super) fn columns(file: File) -> Result<Vec<String>, TableError> {
    header(&mut Lines::new(file)?.reader)
}

fn header(reader: &mut Reader<Bounded>) -> Result<Vec<String>, TableError> {
    let header = reader
        .byte_headers()
        .map_err(|error| wrong(error, first_line()))?;
    let names = header
        .iter()
        .map(|name| std::str::from_utf8(name).map(str::to_owned));
    let names: Vec<String> = names
        .collect::<Result<_, _>>()
        .map_err(|_| TableError::HeaderNotUtf8)?;
    match names.as_slice() {
        [] => Err(TableError::Empty),
        [only] if only.contains(OTHER_SEPARATORS) => Err(TableError::Separator { header: only.clone() }),
        _ => Ok(names),
    }
}

/// The rows of a file.
pub(super) struct Rows {
    lines: Lines,
    header: Vec<String>,
    /// Where each of the columns that were asked for stands.
    wanted: Vec<Option<usize>>,
    /// Rows that were read.
    read: u64,
    ended: bool,
}

impl Rows {
    pub(super) fn new(file: File, wanted: &[&str]) -> Result<Self, TableError> {
        let mut lines = Lines::new(file)?;
        let header = header(&mut lines.reader)?;
        let wanted = wanted.iter().map(|column| position(&header, column));
        Ok(Self {
            wanted: wanted.collect::<Result<_, _>>()?,
            lines,
            header,
            read: 0,
            ended: false,
        })
    }

    /// The next rows; none at the end.
    fn batch(&mut self) -> Result<Option<super::Rows>, TableError> {
        let before = self.read;
        let mut builders: Vec<StringBuilder> = self.wanted.iter().map(|_| StringBuilder::new()).collect();
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < BATCH_ROWS && bytes < BATCH_BYTES && self.lines.next(self.read + 1)? {
            self.read += 1;
            let (place, record) = (self.lines.place(self.read), &self.lines.record);
            if record.len() != self.header.len() {
                return Err(TableError::Ragged {
                    place,
                    found: record.len() as u64,
                    wanted: self.header.len() as u64,
                });
            }
            for (builder, column) in builders.iter_mut().zip(&self.wanted) {
                let Some(column) = *column else { continue };
                let text = std::str::from_utf8(&record[column]).map_err(|_| TableError::NotUtf8 {
                    place,
                    column: self.header[column].clone(),
                })?;
                builder.append_value(text);
            }
            bytes += record.as_slice().len();
            lines.push(self.lines.line());
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let columns = builders.into_iter().zip(&self.wanted);
        Ok(Some(super::Rows {
            columns: columns
                .map(|(mut builder, column)| column.map(|_| Arc::new(builder.finish()) as ArrayRef))
                .collect(),
            count: lines.len(),
            before,
            lines: Some(lines),
        }))
    }
}

impl Iterator for Rows {
    type Item = Result<super::Rows, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let batch = self.batch().transpose();
        self.ended = !matches!(batch, Some(Ok(_)));
        batch
    }
}

/// The records of a file, one after the other.
struct Lines {
    reader: Reader<Bounded>,
    /// Up to which byte may be read now.
    bound: Rc<Cell<u64>>,
    /// Bytes of the file.
    length: u64,
    record: ByteRecord,
}

impl Lines {
    fn new(file: File) -> Result<Self, TableError> {
        let length = file.metadata().map_err(TableError::Read)?.len();
        let bound = Rc::new(Cell::new(MAX_ROW_BYTES));
        let reader = Bounded {
            file,
            read: 0,
            bound: Rc::clone(&bound),
        };
        Ok(Self {
            reader: ReaderBuilder::new().flexible(true).from_reader(reader),
            bound,
            length,
            record: ByteRecord::new(),
        })
    }

    /// Reads the next record, which is a given row; says whether there was one.
    fn next(&mut self, row: u64) -> Result<bool, TableError> {
        let begin = self.reader.position().clone();
        self.bound.set(begin.byte() + MAX_ROW_BYTES);
        let place = Place {
            row,
            line: Some(begin.line()),
        };
        let more = self.reader.read_byte_record(&mut self.record);
        let more = more.map_err(|error| wrong(error, place))?;
        let many_lines = self.record.iter().any(|cell| cell.contains(&b'\n'));
        let is_last = self.reader.position().byte() >= self.length;
        if more && many_lines && is_last && self.ends_in_quotes(begin.byte())? {
            return Err(TableError::OpenQuote { place });
        }
        Ok(more)
    }

    /// Whether the file ends inside quotes that were opened at or after a byte. Quotes come in pairs.
    fn ends_in_quotes(&mut self, begin: u64) -> Result<bool, TableError> {
        let mut file = self.reader.get_ref().file.try_clone().map_err(TableError::Read)?;
        file.seek(SeekFrom::Start(begin)).map_err(TableError::Read)?;
        let mut rest = Vec::new();
        file.take(MAX_ROW_BYTES)
            .read_to_end(&mut rest)
            .map_err(TableError::Read)?;
        Ok(rest.iter().filter(|byte| **byte == b'"').count() % 2 == 1)
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(1, csv::Position::line)
    }

    fn place(&self, row: u64) -> Place {
        Place {
            row,
            line: Some(self.line()),
        }
    }
}

fn first_line() -> Place {
    Place {
        row: 0,
        line: Some(1),
    }
}

/// Files fail, and rows don't end; lengths and encodings are looked at elsewhere.
fn wrong(error: csv::Error, place: Place) -> TableError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inside| inside.is::<TooLong>()) => {
            TableError::OpenQuote { place }
        }
        csv::ErrorKind::Io(error) => TableError::Read(error),
        other => TableError::Read(io::Error::other(format!("{other:?}"))),
    }
}

/// A file of which no more is read than one row may have.
struct Bounded {
    file: File,
    read: u64,
    bound: Rc<Cell<u64>>,
}

/// A row has more bytes than it may.
#[derive(Debug, thiserror::Error)]
#[error("a row has more than {MAX_ROW_BYTES} bytes")]
struct TooLong;

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read > self.bound.get() {
            return Err(io::Error::other(TooLong));
        }
        let count = self.file.read(buffer)?;
        self.read += count as u64;
        Ok(count)
    }
}
