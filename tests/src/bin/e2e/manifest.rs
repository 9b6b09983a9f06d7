//! The example's manifest, as small as a test machine is.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

/// The pipeline's name in the example.
pub(crate) const NAME: &str = "complete-journey";
/// The Secret with the store's credentials.
pub(crate) const SECRET: &str = "store-credentials";

/// The example with another store, and asking for less: six pods of it share two cores.
pub(crate) fn read(file: &Path, endpoint: &str) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut manifest: Value =
        serde_saphyr::from_str(&text).with_context(|| format!("cannot use {}", file.display()))?;
    let spec = &mut manifest["spec"];
    spec["artifacts"] = json!({
        "url": crate::store::URL, "endpoint": endpoint, "pollInterval": "5s", "credentials": {"secretRef": {"name": SECRET}},
    });
    // What is promised of the default deadline has steps of its own; elsewhere a busy test machine is not a fault.
    spec["router"]["deadlineMilliseconds"] = 2000.into();
    let variants = spec["variants"].as_array_mut().context("it has no variants")?;
    for variant in variants {
        variant["resources"] = small();
    }
    Ok(manifest)
}

/// What a variant asks for here.
pub(crate) fn small() -> Value {
    json!({"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}})
}

/// A variant of a manifest.
pub(crate) fn variant<'a>(manifest: &'a mut Value, name: &str) -> anyhow::Result<&'a mut Value> {
    let variants = manifest["spec"]["variants"].as_array_mut();
    let mut variants = variants.into_iter().flatten();
    variants
        .find(|variant| variant["name"] == name)
        .with_context(|| format!("the example has no variant {name}"))
}

/// A manifest with other variants: names, scorers and weights. The first is the control.
pub(crate) fn with_variants(manifest: &Value, variants: &[(&str, &str, u32)]) -> Value {
    let variant = |(name, scorer, weight): &(&str, &str, u32)| json!({"name": name, "scorer": format!("{scorer}@stable"), "weight": weight, "replicas": 2, "resources": small()});
    let mut manifest = manifest.clone();
    manifest["spec"]["variants"] = variants.iter().map(variant).collect();
    manifest["spec"]["control"] = variants[0].0.into();
    manifest
}

/// Removes a field of the spec, wherever it is.
pub(crate) fn remove(parent: &mut Value, field: &str) {
    if let Some(parent) = parent.as_object_mut() {
        parent.remove(field);
    }
}

/// The credentials that the S3-compatible server takes: any.
pub(crate) fn secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET},
        "stringData": {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"},
    })
}
