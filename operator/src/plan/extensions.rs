//! Objects of APIs that a cluster may not have: an HTTPRoute of the Gateway API, and a PodMonitor of the Prometheus
//! operator. Their types are not in the Kubernetes API, so that they are written as JSON.

use gondola_crds::RecommenderPipeline;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::names::{Component, Names, PIPELINE};
use super::pod::{PORT, PORT_NAME};

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

    /// What a pipeline wants of it.
    pub fn wanted(self, pipeline: &RecommenderPipeline) -> Option<DynamicObject> {
        let spec = match self {
            Self::HttpRoute => http_route(pipeline),
            Self::PodMonitor => pod_monitor(pipeline),
        }?;
        let names = Names::of(pipeline);
        let mut object = DynamicObject::new(&names.pipeline(), &self.resource());
        object.metadata = names.metadata(names.pipeline());
        object.data = json!({ "spec": spec });
        Some(object)
    }
}

fn http_route(pipeline: &RecommenderPipeline) -> Option<Value> {
    let gateway = pipeline.spec.gateway.as_ref()?;
    let mut spec = json!({
        "parentRefs": [{"name": gateway.name}],
        "rules": [{"backendRefs": [{"name": Names::of(pipeline).pipeline(), "port": PORT}]}],
    });
    if !gateway.hostnames.is_empty() {
        spec["hostnames"] = json!(gateway.hostnames);
    }
    Some(spec)
}

fn pod_monitor(pipeline: &RecommenderPipeline) -> Option<Value> {
    let monitoring = pipeline.spec.monitoring.as_ref()?;
    let names = Names::of(pipeline);
    let mut endpoint = json!({"port": PORT_NAME, "path": "/metrics"});
    if let Some(interval) = &monitoring.interval {
        endpoint["interval"] = json!(interval);
    }
    let selector = names.selector(Component::Router);
    Some(json!({
        "selector": {"matchLabels": {PIPELINE: selector[PIPELINE]}},
        "podTargetLabels": [super::names::VARIANT, "app.kubernetes.io/component"],
        "podMetricsEndpoints": [endpoint],
    }))
}
