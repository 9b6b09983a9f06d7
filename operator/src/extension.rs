//! APIs that a cluster may not have: the Gateway API and the Prometheus operator's.

use gondola_crds::RecommenderPipelineSpec;
use kube::core::{ApiResource, GroupVersionKind};

/// An API that a cluster may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// `HTTPRoute` of `gateway.networking.k8s.io/v1`.
    HttpRoute,
    /// `PodMonitor` of `monitoring.coreos.com/v1`.
    PodMonitor,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::HttpRoute, Self::PodMonitor];

    /// Group, version and kind.
    pub fn resource(self) -> ApiResource {
        match self {
            Self::HttpRoute => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute"),
                "httproutes",
            ),
            Self::PodMonitor => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor"),
                "podmonitors",
            ),
        }
    }

    /// Whether a spec wants something of it.
    pub fn is_wanted(self, spec: &RecommenderPipelineSpec) -> bool {
        match self {
            Self::HttpRoute => spec.gateway.is_some(),
            Self::PodMonitor => spec.monitoring.is_some(),
        }
    }
}
