//! The views of a project that are read together: one kind of entity, found by one join key, and its columns.
//!
//! `choice` finds them in a project's registry, and `error` says why some can't be chosen. How a row is read with them is in
//! [`crate::row`].

mod choice;
mod error;

use std::time::Duration;

pub use error::ViewsError;

use crate::{EntityKey, EntityKeyError, KeyValue, ValueType, time_field};

/// Whether names of views have their version in the store: `enable_online_feature_view_versioning` of `registry` in
/// `feature_store.yaml`, which the registry itself does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versioning {
    /// Every version of a view is in one place; Feast's own default.
    #[default]
    Off,
    /// Versions after the first have places of their own: version 2 of `x` is stored as `x_v2`, and version 0 as `x`.
    On,
}

/// The types that the key of a user or an item can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum KeyType {
    /// Texts.
    #[strum(to_string = "STRING")]
    String,
    /// Whole numbers of 32 bits.
    #[strum(to_string = "INT32")]
    Int32,
    /// Whole numbers of 64 bits.
    #[strum(to_string = "INT64")]
    Int64,
}

/// Why an id is no key of these views.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The key is a number and the id is not one, as numbers are written.
    #[error(
        "the id {id} is not a whole number as {key_type} writes it, which join key {join_key} is in Feast"
    )]
    NotWhole {
        /// The id.
        id: String,
        /// The join key.
        join_key: String,
        /// Its type.
        key_type: KeyType,
    },
    /// It is too long.
    #[error("the id is too long")]
    Key(#[from] EntityKeyError),
}

/// A column: a feature of one of the views.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The feature's name.
    pub name: String,
    /// Which of [`EntityViews::views`] has it.
    pub view: usize,
    /// The hash field that holds it.
    pub field: [u8; 4],
    /// What the registry declares.
    pub value_type: ValueType,
}

/// One of the views.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredView {
    /// Its name, as people know it.
    pub name: String,
    /// Its name in the store, with its version where the store has versions.
    pub stored_as: String,
    /// How long its features are valid after their event time; none where they always are.
    pub ttl: Option<Duration>,
}

/// Views of one entity that are read together, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityViews {
    /// The join key by which rows are found.
    pub join_key: String,
    /// Its type.
    pub key_type: KeyType,
    /// The views, in the order in which they were named.
    pub views: Vec<StoredView>,
    /// Their features: no two have one name.
    pub columns: Vec<Column>,
}

impl EntityViews {
    /// The entity of an id. A key that is a number is the id as a whole number, and must be written as such: 7, and not 07.
    pub fn entity_key(&self, id: &str) -> Result<EntityKey, IdError> {
        let value = match self.key_type {
            KeyType::String => Some(KeyValue::String(id.to_owned())),
            KeyType::Int32 => canonical(id).map(KeyValue::Int32),
            KeyType::Int64 => canonical(id).map(KeyValue::Int64),
        };
        let value = value.ok_or_else(|| IdError::NotWhole {
            id: id.to_owned(),
            join_key: self.join_key.clone(),
            key_type: self.key_type,
        })?;
        Ok(EntityKey::new(vec![(self.join_key.clone(), value)])?)
    }

    /// The id of an entity that a scan found; none if it is of another join key or type.
    pub fn id_of(&self, entity: &EntityKey) -> Option<String> {
        match (entity.parts(), self.key_type) {
            ([(join_key, _)], _) if *join_key != self.join_key => None,
            ([(_, KeyValue::String(text))], KeyType::String) => Some(text.clone()),
            ([(_, KeyValue::Int32(number))], KeyType::Int32) => Some(number.to_string()),
            ([(_, KeyValue::Int64(number))], KeyType::Int64) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The hash fields of an entity, in the order in which [`EntityViews::read`] wants their values: those of the columns, then the
    /// event time of each view.
    pub fn hash_fields(&self) -> Vec<Vec<u8>> {
        let columns = self.columns.iter().map(|column| column.field.to_vec());
        let times = self
            .views
            .iter()
            .map(|view| time_field(&view.stored_as).into_bytes());
        columns.chain(times).collect()
    }

    /// The same views with no other columns than these, so that no more is fetched than is needed. All views stay: their event times say
    /// whether there is an entity.
    pub fn only(&self, wanted: &[&str]) -> Self {
        let mut views = self.clone();
        views
            .columns
            .retain(|column| wanted.contains(&column.name.as_str()));
        views
    }
}

/// A whole number, if it is written as it would be printed.
fn canonical<N: std::str::FromStr + ToString>(id: &str) -> Option<N> {
    id.parse().ok().filter(|number: &N| number.to_string() == id)
}
