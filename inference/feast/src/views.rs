//! The views of a project that are read together: one kind of entity, found by one join key, and its columns.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::registry::{Feature, OtherView, Project, View, listed};
use crate::{EntityKey, EntityKeyError, KeyValue, ValueType, feature_field, time_field};

/// The entity of views that have none.
const NO_ENTITY: &str = "__dummy";

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

/// Why views can't be read together, or at all.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// No view is asked for.
    #[error("no feature view is named; name at least one")]
    None,
    /// There is no such view.
    #[error("project {project} has no feature view {view}; it has {}", listed(there))]
    Unknown {
        /// The project.
        project: String,
        /// Which view.
        view: String,
        /// The views that there are.
        there: Vec<String>,
    },
    /// A view that is not in the store.
    #[error(
        "{view} is {kind}, and can't be read from the store; name the feature views that hold its features"
    )]
    Other {
        /// Which view.
        view: String,
        /// What it is.
        kind: OtherView,
    },
    /// It has no such version.
    #[error(
        "feature view {view} has no version {version} in the registry; it has {}",
        listed(there)
    )]
    UnknownVersion {
        /// Which view.
        view: String,
        /// Which version.
        version: u32,
        /// The versions that there are.
        there: Vec<String>,
    },
    /// A version is asked for and the store has none.
    #[error(
        "{view} names a version, and versions are off; name {name} alone, or turn them on here and in feature_store.yaml \
         (enable_online_feature_view_versioning)"
    )]
    VersionsAreOff {
        /// What was asked for.
        view: String,
        /// The same without its version.
        name: String,
    },
    /// A version's record can't be read.
    #[error(
        "the registry's record of version {version} of feature view {view} is damaged; run `feast apply` again"
    )]
    DamagedVersion {
        /// Which view.
        view: String,
        /// Which version.
        version: u32,
        /// Why; none if it is a record of nothing.
        #[source]
        source: Option<prost::DecodeError>,
    },
    /// Not in the online store.
    #[error("feature view {view} is not online; set online=True in its definition, apply and materialize it")]
    NotOnline {
        /// Which view.
        view: String,
    },
    /// Feast serves nothing of it.
    #[error("feature view {view} is disabled; run `feast feature-views enable {view}`, or leave it out")]
    Disabled {
        /// Which view.
        view: String,
    },
    /// One of its entities is missing.
    #[error(
        "feature view {view} is about entity {entity}, which the registry does not have; run `feast apply` again"
    )]
    UnknownEntity {
        /// Which view.
        view: String,
        /// Which entity.
        entity: String,
    },
    /// It is about nothing, or about pairs.
    #[error(
        "feature view {view} has {}, and needs one alone: the user's or the item's; leave it out",
        keys(join_keys)
    )]
    NotOneKey {
        /// Which view.
        view: String,
        /// Its join keys.
        join_keys: Vec<String>,
    },
    /// Two views are about different things.
    #[error(
        "feature view {view} has join key {join_key}, and {first} has {first_key}; name views of one entity"
    )]
    OtherKey {
        /// Which view.
        view: String,
        /// Its join key.
        join_key: String,
        /// The first view.
        first: String,
        /// The first view's join key.
        first_key: String,
    },
    /// The type of a join key is none that ids can have, or another than that of the first view.
    #[error("join key {join_key} of feature view {view} is of type {found}, and must be {needed}")]
    KeyType {
        /// Which view.
        view: String,
        /// Which join key.
        join_key: String,
        /// What it is.
        found: String,
        /// What it must be.
        needed: String,
    },
    /// Two features have one name.
    #[error(
        "feature {column} is in feature view {view} and in {first}; leave one of the views out, or rename the feature in one of them"
    )]
    TwoColumns {
        /// The feature.
        column: String,
        /// The view.
        view: String,
        /// The view that has it already.
        first: String,
    },
    /// A type of a later Feast.
    #[error(
        "feature {column} of feature view {view} has type {number}, which is not known here; types to 48 are, as in Feast 0.67"
    )]
    UnknownType {
        /// The view.
        view: String,
        /// The feature.
        column: String,
        /// The type's number.
        number: i32,
    },
}

