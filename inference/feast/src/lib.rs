//! Feast's online features in Redis.

pub mod entity_key;
pub mod event_time;
pub mod field;
mod murmur;
pub mod value;
pub mod value_type;

pub use entity_key::{EntityKey, EntityKeyError, KeyLayout, KeyValue, KeyVersion, NotThisKey};
pub use event_time::{EventTime, EventTimeError};
pub use field::{feature_field, time_field};
pub use value::{FeastValue, Kind, ValueError};
pub use value_type::ValueType;
