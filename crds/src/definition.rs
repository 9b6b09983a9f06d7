//! The custom resource definitions: the generated schema without what Kubernetes itself describes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::job::RecommendationJob;
use crate::spec::RecommenderPipeline;
use crate::training::RecommenderTraining;

/// Kinds of Kubernetes that the schema holds whole. Their own reference describes them; here their texts would be a third of the
/// definition's size, of which an annotation of `kubectl apply` holds 256 KiB.
const FOREIGN: [&str; 4] = ["affinity", "tolerations", "egress", "from"];

/// The definition of pipelines, as it is installed.
pub fn definition() -> CustomResourceDefinition {
    definition_of::<RecommenderPipeline>()
}

/// The definitions of all kinds, as they are installed.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [
        definition(),
        definition_of::<RecommendationJob>(),
        definition_of::<RecommenderTraining>(),
    ]
}

fn definition_of<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut definition = serde_json::to_value(K::crd()).expect("a definition can be written as JSON");
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
