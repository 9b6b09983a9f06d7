//! Settings that stores of bundles, of events and of lists have in common.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::ENDPOINT;

/// Where pods write.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || !has(self.credentials)").message("credentials and volumeClaim are both set; keep the one that the store needs"))]
#[x_kube(validation = Rule::new("!has(self.volumeClaim) || self.url.startsWith('file://')").message("volumeClaim is set, but url is not a file:// URL, so the volume would not be used; remove volumeClaim or change url"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || !self.url.startsWith('file://')").message("endpoint is set, but url is a file:// URL, which needs none; remove endpoint or change url"))]
pub struct Place {
    /// URL of the folder, for example `s3://shop/grocery`.
    #[schemars(length(min = 1, max = 1024))]
    pub url: String,
    /// Endpoint of an S3-compatible store. Default: the one that the URL's scheme implies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = ENDPOINT), length(max = 1024))]
    pub endpoint: Option<String>,
    /// A claim for the volume that holds the folder. The path of the `file://` URL is the folder inside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaim>,
    /// Credentials for the store. Default: the identity of the pods' service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}

/// A claim for a volume that holds a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaim {
    /// The claim's name, in the pipeline's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Credentials of the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// A Secret in the pipeline's namespace, mounted in the pipeline's own pods.
    pub secret_ref: SecretRef,
}

/// Names a Secret in the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
