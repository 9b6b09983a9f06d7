//! Who may send requests to a pipeline's routers, and how connections are secured.

#![expect(
    unreachable_pub,
    reason = "KubeSchema derives a private copy of a struct, at the place of the public one"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::SecretRef;

/// Who may send requests to the routers. Without any of it, whoever reaches a port may do everything that the port serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// TLS on both ports of the routers, with a Secret of type `kubernetes.io/tls`. A renewed certificate is used for new connections. A
    /// Gateway needs a BackendTLSPolicy then. Default: plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SecretSource>,
    /// API keys: a Secret with an entry for each client, whose name is the client's and whose lines are `sha256:DIGEST` and some of
    /// `read`, `write` and `outcomes`. A changed Secret is used at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<SecretSource>,
    /// JSON Web Tokens. With `apiKeys`, clients may use either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
    /// How much each client may send to the main port. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClientLimits>,
    /// Pages that may ask the main port from a browser. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Lets whoever has the key `arm-key` of a Secret, of at least 16 bytes, choose arms of the experiment on the main port. Default: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced_arms: Option<SecretSource>,
}

/// A Secret that pods mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// A Secret in the pipeline's namespace.
    pub secret_ref: SecretRef,
}

/// Tokens that are accepted: signed with RS256, ES256 or EdDSA by a key of the issuer, for the audience, and not expired. The claim
/// `scope` holds some of `gondola:read`, `gondola:write` and `gondola:outcomes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// What the claim `iss` must be.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: String,
    /// What the claim `aud` must be, or contain.
    #[schemars(length(min = 1, max = 512))]
    pub audience: String,
    /// The issuer's public keys.
    pub keys: IssuerKeys,
}

/// Where a JSON Web Key Set is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.url) != has(self.configMapRef)").message("keys come from one place; set either url or configMapRef"))]
pub struct IssuerKeys {
    /// An `https` URL, which routers ask every five minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^https://[^@/?#]+(/.*)?$"), length(max = 1024))]
    pub url: Option<String>,
    /// A ConfigMap in the pipeline's namespace, with the key `jwks.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapRef>,
}

/// Names a ConfigMap in the pipeline's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How much one client may send to each router: an API key's name, else a token's subject, else an address.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.burst) || has(self.requestsPerSecond)").message("burst is set without requestsPerSecond, which it exceeds for a moment; set both or none"))]
pub struct ClientLimits {
    /// Requests per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<i32>,
    /// How many of them may come at once after a pause; default: as many as in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<i32>,
    /// How many requests may be answered at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<i32>,
}

/// Pages that may ask from a browser.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cors {
    /// Their origins, for example `https://shop.example`, or `*` for all.
    #[schemars(
        length(min = 1, max = 32),
        inner(
            length(min = 1, max = 256),
            regex(pattern = r"^(\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?)$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub origins: Vec<String>,
}
