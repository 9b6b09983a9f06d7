//! What Redis says, as values of ours.

use std::collections::HashMap;

use gondola_request::{ItemState, Moment, PastInteraction, RawRow, Rules, StatedRow, UserState};
use redis::{FromRedisValue, Value};
use serde::de::DeserializeOwned;

use super::keys;
use crate::record;
use crate::store::{Position, StoreError};

/// Where the columns of a row are.
pub(super) enum Columns {
    /// Among the fields of ours.
    Here,
    /// In Feast, if it has any.
    InFeast(Option<StatedRow>),
}

/// The fields of a hash.
pub(super) struct Fields {
    of: String,
    fields: HashMap<String, String>,
}

impl Fields {
    /// Reads a reply to `HGETALL`; `of` is the id that errors name.
    pub(super) fn of(reply: Value, of: &str) -> Result<Self, StoreError> {
        let fields = HashMap::from_redis_value(reply).map_err(|error| damaged(of, error))?;
        Ok(Self {
            of: of.to_owned(),
            fields,
        })
    }

    /// A user, who also did this.
    pub(super) fn user(
        mut self,
        interactions: Vec<PastInteraction>,
        columns: Columns,
    ) -> Result<Option<UserState>, StoreError> {
        let row = self.row(columns)?;
        if self.fields.is_empty() && interactions.is_empty() && row.is_none() {
            return Ok(None);
        }
        let history = self.fields.remove(keys::HISTORY);
        Ok(Some(UserState {
            deleted: self.fields.contains_key(keys::DELETED),
            history: history.map(|json| self.json(&json)).transpose()?,
            row,
            interactions,
        }))
    }

    /// An item.
    pub(super) fn item(self, columns: Columns) -> Result<Option<ItemState>, StoreError> {
        let row = self.row(columns)?;
        if self.fields.is_empty() && row.is_none() {
            return Ok(None);
        }
        Ok(Some(ItemState {
            deleted: self.fields.contains_key(keys::DELETED),
            blocked: self.fields.get(keys::BLOCKED).is_some_and(|flag| flag == "1"),
            // What only blocks an item says nothing of its row.
            row: row.filter(|row| row.whole || !row.columns.0.is_empty()),
        }))
    }

    fn row(&self, columns: Columns) -> Result<Option<StatedRow>, StoreError> {
        match columns {
            Columns::Here => self.own_row(),
            Columns::InFeast(row) => Ok(row),
        }
    }

    fn own_row(&self) -> Result<Option<StatedRow>, StoreError> {
        let Some(kind) = self.fields.get(keys::ROW) else {
            return Ok(None);
        };
        let mut columns = RawRow::default();
        for (field, value) in &self.fields {
            if let Some(column) = field.strip_prefix(keys::COLUMN) {
                columns.0.insert(column.to_owned(), self.json(value)?);
            }
        }
        let at = self.fields.get(keys::AT).and_then(|at| at.parse().ok());
        Ok(Some(StatedRow {
            columns,
            whole: kind == "whole",
            at: Moment(at.unwrap_or_default()),
            ..StatedRow::default()
        }))
    }

    fn json<T: DeserializeOwned>(&self, json: &str) -> Result<T, StoreError> {
        serde_json::from_str(json).map_err(|error| damaged(&self.of, error))
    }
}

fn damaged(of: &str, error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: format!("something of {of:?}"),
        problem: format!("{error}; put it again, which replaces it"),
    }
}

/// What a user did, the earliest first, of a reply to `HVALS`.
pub(super) fn interactions(reply: Value, user: &str) -> Result<Vec<PastInteraction>, StoreError> {
    let records = Vec::<String>::from_redis_value(reply).map_err(|error| damaged(user, error))?;
    let read = records.iter().map(|record| record::read(record, user));
    let mut interactions: Vec<PastInteraction> = read.collect::<Result<_, _>>()?;
    interactions.sort_by_key(|interaction| interaction.at);
    Ok(interactions)
}

/// Rules, of a reply to `GET`.
pub(super) fn rules(reply: Value) -> Result<Option<Rules>, StoreError> {
    let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged {
        what: "rules".to_owned(),
        problem: format!("{error}; put them again, or delete them"),
    };
    let json = Option::<String>::from_redis_value(reply).map_err(|error| damaged(&error))?;
    json.map(|json| serde_json::from_str(&json).map_err(|error| damaged(&error)))
        .transpose()
}

/// Bytes that are others where the values of a reply to `HMGET` are.
pub(super) fn mark(reply: &Value) -> Vec<u8> {
    let values = Vec::<Option<Vec<u8>>>::from_redis_value_ref(reply).unwrap_or_default();
    let parts = values.into_iter().map(|value| match value {
        Some(value) => [vec![value.len() as u8], value].concat(),
        None => vec![u8::MAX],
    });
    parts.flatten().collect()
}

/// An entry of the stream.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) position: Position,
    /// What kind of thing changed, and its name.
    pub(super) names: Vec<(String, String)>,
}

/// The id of an entry.
pub(super) fn position(reply: Value) -> Option<Position> {
    let id = String::from_redis_value(reply).ok()?;
    let (milliseconds, place) = id.split_once('-')?;
    Some(Position(milliseconds.parse().ok()?, place.parse().ok()?))
}

/// Texts of a set or a list.
pub(super) fn texts(reply: Value) -> Option<Vec<String>> {
    Vec::from_redis_value(reply).ok()
}

/// Entries of a reply to `XRANGE`.
pub(super) fn entries(reply: Value) -> Option<Vec<Entry>> {
    let entries = match reply {
        Value::Nil => return Some(Vec::new()),
        Value::Array(entries) => entries,
        _ => return None,
    };
    entries.into_iter().map(entry).collect()
}

fn entry(reply: Value) -> Option<Entry> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let [id, fields] = <[Value; 2]>::try_from(parts).ok()?;
    let fields = Vec::<String>::from_redis_value(fields).ok()?;
    let names = fields
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()));
    Some(Entry {
        position: position(id)?,
        names: names.collect(),
    })
}

/// Entries of a reply to `XREAD` of one stream; none where it waited in vain.
pub(super) fn stream(reply: Value) -> Option<Vec<Entry>> {
    match reply {
        Value::Nil => Some(Vec::new()),
        Value::Array(streams) => match streams.into_iter().next() {
            None => Some(Vec::new()),
            Some(Value::Array(parts)) => entries(parts.into_iter().nth(1)?),
            Some(_) => None,
        },
        Value::Map(streams) => entries(streams.into_iter().next()?.1),
        _ => None,
    }
}
