//! Choosing views of a project by their names.

use std::collections::BTreeMap;

use super::{Column, EntityViews, KeyType, StoredView, Versioning, ViewsError};
use crate::registry::{Feature, Project, View};
use crate::{ValueType, feature_field};

/// The entity of views that have none.
const NO_ENTITY: &str = "__dummy";

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
        if current.disabled {
            return Err(ViewsError::Disabled {
                view: name.to_owned(),
            });
        }
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
        if !view.online {
            return Err(ViewsError::NotOnline {
                view: asked.to_owned(),
            });
        }
        Ok(NamedView {
            name: asked.to_owned(),
            stored_as: stored_name(name, view.version, versioning),
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

fn stored_name(name: &str, version: u32, versioning: Versioning) -> String {
    match (versioning, version) {
        (Versioning::On, 1..) => format!("{name}_v{version}"),
        _ => name.to_owned(),
    }
}

/// A name of a view and the version that it names, as Feast takes them apart: none for `x` and `x@latest`, 2 for `x@v2`.
fn parse_name(asked: &str) -> (&str, Option<u32>) {
    let Some((name, version)) = asked.split_once('@') else {
        return (asked, None);
    };
    if version.is_empty() || version.eq_ignore_ascii_case("latest") {
        return (name, None);
    }
    let number = version
        .strip_prefix(['v', 'V'])
        .and_then(|number| number.parse().ok());
    match number {
        Some(number) => (name, Some(number)),
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
