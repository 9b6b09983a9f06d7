//! Parts of the schema that say more than the Rust types do.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A quantity as Kubernetes reads it: `500m`, `1Gi`, `2e3`.
const QUANTITY: &str = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

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
            "requests": described("What a pod requests, by resource: `cpu`, `memory` and others, as quantities such as `500m` or `2Gi`."),
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
