//! The reference of the API as a page made from the schema: every field with its type, its bounds and what it is for.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};

use crate::definitions;

const HEAD: &str = "\
<!-- Generated from the Rust types in crds/src by `make generate`; do not edit. -->
# The Kubernetes API

Three kinds, all of `apiVersion: gondola.dev/v1alpha1` and namespaced. A field in **bold** must be given.

";

/// The page, as Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for definition in definitions() {
        page += &chapter(&definition);
    }
    page
}

fn chapter(definition: &CustomResourceDefinition) -> String {
    let names = &definition.spec.names;
    let (kind, short) = (&names.kind, names.short_names.iter().flatten());
    let short: Vec<String> = short.map(|name| format!("`{name}`")).collect();
    let mut page = format!(
        "## {kind}\n\nShort name {}. The same texts come from `kubectl explain {}.spec`.\n\n",
        short.join(", "),
        kind.to_lowercase()
    );
    let definition = serde_json::to_value(definition).expect("a generated definition is always JSON");
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    for part in ["spec", "status"] {
        page += &format!("### {kind} {part}\n\n| field | type | what it is for |\n|---|---|---|\n");
        rows(&schema[part], part, &mut page);
        page += &rules(&schema[part]);
        page.push('\n');
    }
    page
}

fn rows(schema: &Value, path: &str, page: &mut String) {
    let (Some(fields), required) = (schema["properties"].as_object(), &schema["required"]) else {
        return;
    };
    for (name, field) in fields {
        let place = format!("{path}.{name}");
        let must = required
            .as_array()
            .is_some_and(|names| names.iter().any(|known| known == name));
        let shown = if must {
            format!("**`{place}`**")
        } else {
            format!("`{place}`")
        };
        let text = field["description"]
            .as_str()
            .unwrap_or_default()
            .replace(['\n', '|'], " ");
        *page += &format!("| {shown} | {} | {} |\n", kind(field), text.trim());
        // Kubernetes' own types have their own reference.
        if !is_foreign(&place) {
            rows(field, &place, page);
            rows(&field["items"], &format!("{place}[]"), page);
        }
    }
}

fn is_foreign(place: &str) -> bool {
    let own = ["affinity", "tolerations", "env", "resources", "conditions"];
    own.iter().any(|field| place.ends_with(&format!(".{field}")))
}

fn kind(field: &Value) -> String {
    let mut kind = match field["type"].as_str() {
        Some("array") => format!("list of {}", field["items"]["type"].as_str().unwrap_or("objects")),
        Some(kind) => kind.to_owned(),
        None => "quantity or number".to_owned(),
    };
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap_or("null")))
            .collect();
        kind = words.join(" or ");
    }
    let bounds = bounds(field.as_object());
    if bounds.is_empty() {
        kind
    } else {
        format!("{kind}, {bounds}")
    }
}

fn bounds(field: Option<&Map<String, Value>>) -> String {
    let number = |name: &str| field?.get(name)?.as_f64();
    let range = |least: &str, most: &str, unit: &str| match (number(least), number(most)) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}{unit}")),
        (None, Some(most)) => Some(format!("at most {most}{unit}")),
        (Some(least), None) => Some(format!("at least {least}{unit}")),
        (None, None) => None,
    };
    let all = [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " items"),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn rules(schema: &Value) -> String {
    let Some(rules) = schema["x-kubernetes-validations"].as_array() else {
        return String::new();
    };
    let lines = rules
        .iter()
        .filter_map(|rule| Some(format!("- {}\n", rule["message"].as_str()?)));
    format!(
        "\nThe API server rejects a violation with one of these messages:\n\n{}",
        lines.collect::<String>()
    )
}
