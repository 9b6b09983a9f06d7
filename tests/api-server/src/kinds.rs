//! The built-in kinds that are served here, as custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::json;

use crate::{rename, schema};

/// A built-in kind. All of them are namespaced.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Its group, as clients know it; empty for the core group.
    pub group: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its name.
    pub kind: &'static str,
    /// Its name in paths.
    pub plural: &'static str,
    /// Which subresources it has.
    pub subresources: Subresources,
}

/// Which of the subresources that a custom resource can have a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subresources {
    /// None.
    None,
    /// `status`.
    Status,
    /// `status` and `scale`.
    StatusAndScale,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    subresources: Subresources,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        subresources,
    }
}

/// What a client of the proxy finds beside the kinds that a test installs.
pub const KINDS: [Kind; 19] = [
    kind("", "v1", "ConfigMap", "configmaps", Subresources::None),
    kind("", "v1", "Event", "events", Subresources::None),
    kind("", "v1", "Pod", "pods", Subresources::Status),
    kind("", "v1", "Secret", "secrets", Subresources::None),
    kind("", "v1", "Service", "services", Subresources::Status),
    kind("", "v1", "ServiceAccount", "serviceaccounts", Subresources::None),
    kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        Subresources::StatusAndScale,
    ),
    kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        Subresources::StatusAndScale,
    ),
    kind(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        Subresources::Status,
    ),
    kind("batch", "v1", "CronJob", "cronjobs", Subresources::Status),
    kind("batch", "v1", "Job", "jobs", Subresources::Status),
    kind("coordination.k8s.io", "v1", "Lease", "leases", Subresources::None),
    kind(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        Subresources::None,
    ),
    kind("events.k8s.io", "v1", "Event", "events", Subresources::None),
    kind(
        "networking.k8s.io",
        "v1",
        "Ingress",
        "ingresses",
        Subresources::Status,
    ),
    kind(
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        Subresources::None,
    ),
    kind(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        Subresources::Status,
    ),
    kind(
        "rbac.authorization.k8s.io",
        "v1",
        "Role",
        "roles",
        Subresources::None,
    ),
    kind(
        "rbac.authorization.k8s.io",
        "v1",
        "RoleBinding",
        "rolebindings",
        Subresources::None,
    ),
];

impl Kind {
    /// The definition under which the server serves this kind.
    pub fn definition(&self) -> CustomResourceDefinition {
        let group = rename::served_group(self.group);
        let subresources = match self.subresources {
            Subresources::None => json!({}),
            Subresources::Status => json!({"status": {}}),
            Subresources::StatusAndScale => json!({"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
            }}),
        };
        let definition = json!({
            "metadata": {
                "name": format!("{}.{group}", self.plural),
                // The server asks for it in groups under k8s.io.
                "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
            },
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": self.kind, "plural": self.plural, "singular": self.kind.to_lowercase()},
                "versions": [{
                    "name": self.version, "served": true, "storage": true, "subresources": subresources,
                    "schema": {"openAPIV3Schema": schema::of(self.kind)},
                }],
            },
        });
        serde_json::from_value(definition)
            .expect("the definition of a built-in kind has the shape of a definition")
    }
}
