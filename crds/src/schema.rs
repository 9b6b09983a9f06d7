//! Parts of the schema that say more than the Rust types do, and what is taken out of it.

use kube::CustomResourceExt as _;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::RecommenderPipeline;

/// A quantity as Kubernetes reads it: `500m`, `1Gi`, `2e3`.
const QUANTITY: &str = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

/// Kinds of Kubernetes that the schema holds whole. Their own reference describes them; here their texts would be a third of the
/// definition's size, of which an annotation of `kubectl apply` holds 256 KiB.
const FOREIGN: [&str; 4] = ["affinity", "tolerations", "egress", "from"];

/// Requests and limits by resource. Claims are left out, since pods of a pipeline have none to name.
pub(crate) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true,
            "pattern": QUANTITY,
        },
    });
    let described = |text: &str| {
        let mut schema = quantities.clone();
        schema.insert("description".to_owned(), text.into());
        schema
    };
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": described("What a pod asks for, by resource: `cpu`, `memory` and others, as quantities such as `500m` or `2Gi`."),
            "limits": described("What a pod may use at most, by resource; extended resources such as `nvidia.com/gpu` stand here."),
        },
    })
}

/// A number of pods, or a share of them such as `25%`.
pub(crate) fn count_or_percentage(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": true,
        "nullable": true,
        "pattern": r"^([0-9]{1,4}|[0-9]{1,2}%|100%)$",
        "maxLength": 4,
        "minimum": 0,
        "maximum": 1000,
    })
}

/// The custom resource definition, as it is installed.
pub fn definition() -> CustomResourceDefinition {
    let generated =
        serde_json::to_value(RecommenderPipeline::crd()).expect("a definition can be written as JSON");
    let mut definition = generated;
    strip_foreign_texts(&mut definition);
    serde_json::from_value(definition).expect("texts alone were taken out of it")
}

/// Takes the descriptions out of what Kubernetes itself describes.
fn strip_foreign_texts(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        if let Some(items) = schema.as_array_mut() {
            items.iter_mut().for_each(strip_foreign_texts);
        }
        return;
    };
    for (name, value) in fields {
        if FOREIGN.contains(&name.as_str()) && value.is_object() {
            let own = value.get("description").cloned();
            strip_texts(value);
            if let Some(own) = own {
                value["description"] = own;
            }
        } else {
            strip_foreign_texts(value);
        }
    }
}

fn strip_texts(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "description" || !value.is_string());
            fields.values_mut().for_each(strip_texts);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_texts),
        _ => {}
    }
}
