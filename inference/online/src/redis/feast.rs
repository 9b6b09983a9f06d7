//! Users and items whose rows are in feature views of Feast: read as Feast's readers do, and written so that they see it.

use std::time::Duration;

use gondola_causes::with_causes;
use gondola_feast::{AbsentColumns, EntityViews, EventTime, Found, KeyLayout, time_field};
use gondola_request::{Moment, RawRow, StatedRow, Value as RawValue};
use redis::{Cmd, FromRedisValue, Value, cmd};

use crate::store::StoreError;

/// Feature views of one entity in Redis.
#[derive(Clone, Debug)]
pub struct FeastEntities {
    /// How its keys are written.
    pub layout: KeyLayout,
    /// Its views.
    pub views: EntityViews,
    /// After how long a key expires that nobody writes.
    pub key_ttl: Option<Duration>,
}

impl FeastEntities {
    /// The command that reads an entity's values; none where the id can be nobody's, which is the same as that nothing is held.
    pub(super) fn read(&self, id: &str) -> Option<Cmd> {
        let mut read = cmd("HMGET");
        read.arg(self.key(id).ok()?).arg(self.views.hash_fields());
        Some(read)
    }

    /// The row in a reply to [`read`](Self::read): all that is known, as of users. What Feast says counts, however old it is.
    pub(super) fn whole_row(&self, reply: Value, id: &str) -> Result<Option<StatedRow>, StoreError> {
        let damaged = |problem: String| StoreError::Damaged {
            what: format!("features of {id:?} in Feast"),
            problem,
        };
        let values =
            Vec::<Option<Vec<u8>>>::from_redis_value(reply).map_err(|error| damaged(error.to_string()))?;
        match self
            .views
            .read(id, &values)
            .map_err(|error| damaged(with_causes(&error)))?
        {
            Found::Nothing => Ok(None),
            Found::Row { row, newest } => Ok(Some(StatedRow {
                columns: row,
                whole: true,
                always: true,
                at: newest.map_or(Moment::default(), moment),
            })),
        }
    }

    /// The same, over a snapshot's: what no view has stays, as of items, of which rules and texts may ask for more than models do.
    pub(super) fn row_over(&self, reply: Value, id: &str) -> Result<Option<StatedRow>, StoreError> {
        let row = self.whole_row(reply, id)?;
        Ok(row.map(|mut row| {
            let readable = self.views.columns.iter();
            for column in readable.filter(|column| column.value_type.column_kind().is_some()) {
                row.columns.0.entry(column.name.clone()).or_insert(RawValue::Null);
            }
            StatedRow { whole: false, ..row }
        }))
    }

    /// The command that reads when each view of an entity was true.
    pub(super) fn times(&self, key: &[u8]) -> Cmd {
        let mut read = cmd("HMGET");
        read.arg(key);
        for view in &self.views.views {
            read.arg(time_field(&view.stored_as));
        }
        read
    }

    /// What the keys of all its entities match, and maybe others.
    pub(super) fn pattern(&self) -> Vec<u8> {
        self.layout.scan_pattern(&[&self.views.join_key])
    }

    /// The id of an entity by its key; none if the key is something else.
    pub(super) fn id_of(&self, key: &[u8]) -> Option<String> {
        let entity = self.layout.parse(&[&self.views.join_key], key).ok()?;
        self.views.id_of(&entity)
    }

    /// The commands that replace a row, or change some of its columns; the error says why Feast could not read it.
    pub(super) fn write(
        &self,
        id: &str,
        row: &RawRow,
        now: Moment,
        absent: AbsentColumns,
    ) -> Result<Vec<Cmd>, String> {
        let key = self.key(id)?;
        let fields = self
            .views
            .fields_of(id, row, event_time(now), absent)
            .map_err(|error| with_causes(&error))?;
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let mut set = cmd("HSET");
        set.arg(&key);
        for (field, value) in fields {
            set.arg(field).arg(value);
        }
        let expire = self.key_ttl.map(|ttl| {
            let mut expire = cmd("EXPIRE");
            expire.arg(&key).arg(ttl.as_secs());
            expire
        });
        Ok(std::iter::once(set).chain(expire).collect())
    }

    /// The command that deletes an entity's features.
    pub(super) fn delete(&self, id: &str) -> Option<Cmd> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(id).ok()?);
        Some(delete)
    }

    fn key(&self, id: &str) -> Result<Vec<u8>, String> {
        let entity = self.views.entity_key(id).map_err(|error| with_causes(&error))?;
        Ok(self.layout.redis_key(&entity))
    }
}

fn moment(time: EventTime) -> Moment {
    Moment(time.seconds().saturating_mul(1000) + i64::from(time.nanos() / 1_000_000))
}

fn event_time(moment: Moment) -> EventTime {
    let nanos = moment.0.rem_euclid(1000) as u32 * 1_000_000;
    EventTime::new(moment.0.div_euclid(1000), nanos).expect("a thousand milliseconds are a second")
}
