//! Feast's registry, as `feast apply` writes it: a serialized `feast.core.Registry`, usually called `registry.pb`.
//!
//! It says which views there are, by which join keys their entities are found, and of which types their features are. It does not say
//! how keys are serialized, nor whether names of views have versions in the store: both stand in `feature_store.yaml` alone.
//! [`crate::views`] makes something that can be read from it.

mod messages;

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message;

/// The longest registry that is read. A view with a hundred features takes some 10 kB, and each of its versions as much again; what is
/// read takes some 60 times its bytes at worst, which no registry of Feast's comes near.
pub const MAX_REGISTRY_BYTES: usize = 64 * 1024 * 1024;

/// Why a registry can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It is longer than any registry.
    #[error(
        "the registry has {bytes} bytes, and may have {MAX_REGISTRY_BYTES}; check that the path is Feast's registry.pb"
    )]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It is something else.
    #[error(
        "not Feast's registry; give the path of `registry` in feature_store.yaml, the file that `feast apply` writes"
    )]
    Damaged(#[source] prost::DecodeError),
    /// It has no such project.
    #[error("the registry has no project {project}; it has {}", listed(there))]
    UnknownProject {
        /// Which project.
        project: String,
        /// The projects that there are.
        there: Vec<String>,
    },
}

/// Names in a message, or a word for none.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

/// A registry: projects by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    projects: BTreeMap<String, Project>,
}

/// What a registry says of one project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    pub(crate) name: String,
    pub(crate) entities: BTreeMap<String, Entity>,
    pub(crate) views: BTreeMap<String, View>,
    /// Views that can't be read from the store, and why.
    pub(crate) others: BTreeMap<String, OtherView>,
    pub(crate) versions: Vec<VersionRecord>,
}

/// An entity: what features are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity {
    /// The column by which it is found.
    pub join_key: String,
    /// The column's type, by its number.
    pub value_type: i32,
}

/// A feature view or a stream feature view.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The names of its entities.
    pub entities: Vec<String>,
    /// The types of its join keys, by their names.
    pub key_types: BTreeMap<String, i32>,
    /// Its features, in the registry's order.
    pub features: Vec<Feature>,
    /// How long its features are valid after their event time; none where they always are. Feast's readers of Redis take no notice
    /// of it.
    pub ttl: Option<Duration>,
    /// Whether it is kept in the online store.
    pub online: bool,
    /// Whether it was disabled: Feast serves nothing of it.
    pub disabled: bool,
    /// Its current version; 0 is the first.
    pub version: u32,
}

/// A feature of a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Its type, by its number: [`crate::ValueType`] has those that are known.
    pub value_type: i32,
    /// What its owner says of it.
    pub tags: BTreeMap<String, String>,
}

/// Views that we don't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
pub enum OtherView {
    /// Computed when it is asked for.
    #[strum(to_string = "an on-demand feature view")]
    OnDemand,
    /// What people say of entities.
    #[strum(to_string = "a label view")]
    Labels,
}

/// A version of a view, as it was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VersionRecord {
    pub(crate) view: String,
    pub(crate) version: u32,
    is_stream: bool,
    message: Vec<u8>,
}

impl VersionRecord {
    /// The view of this version; none if the record is of a view without a spec.
    pub(crate) fn view(&self) -> Result<Option<View>, prost::DecodeError> {
        let message = self.message.as_slice();
        let message = if self.is_stream {
            messages::StreamFeatureView::decode(message)?.into()
        } else {
            messages::FeatureView::decode(message)?
        };
        Ok(view(message).map(|(_, view)| View {
            version: self.version,
            ..view
        }))
    }
}

impl Registry {
    /// Reads a registry's bytes, at most [`MAX_REGISTRY_BYTES`].
    pub fn read(bytes: &[u8]) -> Result<Self, RegistryError> {
        if bytes.len() > MAX_REGISTRY_BYTES {
            return Err(RegistryError::TooLarge { bytes: bytes.len() });
        }
        let message = messages::Registry::decode(bytes).map_err(RegistryError::Damaged)?;
        let mut registry = Self::default();
        registry.add_projects(message.projects, message.project_metadata);
        for entity in message.entities.into_iter().filter_map(|entity| entity.spec) {
            registry.add_entity(entity);
        }
        let streams = message.stream_feature_views.into_iter();
        let views = message.feature_views.into_iter().chain(streams.map(Into::into));
        for (named, view) in views.filter_map(view) {
            registry.at(named.project).views.insert(named.name, view);
        }
        registry.add_others(message.on_demand_feature_views, OtherView::OnDemand);
        registry.add_others(message.label_views, OtherView::Labels);
        for record in message
            .version_history
            .into_iter()
            .flat_map(|history| history.records)
        {
            registry.add_version(record);
        }
        Ok(registry)
    }

