//! Whether clients outside the cluster reach a pipeline, and Prometheus its metrics, according to objects of other APIs.

use kube::api::DynamicObject;
use serde_json::Value;

use crate::extension::Extension;
use crate::finding::Finding;
use crate::observed::Observed;
use crate::pipeline::Pipeline;
use crate::reasons;

/// A condition for each API that the spec wants something of.
pub(super) fn findings(pipeline: &Pipeline, observed: &Observed) -> Vec<(&'static str, Finding)> {
    let wanted = Extension::ALL
        .into_iter()
        .filter(|extension| extension.is_wanted(&pipeline.spec));
    let found = wanted.map(|extension| match extension {
        Extension::HttpRoute => ("Exposed", exposed(pipeline, observed)),
        Extension::PodMonitor => ("Monitored", monitored(observed)),
    });
    found.collect()
}

fn exposed(pipeline: &Pipeline, observed: &Observed) -> Finding {
    let Some(routes) = observed.extensions.get(&Extension::HttpRoute) else {
        let message = "spec.gateway is set, but this cluster has no HTTPRoute of gateway.networking.k8s.io/v1; install the Gateway API";
        return Finding::unmet(reasons::API_MISSING, message);
    };
    let pending = || Finding::pending(reasons::ROUTE_PENDING, "no Gateway has reported on the route yet");
    let Some(route) = routes.get(pipeline.names.pipeline()) else {
        return pending();
    };
    let said = parents(route);
    let refused = said.iter().find(|said| said.status == "False");
    match (refused, said.first()) {
        (Some(refused), _) => Finding::unmet(
            reasons::ROUTE_REFUSED,
            format!(
                "Gateway {} says {}={}: {}: {}",
                refused.parent, refused.kind, refused.status, refused.reason, refused.message
            ),
        ),
        (None, Some(_)) => Finding::met(reasons::ACCEPTED, "the Gateways accept the route"),
        (None, None) => pending(),
    }
}

fn monitored(observed: &Observed) -> Finding {
    match observed.extensions.get(&Extension::PodMonitor) {
        Some(_) => Finding::met(
            reasons::MONITORED,
            "Prometheus finds the pods through a PodMonitor",
        ),
        None => Finding::unmet(
            reasons::API_MISSING,
            "spec.monitoring is set, but this cluster has no PodMonitor of monitoring.coreos.com/v1; install the Prometheus operator",
        ),
    }
}

/// A Gateway's report on the route.
struct GatewayReport {
    parent: String,
    kind: String,
    status: String,
    reason: String,
    message: String,
}

/// What every Gateway reports on a route: whether it accepts the route, and whether it resolves its references.
fn parents(route: &DynamicObject) -> Vec<GatewayReport> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let parents = route.data["status"]["parents"].as_array().into_iter().flatten();
    let said = parents.flat_map(|parent| {
        let name = text(&parent["parentRef"]["name"]);
        let conditions = parent["conditions"].as_array().into_iter().flatten();
        let relevant = conditions.filter(|condition| {
            ["Accepted", "ResolvedRefs"]
                .iter()
                .any(|kind| condition["type"] == *kind)
        });
        relevant.map(move |condition| GatewayReport {
            parent: name.clone(),
            kind: text(&condition["type"]),
            status: text(&condition["status"]),
            reason: text(&condition["reason"]),
            message: text(&condition["message"]),
        })
    });
    said.collect()
}
