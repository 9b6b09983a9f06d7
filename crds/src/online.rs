//! The online store: where users and items are kept that are put at run time, and what users do.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::SecretRef;

/// Where users and items are kept that are put at run time, and what users do: every pod has them, and they outlive all pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Online {
    /// A Redis or Valkey.
    pub redis: Redis,
    /// Feature views of Feast in that Redis. Default: the pipeline's own layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feast: Option<Feast>,
    /// Milliseconds that a request waits for what the store holds of its user, before it falls back to the bundle's snapshot; default: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub deadline_milliseconds: Option<i32>,
}

/// A Redis or Valkey.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.sentinelMaster) == (has(self.type) && self.type == 'Sentinel')").message("sentinelMaster goes with type: Sentinel, and with no other; set both or neither"))]
pub struct Redis {
    /// A Secret in the pipeline's namespace whose key `connection_string` is written as in Feast, for example
    /// `redis.shop.svc:6379,password=...,ssl=true,db=0`. It is read again for each connection, so that the password may change.
    pub secret_ref: SecretRef,
    /// What answers at the servers of the connection string; default: `Standalone`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RedisKind>,
    /// The name that sentinels know the primary by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub sentinel_master: Option<String>,
    /// Seconds after which an entity of Feast expires that nobody writes; set it as Feast has it. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub key_ttl_seconds: Option<i64>,
}

/// What answers at the servers of a connection string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RedisKind {
    /// One server.
    #[default]
    Standalone,
    /// Some servers of a cluster.
    Cluster,
    /// Sentinels, which know the primary.
    Sentinel,
}

/// Feature views of Feast: the rows of users, of items or of both are there; everything else is kept in the pipeline's own layout.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.users) || has(self.items)").message("feast names no views; name those of users, of items, or of both"))]
pub struct Feast {
    /// URL of Feast's registry file, for example `s3://features/registry.db`; read with the credentials of `artifacts`.
    #[schemars(length(min = 1, max = 1024))]
    pub registry: String,
    /// Feast's project.
    #[schemars(length(min = 1, max = 253))]
    pub project: String,
    /// Version of the serialization of entity keys, as `entity_key_serialization_version` of Feast has it; default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 3))]
    pub entity_key_version: Option<i32>,
    /// The views of users. Default: users are kept in the pipeline's own layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<FeastViews>,
    /// The views of items. Default: items are kept in the pipeline's own layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<FeastViews>,
    /// Seconds after which a pod looks again whether Feast wrote items, of which it tells nobody; default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub refresh_seconds: Option<i32>,
}

/// Feature views of one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeastViews {
    /// Their names. All have one join key, which is the user's or the item's id.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 253)))]
    pub views: Vec<String>,
}
