//! Types, bounds and patterns of the schema, and fields that it doesn't know.

use std::collections::HashSet;

use regex::Regex;
use serde_json::{Map, Value};

use super::Violation;
use crate::text::FORMS;

/// Every place where a value violates the schema.
pub(super) fn violations(schema: &Value, value: &Value) -> Vec<Violation> {
    let mut check = Check {
        violations: Vec::new(),
    };
    check.value(schema, value, "");
    check.violations
}

struct Check {
    violations: Vec<Violation>,
}

impl Check {
    fn value(&mut self, schema: &Value, value: &Value, field: &str) {
        match (value, wanted(schema)) {
            (Value::Object(fields), "object") => self.object(schema, fields, field),
            (Value::Array(items), "array") => self.list(schema, items, field),
            (Value::String(text), "string" | "number or text") => self.text(schema, text, field),
            (Value::Number(number), "integer" | "number or text") if number.is_f64() => {
                self.add(field, format!("{number} is not a whole number"));
            }
            (Value::Number(number), "integer" | "number" | "number or text") => {
                self.number(schema, number.as_f64().unwrap_or(f64::NAN), field);
            }
            (Value::Bool(_), "boolean") | (_, "anything") => {}
            (_, wanted) => self.add(field, format!("is {}; give {}", described(value), advice(wanted))),
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, field: &str) {
        let at = |name: &str| match field {
            "" => name.to_owned(),
            field => format!("{field}.{name}"),
        };
        // An empty field counts as missing.
        let given = || fields.iter().filter(|(_, value)| !value.is_null());
        self.count(schema, "Properties", fields.len(), field);
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if given().all(|(given, _)| given != name) {
                self.add(&at(name), "is missing; it has no default");
            }
        }
        let is_free = schema["properties"].is_null()
            || schema["x-kubernetes-preserve-unknown-fields"] == Value::Bool(true);
        for (name, value) in given() {
            let known = [&schema["properties"][name], &schema["additionalProperties"]];
            match known.into_iter().find(|schema| schema.is_object()) {
                Some(schema) => self.value(schema, value, &at(name)),
                None if is_free => {}
                None => self.add(
                    &at(name),
                    "is not a field in this release; check for a typo, or remove it",
                ),
            }
        }
    }

    fn list(&mut self, schema: &Value, items: &[Value], field: &str) {
        self.count(schema, "Items", items.len(), field);
        let is_set = schema["x-kubernetes-list-type"] == "set";
        let mut seen = HashSet::new();
        for (place, item) in items.iter().enumerate() {
            let key = key_of(schema, item);
            let identity = key.or_else(|| item.as_str().filter(|_| is_set));
            if identity.is_some_and(|identity| !seen.insert(identity)) {
                let twice = identity.unwrap_or_default();
                self.add(
                    field,
                    format!("two entries are called {twice:?}; give each a different name"),
                );
            }
            self.value(&schema["items"], item, &item_field(field, key, place));
        }
    }

    fn text(&mut self, schema: &Value, text: &str, field: &str) {
        let length = text.chars().count() as f64;
        let (min, max) = (schema["minLength"].as_f64(), schema["maxLength"].as_f64());
        let words = schema["enum"].as_array();
        if length == 0.0 && min.is_some_and(|min| min > 0.0) {
            self.add(
                field,
                "is empty; write what it names, or remove the field if it is optional",
            );
        } else if let Some(max) = max.filter(|max| length > *max) {
            self.add(
                field,
                format!("has {length} characters; at most {max} are allowed"),
            );
        } else if let Some(pattern) = schema["pattern"].as_str()
            && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
        {
            let form = FORMS.iter().find(|form| form.pattern == pattern);
            let problem = form.map_or_else(
                || format!("does not match the pattern {pattern}"),
                |form| form.problem.to_owned(),
            );
            self.add(field, format!("{text:?} {problem}"));
        } else if let Some(words) = words.filter(|words| words.iter().all(|word| word != text)) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            self.add(field, format!("{text:?} is not one of {}", words.join(", ")));
        }
    }

    fn number(&mut self, schema: &Value, number: f64, field: &str) {
        let (min, max) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let range = match (min, max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("{min} or more"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => return,
        };
        if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
            self.add(field, format!("{number} is not {range}"));
        }
    }

    /// How many items or properties there may be.
    fn count(&mut self, schema: &Value, what: &str, length: usize, field: &str) {
        let bound = |bound: &str| schema[format!("{bound}{what}")].as_u64();
        let length = length as u64;
        let (min, max) = (bound("min").unwrap_or(0), bound("max").unwrap_or(u64::MAX));
        if !(min..=max).contains(&length) {
            self.add(field, format!("has {length} entries; give {min} to {max}"));
        }
    }

    fn add(&mut self, field: &str, problem: impl Into<String>) {
        self.violations.push(Violation {
            field: field.to_owned(),
            problem: problem.into(),
        });
    }
}

/// The type that a schema wants.
fn wanted(schema: &Value) -> &str {
    if schema["x-kubernetes-int-or-string"] == Value::Bool(true) {
        return "number or text";
    }
    schema["type"].as_str().unwrap_or("anything")
}

fn advice(wanted: &str) -> &str {
    match wanted {
        "object" => "a map",
        "array" => "a list",
        "string" => "text, in quotes where it looks like something else",
        "integer" => "a whole number",
        "boolean" => "true or false",
        other => other,
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The key that distinguishes items of a list, if the schema has one.
pub(super) fn key_of<'a>(schema: &Value, item: &'a Value) -> Option<&'a str> {
    let key = schema["x-kubernetes-list-map-keys"][0].as_str()?;
    item[key].as_str()
}

/// The path of an item of a list: by its key, or else by its place.
pub(super) fn item_field(list: &str, key: Option<&str>, place: usize) -> String {
    match key {
        Some(key) => format!("{list}[{key}]"),
        None => format!("{list}[{place}]"),
    }
}
