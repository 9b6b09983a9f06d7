//! One entity's row: from the fields of its hash, and back.

use std::collections::BTreeSet;

use gondola_request::{RawRow, Value};

use crate::convert::{ReadError, WriteError};
use crate::{Column, EntityViews, EventTime, EventTimeError, FeastValue, ValueError, ValueType, time_field};

/// The longest value that is read: 1 MiB. A text that a model reads has some kilobytes; what is longer is something else.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// What the store has of an entity.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing: neither a value nor an event time of any of the views. Feast itself calls such values present, and null.
    Nothing,
    /// A row, maybe of nulls alone.
    Row {
        /// The values that are not null, by column.
        row: RawRow,
        /// The newest event time of its views; none if the store has none.
        newest: Option<EventTime>,
    },
}

/// Where a row could not be read or written, and why.
#[derive(Debug, thiserror::Error)]
#[error("feature {column} of feature view {view} for {entity}")]
pub struct CellError {
    /// The view.
    pub view: String,
    /// The column; `_ts` is the event time.
    pub column: String,
    /// The id.
    pub entity: String,
    /// Why.
    #[source]
    pub source: CellProblem,
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
pub enum CellProblem {
    /// It is longer than any value.
    #[error(
        "the value has {bytes} bytes, and may have {MAX_VALUE_BYTES}; keep large objects out of the features that models read"
    )]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It is no value.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// It is no event time.
    #[error(transparent)]
    Time(#[from] EventTimeError),
    /// Models have no use for it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not what the registry declares.
    #[error(
        "a value of type {stored} is stored, and the registry declares {declared}; materialize the view again"
    )]
    OtherType {
        /// What is stored.
        stored: ValueType,
        /// What the registry declares.
        declared: ValueType,
    },
    /// It can't be stored.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a row can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRowError {
    /// One of its values.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// The store answered with another number of fields.
    #[error("the store answered with {found} fields of {asked}")]
    Fields {
        /// How many were asked for.
        asked: usize,
        /// How many came.
        found: usize,
    },
}

/// Why a row can't be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteRowError {
    /// One of its values.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// No view has such a column.
    #[error(
        "{column} is a column of none of the feature views of {join_key}; leave it out, or add it to a view in Feast"
    )]
    UnknownColumn {
        /// Which column.
        column: String,
        /// The views' join key.
        join_key: String,
    },
}

/// A field of an entity's hash to set: its name and its value.
pub type HashField = (Vec<u8>, Vec<u8>);

/// What becomes of columns that a row does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentColumns {
    /// They stay as they are in the store, and so does the event time of views none of whose columns are written.
    Stay,
    /// They are written as null: the row replaces what there was.
    AreNull,
}

impl EntityViews {
    /// The row of an entity, whose id is named in errors, from the values of [`EntityViews::hash_fields`]. Columns of types that models
    /// have no use for are passed over, whatever they hold.
    pub fn read<B: AsRef<[u8]>>(&self, id: &str, values: &[Option<B>]) -> Result<Found, ReadRowError> {
        let asked = self.columns.len() + self.views.len();
        if values.len() != asked {
            return Err(ReadRowError::Fields {
                asked,
                found: values.len(),
            });
        }
        if values.iter().all(Option::is_none) {
            return Ok(Found::Nothing);
        }
        let (values, times) = values.split_at(self.columns.len());
        let mut row = RawRow::default();
        for (column, bytes) in self.columns.iter().zip(values) {
            let value = read_value(column, bytes).map_err(|source| self.at(column, id, source))?;
            if value != Value::Null {
                row.0.insert(column.name.clone(), value);
            }
        }
        let newest = self.newest(id, times)?;
        Ok(Found::Row { row, newest })
    }

    fn newest<B: AsRef<[u8]>>(&self, id: &str, times: &[Option<B>]) -> Result<Option<EventTime>, CellError> {
        let mut newest = None;
        for (view, bytes) in self.views.iter().zip(times) {
            let Some(bytes) = bytes else { continue };
            let time = EventTime::decode(bytes.as_ref()).map_err(|source| CellError {
                view: view.name.clone(),
                column: "_ts".to_owned(),
                entity: id.to_owned(),
                source: source.into(),
            })?;
            newest = newest.max(Some(time));
        }
        Ok(newest)
    }

    /// The fields to set in an entity's hash so that Feast's readers see `row`, true at `time`: the columns, and the event time of each
    /// view that has one of them. Feast's own writers leave a view alone whose event time is not before theirs. Where the
    /// store has `key_ttl_seconds`, the key is to expire anew, as after each write of Feast.
    pub fn fields_of(
        &self,
        id: &str,
        row: &RawRow,
        time: EventTime,
        absent: AbsentColumns,
    ) -> Result<Vec<HashField>, WriteRowError> {
        self.check_columns(row)?;
        let mut fields = Vec::new();
        let mut touched = BTreeSet::new();
        for column in &self.columns {
            let value = match (row.0.get(&column.name), absent) {
                (Some(value), _) => value,
                (None, AbsentColumns::Stay) => continue,
                // What models don't read is not theirs to take away.
                (None, AbsentColumns::AreNull) if column.value_type.column_kind().is_none() => continue,
                (None, AbsentColumns::AreNull) => &Value::Null,
            };
            let stored = FeastValue::from_value(value, column.value_type)
                .map_err(|source| self.at(column, id, source.into()))?;
            fields.push((column.field.to_vec(), stored.write()));
            touched.insert(column.view);
        }
        for view in touched {
            let field = time_field(&self.views[view].stored_as);
            fields.push((field.into_bytes(), time.encode()));
        }
        Ok(fields)
    }

    fn check_columns(&self, row: &RawRow) -> Result<(), WriteRowError> {
        let known: BTreeSet<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        match row.0.keys().find(|column| !known.contains(column.as_str())) {
            Some(column) => Err(WriteRowError::UnknownColumn {
                column: column.clone(),
                join_key: self.join_key.clone(),
            }),
            None => Ok(()),
        }
    }

    fn at(&self, column: &Column, id: &str, source: CellProblem) -> CellError {
        CellError {
            view: self.views[column.view].name.clone(),
            column: column.name.clone(),
            entity: id.to_owned(),
            source,
        }
    }
}

fn read_value<B: AsRef<[u8]>>(column: &Column, bytes: &Option<B>) -> Result<Value, CellProblem> {
    let (Some(bytes), Some(kind)) = (bytes, column.value_type.column_kind()) else {
        return Ok(Value::Null);
    };
    let bytes = bytes.as_ref();
    if bytes.len() > MAX_VALUE_BYTES {
        return Err(CellProblem::TooLarge { bytes: bytes.len() });
    }
    let stored = FeastValue::read(bytes)?;
    match stored.kind.as_ref().map(|stored| stored.value_type()) {
        Some(stored) if stored != ValueType::Null && stored.column_kind() != Some(kind) => {
            Err(CellProblem::OtherType {
                stored,
                declared: column.value_type,
            })
        }
        _ => Ok(stored.to_value()?),
    }
}
