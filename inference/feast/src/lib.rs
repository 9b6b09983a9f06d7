//! The layout in which Feast keeps online features in Redis, its registry, and its connection strings.
//!
//! Feast (0.67 and its neighbours) keeps all features of an entity in one Redis hash. In reading order:
//!
//! - [`connection`]: `connection_string` of `feature_store.yaml`, checked;
//! - [`registry`]: the file that `feast apply` writes; [`views`]: the feature views of one entity that are read together, with their
//!   columns; [`compare`](mod@compare): what a bundle needs against what they have;
//! - [`entity_key`]: the key of an entity's hash, there and back; [`field`]: the names of its fields;
//! - [`value`]: the protobuf in a field, and [`value_type`], its types; [`event_time`]: the protobuf in a `_ts` field;
//! - [`convert`]: from such a value to one of the data plane, and back; [`row`]: the same for all columns of an entity.
//!
//! Two promises, which the tests hold against Feast itself: what Feast wrote is read as Feast's own readers say it, and what is
//! written here Feast reads back as it was. Three things differ on purpose: an entity of which the store has nothing is
//! [`Found::Nothing`], and not a row of nulls; NaN is null; and a number that a double would round is an error.
//!
//! Everything takes and gives bytes. No function panics on any of them, and sizes are bounded ([`MAX_VALUE_BYTES`],
//! [`MAX_REGISTRY_BYTES`]). Absent on purpose: sockets, clocks, threads, and every crate of this project but the words of the data plane.

pub mod compare;
pub mod connection;
pub mod convert;
pub mod entity_key;
pub mod event_time;
pub mod field;
mod murmur;
pub mod registry;
pub mod row;
pub mod value;
pub mod value_type;
pub mod views;

pub use compare::{Mismatch, compare};
pub use connection::{
    Connection, ConnectionError, Password, RedisType, Server, StoreSettings, Tls, Topology,
};
pub use convert::{ColumnKind, ReadError, WriteError};
pub use entity_key::{EntityKey, EntityKeyError, KeyLayout, KeyValue, KeyVersion, NotThisKey};
pub use event_time::{EventTime, EventTimeError};
pub use field::{feature_field, time_field};
pub use registry::{MAX_REGISTRY_BYTES, Project, Registry, RegistryError};
pub use row::{
    AbsentColumns, CellError, CellProblem, Found, HashField, MAX_VALUE_BYTES, ReadRowError, WriteRowError,
};
pub use value::{FeastValue, Kind, ValueError};
pub use value_type::ValueType;
pub use views::{Column, EntityViews, IdError, KeyType, StoredView, Versioning, ViewsError};
