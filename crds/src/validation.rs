//! Checks manifests as the API server would, for programs that have no API server.
//!
//! The rules are those of the generated schema: its types, bounds and patterns (`structure`), and then its CEL expressions. None of
//! them is written a second time here.

mod structure;

use std::fmt;
use std::sync::LazyLock;

use kube::core::cel::{CompiledSchema, Validator, compile_schema};
use serde_json::{Value, json};

use crate::RecommenderPipeline;
use structure::{item_field, key_of};

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not YAML, or not of a pipeline's form.
    #[error("the manifest is not a valid RecommenderPipeline")]
    Yaml(#[source] Box<serde_saphyr::Error>),
    /// It is something else.
    #[error(
        "the manifest is a {found}; it must have apiVersion gondola.dev/v1alpha1 and kind RecommenderPipeline"
    )]
    Kind {
        /// Its kind and API version.
        found: String,
    },
    /// It breaks rules.
    #[error("the pipeline breaks {} rules: {}", .0.len(), Joined(.0))]
    Rules(Vec<Violation>),
}

/// A rule that a spec breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which field, as a path.
    pub field: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

struct Joined<'a>(&'a [Violation]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            write!(f, "{}{violation}", if position == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Reads one manifest that a person wrote, and checks it against every rule: a field that nobody knows is an error.
pub fn from_yaml(yaml: &str) -> Result<RecommenderPipeline, ManifestError> {
    let wrap = |error| ManifestError::Yaml(Box::new(error));
    let manifest: Value = serde_saphyr::from_str(yaml).map_err(wrap)?;
    let text = |field: &str| manifest[field].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    if (version, kind) != ("gondola.dev/v1alpha1", "RecommenderPipeline") {
        return Err(ManifestError::Kind {
            found: format!("{kind:?} of {version:?}"),
        });
    }
    match violations(&manifest) {
        violations if violations.is_empty() => serde_saphyr::from_str(yaml).map_err(wrap),
        violations => Err(ManifestError::Rules(violations)),
    }
}

/// The schema of the definition, and its expressions, ready to be evaluated.
static SCHEMA: LazyLock<(Value, CompiledSchema)> = LazyLock::new(|| {
    let definition = serde_json::to_value(crate::definition()).expect("a definition can be written as JSON");
    let mut schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
    let compiled = compile_schema(&schema);
    // What every object has, so that no definition says it.
    schema["required"] = json!(["metadata", "spec"]);
    schema["properties"]["apiVersion"] = json!({"type": "string"});
    schema["properties"]["kind"] = json!({"type": "string"});
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}},
        "x-kubernetes-preserve-unknown-fields": true,
    });
    (schema, compiled)
});

/// Every rule that a manifest breaks. As on the API server, expressions are evaluated only when types and bounds are valid.
fn violations(manifest: &Value) -> Vec<Violation> {
    let (schema, expressions) = &*SCHEMA;
    let violations = structure::violations(schema, manifest);
    if !violations.is_empty() {
        return violations;
    }
    let broken = Validator::new().validate_compiled(expressions, manifest, None);
    let broken = broken.err().map_or_else(Vec::new, |errors| errors.into_vec());
    let violation = |error: kube::core::cel::ValidationError| Violation {
        field: named(&error.field_path, schema, manifest),
        problem: error.message,
    };
    broken.into_iter().map(violation).collect()
}

/// A path with places in lists, such as `spec.variants[1].pods`, by the keys of their items: `spec.variants[forest].pods`.
fn named(path: &str, schema: &Value, manifest: &Value) -> String {
    let (mut schema, mut value) = (schema, manifest);
    let mut field = String::new();
    for step in path.split_inclusive(['.', '[', ']']) {
        let (name, end) = step.split_at(step.len() - usize::from(step.ends_with(['.', '[', ']'])));
        if end == "]" {
            let place = name.parse().unwrap_or(0);
            field = item_field(&field, key_of(schema, &value[place]), place);
            (schema, value) = (&schema["items"], &value[place]);
        } else if !name.is_empty() {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(name);
            (schema, value) = (&schema["properties"][name], &value[name]);
        }
    }
    field
}

#[cfg(test)]
mod tests;