    /// What it says of a project.
    pub fn project(&self, name: &str) -> Result<&Project, RegistryError> {
        self.projects
            .get(name)
            .ok_or_else(|| RegistryError::UnknownProject {
                project: name.to_owned(),
                there: self.projects.keys().cloned().collect(),
            })
    }

    /// The project of this name, which is there from now on.
    fn at(&mut self, name: String) -> &mut Project {
        self.projects.entry(name).or_insert_with_key(|name| Project {
            name: name.clone(),
            ..Project::default()
        })
    }

    fn add_projects(&mut self, projects: Vec<messages::Project>, metadata: Vec<messages::ProjectMetadata>) {
        for spec in projects.into_iter().filter_map(|project| project.spec) {
            self.at(spec.name);
        }
        for project in metadata {
            self.at(project.project);
        }
    }

    fn add_entity(&mut self, spec: messages::EntitySpec) {
        let entity = Entity {
            join_key: spec.join_key,
            value_type: spec.value_type,
        };
        self.at(spec.project).entities.insert(spec.name, entity);
    }

    fn add_others(&mut self, views: Vec<messages::NamedView>, other: OtherView) {
        for spec in views.into_iter().filter_map(|view| view.spec) {
            self.at(spec.project).others.insert(spec.name, other);
        }
    }

    /// Notes a version; those of views that we don't read are not noted.
    fn add_version(&mut self, record: messages::VersionRecord) {
        let is_stream = match record.feature_view_type.as_str() {
            "feature_view" => false,
            "stream_feature_view" => true,
            _ => return,
        };
        let version = VersionRecord {
            view: record.feature_view_name,
            version: version_number(record.version_number),
            is_stream,
            message: record.feature_view,
        };
        self.at(record.project).versions.push(version);
    }
}

impl Project {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its entities, by name.
    pub fn entities(&self) -> &BTreeMap<String, Entity> {
        &self.entities
    }

    /// Its feature views and stream feature views, by name.
    pub fn views(&self) -> &BTreeMap<String, View> {
        &self.views
    }
}

struct Named {
    project: String,
    name: String,
}

fn view(message: messages::FeatureView) -> Option<(Named, View)> {
    let spec = message.spec?;
    let named = Named {
        project: spec.project,
        name: spec.name,
    };
    let view = View {
        entities: spec.entities,
        features: features(spec.features, &spec.entity_columns),
        key_types: key_types(spec.entity_columns),
        ttl: ttl(spec.ttl),
        online: spec.online,
        disabled: spec.disabled,
        version: current_version(message.meta),
    };
    Some((named, view))
}

fn key_types(columns: Vec<messages::Feature>) -> BTreeMap<String, i32> {
    columns
        .into_iter()
        .map(|column| (column.name, column.value_type))
        .collect()
}

/// The features of a view: a stream feature view lists its join keys among them.
fn features(features: Vec<messages::Feature>, keys: &[messages::Feature]) -> Vec<Feature> {
    let is_key = |feature: &messages::Feature| keys.iter().any(|key| key.name == feature.name);
    let features = features.into_iter().filter(|feature| !is_key(feature));
    let features = features.map(|feature| Feature {
        name: feature.name,
        value_type: feature.value_type,
        tags: feature.tags,
    });
    features.collect()
}

/// Zero, or less, is no limit, as for Feast.
fn ttl(ttl: Option<messages::Duration>) -> Option<Duration> {
    let ttl = ttl?;
    let seconds = u64::try_from(ttl.seconds).ok()?;
    let nanos = u32::try_from(ttl.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(seconds, nanos)).filter(|ttl| !ttl.is_zero())
}

fn current_version(meta: Option<messages::ViewMeta>) -> u32 {
    version_number(meta.map_or(0, |meta| meta.current_version_number))
}

/// No version is less than the first.
fn version_number(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
