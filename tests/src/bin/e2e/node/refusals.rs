//! What keeps pods from being made at all: no pod says why, only the Deployment does.

use std::time::Instant;

use serde_json::json;

use super::Shop;
use crate::kubectl::{NAMED_WITHIN, apply, get, kubectl, variant_says};

pub(super) async fn quota(shop: &mut Shop) -> anyhow::Result<String> {
    let pods = get(&["pods"]).await?;
    let used = pods["items"].as_array().map_or(0, Vec::len);
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": used.to_string()}},
    });
    apply(&quota).await?;
    let seen = refused(shop, json!({"labels": {"team": "groceries"}}), "exceeded quota").await;
    kubectl(&["delete", "resourcequota", "full"]).await?;
    seen
}

pub(super) async fn priority_class(shop: &mut Shop) -> anyhow::Result<String> {
    refused(
        shop,
        json!({"priorityClassName": "does-not-exist"}),
        "does-not-exist",
    )
    .await
}

/// Asks for pods that are not admitted, and waits until the status says why.
async fn refused(shop: &Shop, pods: serde_json::Value, wanted: &str) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest["spec"]["pods"] = pods;
    apply(&manifest).await?;
    let applied = Instant::now();
    let message = variant_says("forest", &[wanted], NAMED_WITHIN).await?;
    Ok(format!("named after {:.1?}: {message}", applied.elapsed()))
}