fn keys(join_keys: &[String]) -> String {
    match join_keys {
        [] => "no join key".to_owned(),
        keys => format!("join keys {}", keys.join(", ")),
    }
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

impl Project {
    /// The views of these names, to be read together. With [`Versioning::On`] a name may have a version, `x@v2`, as in Feast; without
    /// one it means the current version.
    pub fn views_of(&self, names: &[&str], versioning: Versioning) -> Result<EntityViews, ViewsError> {
        let mut found: Option<EntityViews> = None;
        for name in names {
            let named = self.find(name, versioning)?;
            let (join_key, key_type) = self.key_of(&named)?;
            let views = found.get_or_insert_with(|| EntityViews {
                join_key: join_key.clone(),
                key_type,
                views: Vec::new(),
                columns: Vec::new(),
            });
            views.check_key(&named, &join_key, key_type)?;
            views.add(&named)?;
        }
        found.ok_or(ViewsError::None)
    }

    fn find(&self, asked: &str, versioning: Versioning) -> Result<NamedView, ViewsError> {
        let (name, version) = parse_name(asked);
        let current = self.views.get(name).ok_or_else(|| self.no_such_view(name))?;
        let view = match (version, versioning) {
            (None, _) => current.clone(),
            (Some(version), Versioning::On) => self.version_of(name, version)?,
            (Some(_), Versioning::Off) => {
                return Err(ViewsError::VersionsAreOff {
                    view: asked.to_owned(),
                    name: name.to_owned(),
                });
            }
        };
        if current.disabled {
            return Err(ViewsError::Disabled {
                view: name.to_owned(),
            });
        }
        if !view.online {
            return Err(ViewsError::NotOnline {
                view: asked.to_owned(),
            });
        }
        let stored_as = match versioning {
            Versioning::On if view.version > 0 => format!("{name}_v{}", view.version),
            _ => name.to_owned(),
        };
        Ok(NamedView {
            name: asked.to_owned(),
            stored_as,
            view,
        })
    }

    fn no_such_view(&self, name: &str) -> ViewsError {
        match self.others.get(name) {
            Some(kind) => ViewsError::Other {
                view: name.to_owned(),
                kind: *kind,
            },
            None => ViewsError::Unknown {
                project: self.name.clone(),
                view: name.to_owned(),
                there: self.views.keys().cloned().collect(),
            },
        }
    }

    fn version_of(&self, name: &str, version: u32) -> Result<View, ViewsError> {
        let records: Vec<_> = self
            .versions
            .iter()
            .filter(|record| record.view == name)
            .collect();
        let Some(record) = records.iter().find(|record| record.version == version) else {
            return Err(ViewsError::UnknownVersion {
                view: name.to_owned(),
                version,
                there: records.iter().map(|record| record.version.to_string()).collect(),
            });
        };
        let damaged = |source| ViewsError::DamagedVersion {
            view: name.to_owned(),
            version,
            source,
        };
        record
            .view()
            .map_err(|source| damaged(Some(source)))?
            .ok_or_else(|| damaged(None))
    }

    /// The one join key of a view, and its type.
    fn key_of(&self, named: &NamedView) -> Result<(String, KeyType), ViewsError> {
        let mut join_keys = Vec::new();
        let mut declared = None;
        for entity in named.view.entities.iter().filter(|entity| *entity != NO_ENTITY) {
            let found = self
                .entities
                .get(entity)
                .ok_or_else(|| ViewsError::UnknownEntity {
                    view: named.name.clone(),
                    entity: entity.clone(),
                })?;
            join_keys.push(found.join_key.clone());
            declared = Some(found.value_type);
        }
        let [join_key] = join_keys.as_slice() else {
            return Err(ViewsError::NotOneKey {
                view: named.name.clone(),
                join_keys,
            });
        };
        // What the view's columns say is what Feast writes; an entity need not say its type.
        let number = named.view.key_types.get(join_key).copied().or(declared);
        let key_type = named.key_type(join_key, number.unwrap_or_default())?;
        Ok((join_key.clone(), key_type))
    }
}

/// A name of a view, and the version that it names.
fn parse_name(asked: &str) -> (&str, Option<u32>) {
    match asked.rsplit_once("@v") {
        Some((name, version)) => match version.parse() {
            Ok(version) => (name, Some(version)),
            Err(_) => (asked, None),
        },
        None => (asked, None),
    }
}

/// A view that was found.
struct NamedView {
    name: String,
    stored_as: String,
    view: View,
}

impl NamedView {
    fn key_type(&self, join_key: &str, number: i32) -> Result<KeyType, ViewsError> {
        match ValueType::try_from(number) {
            Ok(ValueType::String) => Ok(KeyType::String),
            Ok(ValueType::Int32) => Ok(KeyType::Int32),
            Ok(ValueType::Int64) => Ok(KeyType::Int64),
            other => Err(ViewsError::KeyType {
                view: self.name.clone(),
                join_key: join_key.to_owned(),
                found: other.map_or_else(|_| number.to_string(), |known| known.to_string()),
                needed: "STRING, INT32 or INT64, as ids are texts and whole numbers".to_owned(),
            }),
        }
    }

    fn type_of(&self, feature: &Feature) -> Result<ValueType, ViewsError> {
        ValueType::try_from(feature.value_type).map_err(|_| ViewsError::UnknownType {
            view: self.name.clone(),
            column: feature.name.clone(),
            number: feature.value_type,
        })
    }
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

    fn check_key(&self, named: &NamedView, join_key: &str, key_type: KeyType) -> Result<(), ViewsError> {
        if self.join_key != join_key {
            let first = self.views.first().map(|view| view.name.clone());
            return Err(ViewsError::OtherKey {
                view: named.name.clone(),
                join_key: join_key.to_owned(),
                first: first.unwrap_or_default(),
                first_key: self.join_key.clone(),
            });
        }
        if self.key_type != key_type {
            return Err(ViewsError::KeyType {
                view: named.name.clone(),
                join_key: join_key.to_owned(),
                found: key_type.to_string(),
                needed: format!("{}, as in the views before it", self.key_type),
            });
        }
        Ok(())
    }

    fn add(&mut self, named: &NamedView) -> Result<(), ViewsError> {
        let taken: BTreeMap<String, usize> = self
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.view))
            .collect();
        let place = self.views.len();
        self.views.push(StoredView {
            name: named.name.clone(),
            stored_as: named.stored_as.clone(),
            ttl: named.view.ttl,
        });
        for feature in &named.view.features {
            if let Some(first) = taken.get(&feature.name) {
                return Err(ViewsError::TwoColumns {
                    column: feature.name.clone(),
                    view: named.name.clone(),
                    first: self.views[*first].name.clone(),
                });
            }
            self.columns.push(Column {
                name: feature.name.clone(),
                view: place,
                field: feature_field(&named.stored_as, &feature.name),
                value_type: named.type_of(feature)?,
            });
        }
        Ok(())
    }
}

/// A whole number, if it is written as it would be printed.
fn canonical<N: std::str::FromStr + ToString>(id: &str) -> Option<N> {
    id.parse().ok().filter(|number: &N| number.to_string() == id)
}
