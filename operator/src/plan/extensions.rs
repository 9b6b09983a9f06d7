//! Objects of APIs that a cluster may not have: an HTTPRoute of the Gateway API, and a PodMonitor of the Prometheus
//! operator. Their types are not in the Kubernetes API, so that they are written as JSON.

use gondola_crds::spec::ParentRef;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::access;
use super::pod::{ADMIN_PORT_NAME, PORT};
use crate::extension::Extension;
use crate::names::{COMPONENT, Component, PIPELINE, VARIANT};
use crate::pipeline::Pipeline;

/// What a pipeline wants of it.
pub fn wanted(extension: Extension, pipeline: &Pipeline) -> Option<DynamicObject> {
    let spec = match extension {
        Extension::HttpRoute => http_route(pipeline),
        Extension::PodMonitor => pod_monitor(pipeline),
    }?;
    let names = &pipeline.names;
    let mut object = DynamicObject::new(names.pipeline(), &extension.resource());
    object.metadata = names.metadata(names.pipeline().to_owned());
    if let (Extension::PodMonitor, Some(monitoring)) = (extension, &pipeline.spec.monitoring) {
        let mut labels = monitoring.labels.clone();
        labels.extend(object.metadata.labels.take().unwrap_or_default());
        object.metadata.labels = Some(labels);
    }
    object.data = json!({ "spec": spec });
    Some(object)
}

/// What a Gateway exposes: the two questions, over HTTP and gRPC. Changes, outcomes, metrics and health are on another port, to which no
/// route leads.
const EXPOSED: [(&str, &str); 4] = [
    ("GET", "/v1/recommend"),
    ("GET", "/v1/similar"),
    ("POST", "/gondola.v1.Recommender/Recommend"),
    ("POST", "/gondola.v1.Recommender/Similar"),
];

fn http_route(pipeline: &Pipeline) -> Option<Value> {
    let gateway = pipeline.spec.gateway.as_ref()?;
    let parents: Vec<Value> = gateway.parent_refs.iter().map(parent).collect();
    // Browsers ask whether a page may ask.
    let preflights = EXPOSED
        .into_iter()
        .filter(|(method, _)| access::lets_pages_in(pipeline) && *method == "GET")
        .map(|(_, path)| ("OPTIONS", path));
    let exposed: Vec<Value> = EXPOSED
        .into_iter()
        .chain(preflights)
        .map(|(method, path)| json!({"method": method, "path": {"type": "Exact", "value": path}}))
        .collect();
    let mut spec = json!({
        "parentRefs": parents,
        "rules": [{
            "matches": exposed,
            "backendRefs": [{"name": pipeline.names.pipeline(), "port": PORT}],
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

fn pod_monitor(pipeline: &Pipeline) -> Option<Value> {
    let monitoring = pipeline.spec.monitoring.as_ref()?;
    let names = &pipeline.names;
    let endpoint = |over_tls: bool, components: Option<&str>| {
        let mut endpoint = json!({"port": ADMIN_PORT_NAME, "path": "/metrics"});
        if let Some(interval) = &monitoring.interval {
            endpoint["interval"] = json!(interval);
        }
        if over_tls {
            endpoint["scheme"] = json!("https");
            // Pods are scraped by their addresses, which certificates don't have.
            endpoint["tlsConfig"] = json!({"insecureSkipVerify": true});
        }
        if let Some(component) = components {
            let label = format!(
                "__meta_kubernetes_pod_label_{}",
                COMPONENT.replace(['.', '/', '-'], "_")
            );
            endpoint["relabelings"] =
                json!([{"action": "keep", "sourceLabels": [label], "regex": component}]);
        }
        endpoint
    };
    let endpoints = match (
        access::routers_have_tls(pipeline),
        access::variants_have_tls(pipeline),
    ) {
        (routers, variants) if routers == variants => vec![endpoint(routers, None)],
        (routers, variants) => vec![
            endpoint(routers, Some("router")),
            endpoint(variants, Some("variant")),
        ],
    };
    let selector = names.selector(Component::Router);
    Some(json!({
        "selector": {
            "matchLabels": {PIPELINE: selector[PIPELINE]},
            // Resolver and analyzer have none.
            "matchExpressions": [{"key": COMPONENT, "operator": "In", "values": ["router", "variant"]}],
        },
        "podTargetLabels": [VARIANT, COMPONENT],
        "podMetricsEndpoints": endpoints,
    }))
}
