//! The schemas of the built-in kinds: open, but for the lists whose items have keys.
//!
//! Server-side apply merges such a list item by item, so that a container or a variable that somebody else added stays
//! when the operator applies its own. Which lists these are, and by which keys, is what Kubernetes' API reference says
//! ("Map: unique values on key ..."). What is not named here is kept as it comes; a list then belongs to whoever
//! applied it, whole.

use serde_json::{Map, Value, json};

/// The schema of a kind.
pub(crate) fn of(kind: &str) -> Value {
    match kind {
        "Deployment" | "ReplicaSet" => workload(),
        "Pod" => open([("spec", pod_spec()), ("status", conditions())]),
        "Service" => service(),
        "ServiceAccount" => open([("secrets", keyed(["name"], []))]),
        "HorizontalPodAutoscaler" | "Ingress" | "PodDisruptionBudget" => open([("status", conditions())]),
        _ => open([]),
    }
}

fn workload() -> Value {
    let template = open([("spec", pod_spec())]);
    open([("spec", open([("template", template)])), ("status", conditions())])
}

fn service() -> Value {
    open([
        ("spec", open([("ports", ports("port"))])),
        ("status", conditions()),
    ])
}

fn pod_spec() -> Value {
    open([
        ("containers", keyed(["name"], container())),
        ("initContainers", keyed(["name"], container())),
        ("volumes", keyed(["name"], [])),
        ("imagePullSecrets", keyed(["name"], [])),
        ("hostAliases", keyed(["ip"], [])),
        (
            "topologySpreadConstraints",
            keyed(["topologyKey", "whenUnsatisfiable"], []),
        ),
    ])
}

fn container() -> [(&'static str, Value); 4] {
    [
        ("env", keyed(["name"], [])),
        ("ports", ports("containerPort")),
        ("volumeMounts", keyed(["mountPath"], [])),
        ("volumeDevices", keyed(["devicePath"], [])),
    ]
}

/// The protocol is a key too, and defaulted.
fn ports(number: &'static str) -> Value {
    let mut ports = keyed([number, "protocol"], []);
    ports["items"]["properties"][number] = json!({"type": "integer"});
    ports["items"]["properties"]["protocol"] = json!({"type": "string", "default": "TCP"});
    ports["items"]["required"] = json!([number]);
    ports
}

fn conditions() -> Value {
    open([("conditions", keyed(["type"], []))])
}

/// An object with these fields and any other.
fn open<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let fields: Map<String, Value> = fields
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect();
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": fields})
}

/// A list of objects with these keys, which are texts, and fields.
fn keyed<const K: usize, const N: usize>(keys: [&str; K], fields: [(&str, Value); N]) -> Value {
    let mut item = open(fields);
    for key in keys {
        item["properties"][key] = json!({"type": "string"});
    }
    item["required"] = json!(keys.as_slice());
    json!({
        "type": "array", "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys.as_slice(),
    })
}
