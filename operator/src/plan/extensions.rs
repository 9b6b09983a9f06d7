//! Objects of APIs that a cluster may not have: an HTTPRoute of the Gateway API, and a PodMonitor of the Prometheus
//! operator. Their types are not in the Kubernetes API, so that they are written as JSON.

use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::ParentRef;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::names::{COMPONENT, Component, Names, PIPELINE};
use super::pod::{ADMIN_PORT_NAME, PORT};

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

    /// Whether a pipeline wants something of it.
    pub fn is_wanted(self, pipeline: &RecommenderPipeline) -> bool {
        match self {
            Self::HttpRoute => pipeline.spec.gateway.is_some(),
            Self::PodMonitor => pipeline.spec.monitoring.is_some(),
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
        if let (Self::PodMonitor, Some(monitoring)) = (self, &pipeline.spec.monitoring) {
            let mut labels = monitoring.labels.clone();
            labels.extend(object.metadata.labels.take().unwrap_or_default());
            object.metadata.labels = Some(labels);
        }
        object.data = json!({ "spec": spec });
        Some(object)
    }
}

/// What a Gateway exposes: the two questions, over HTTP and gRPC. Changes, outcomes, metrics and health are on another port, to which no
/// route leads.
const EXPOSED: [(&str, &str); 4] = [
    ("GET", "/v1/recommend"),
    ("GET", "/v1/similar"),
    ("POST", "/gondola.v1.Recommender/Recommend"),
    ("POST", "/gondola.v1.Recommender/Similar"),
];

fn http_route(pipeline: &RecommenderPipeline) -> Option<Value> {
    let gateway = pipeline.spec.gateway.as_ref()?;
    let parents: Vec<Value> = gateway.parent_refs.iter().map(parent).collect();
    let exposed =
        EXPOSED.map(|(method, path)| json!({"method": method, "path": {"type": "Exact", "value": path}}));
    let mut spec = json!({
        "parentRefs": parents,
        "rules": [{
            "matches": exposed,
            "backendRefs": [{"name": Names::of(pipeline).pipeline(), "port": PORT}],
        }],
    });
    if !gateway.hostnames.is_empty() {
        spec["hostnames"] = json!(gateway.hostnames);
    }
    Some(spec)
}

/// What the spec leaves out is left to the API's defaults.
fn parent(parent: &ParentRef) -> Value {
    serde_json::to_value(parent).unwrap_or_default()
}

fn pod_monitor(pipeline: &RecommenderPipeline) -> Option<Value> {
    let monitoring = pipeline.spec.monitoring.as_ref()?;
    let names = Names::of(pipeline);
    let mut endpoint = json!({"port": ADMIN_PORT_NAME, "path": "/metrics"});
    if let Some(interval) = &monitoring.interval {
        endpoint["interval"] = json!(interval);
    }
    let selector = names.selector(Component::Router);
    Some(json!({
        "selector": {
            "matchLabels": {PIPELINE: selector[PIPELINE]},
            // Resolver and analyzer have none.
            "matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["router", "variant"]}],
        },
        "podTargetLabels": [super::names::VARIANT, COMPONENT],
        "podMetricsEndpoints": [endpoint],
    }))
}
