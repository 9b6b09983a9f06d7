//! What we read of the messages of `feast.core`; every other field is passed over.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Registry {
    #[prost(message, repeated, tag = "1")]
    pub(super) entities: Vec<Entity>,
    #[prost(message, repeated, tag = "6")]
    pub(super) feature_views: Vec<FeatureView>,
    #[prost(message, repeated, tag = "8")]
    pub(super) on_demand_feature_views: Vec<NamedView>,
    #[prost(message, repeated, tag = "14")]
    pub(super) stream_feature_views: Vec<StreamFeatureView>,
    #[prost(message, repeated, tag = "15")]
    pub(super) project_metadata: Vec<ProjectMetadata>,
    #[prost(message, repeated, tag = "17")]
    pub(super) projects: Vec<Project>,
    #[prost(message, optional, tag = "18")]
    pub(super) version_history: Option<VersionHistory>,
    #[prost(message, repeated, tag = "19")]
    pub(super) label_views: Vec<NamedView>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entity {
    #[prost(message, optional, tag = "1")]
    pub(super) spec: Option<EntitySpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntitySpec {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) value_type: i32,
    #[prost(string, tag = "4")]
    pub(super) join_key: String,
    #[prost(string, tag = "9")]
    pub(super) project: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureView {
    #[prost(message, optional, tag = "1")]
    pub(super) spec: Option<FeatureViewSpec>,
    #[prost(message, optional, tag = "2")]
    pub(super) meta: Option<ViewMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FeatureViewSpec {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) project: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) features: Vec<Feature>,
    #[prost(message, optional, tag = "6")]
    pub(super) ttl: Option<Duration>,
    #[prost(bool, tag = "8")]
    pub(super) online: bool,
    #[prost(message, repeated, tag = "12")]
    pub(super) entity_columns: Vec<Feature>,
    #[prost(bool, tag = "20")]
    pub(super) disabled: bool,
}

/// Of the same parts as a [`FeatureView`], most of them under other tags.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamFeatureView {
    #[prost(message, optional, tag = "1")]
    pub(super) spec: Option<StreamFeatureViewSpec>,
    #[prost(message, optional, tag = "2")]
    pub(super) meta: Option<ViewMeta>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StreamFeatureViewSpec {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) project: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) entities: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) features: Vec<Feature>,
    #[prost(message, repeated, tag = "5")]
    pub(super) entity_columns: Vec<Feature>,
    #[prost(message, optional, tag = "9")]
    pub(super) ttl: Option<Duration>,
    #[prost(bool, tag = "12")]
    pub(super) online: bool,
    #[prost(bool, tag = "23")]
    pub(super) disabled: bool,
}

impl From<StreamFeatureView> for FeatureView {
    fn from(stream: StreamFeatureView) -> Self {
        Self {
            spec: stream.spec.map(Into::into),
            meta: stream.meta,
        }
    }
}

impl From<StreamFeatureViewSpec> for FeatureViewSpec {
    fn from(stream: StreamFeatureViewSpec) -> Self {
        let StreamFeatureViewSpec {
            name,
            project,
            entities,
            features,
            entity_columns,
            ttl,
            online,
            disabled,
        } = stream;
        Self {
            name,
            project,
            entities,
            features,
            ttl,
            online,
            entity_columns,
            disabled,
        }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ViewMeta {
    #[prost(int32, tag = "4")]
    pub(super) current_version_number: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Feature {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) value_type: i32,
    #[prost(btree_map = "string, string", tag = "3")]
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Duration {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// A view of which we need no more than its name: on demand, or of labels.
#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedView {
    #[prost(message, optional, tag = "1")]
    pub(super) spec: Option<NamedViewSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamedViewSpec {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) project: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProjectMetadata {
    #[prost(string, tag = "1")]
    pub(super) project: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Project {
    #[prost(message, optional, tag = "1")]
    pub(super) spec: Option<ProjectSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ProjectSpec {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionHistory {
    #[prost(message, repeated, tag = "1")]
    pub(super) records: Vec<VersionRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRecord {
    #[prost(string, tag = "1")]
    pub(super) feature_view_name: String,
    #[prost(string, tag = "2")]
    pub(super) project: String,
    #[prost(int32, tag = "3")]
    pub(super) version_number: i32,
    #[prost(string, tag = "4")]
    pub(super) feature_view_type: String,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) feature_view: Vec<u8>,
}
