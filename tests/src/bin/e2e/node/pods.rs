//! Pods that can't run, or don't stay: the status names the cause, and what serves goes on.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::Shop;
use crate::kubectl::{
    NAMED_WITHIN, NODE, PATIENCE, apply, get, kubectl, pods, ready, run, until, variant_says, wait_for,
};
use crate::manifest;

/// The operator's image knows no command of the data plane.
pub(super) async fn crash(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    let variant = manifest::variant(&mut manifest, "forest")?;
    variant["pods"] = json!({"image": "localhost/gondola-operator:test"});
    apply(&manifest).await?;
    let message = variant_says("forest", &["CrashLoopBackOff"], PATIENCE).await?;
    let (reason, _) = wait_for(manifest::NAME, "Available", "True").await?;
    Ok(format!("{reason} meanwhile; {message}"))
}

/// The most usual failure of a model server.
pub(super) async fn out_of_memory(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "forest")?["resources"] =
        json!({"requests": {"cpu": "50m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}});
    apply(&manifest).await?;
    variant_says("forest", &["OOMKilled"], PATIENCE).await
}

pub(super) async fn gpu(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "forest")?["resources"] = json!({
        "requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"},
    });
    apply(&manifest).await?;
    let message = variant_says("forest", &["Insufficient nvidia.com/gpu"], PATIENCE).await?;
    let patch = r#"[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "4"}]"#;
    patch_node_status(patch).await?;
    ready().await?;
    let patch = r#"[{"op": "remove", "path": "/status/capacity/nvidia.com~1gpu"}]"#;
    patch_node_status(patch).await?;
    Ok(message)
}

async fn patch_node_status(patch: &str) -> anyhow::Result<()> {
    kubectl(&[
        "patch",
        "node",
        NODE,
        "--subresource=status",
        "--type=json",
        "--patch",
        patch,
    ])
    .await?;
    Ok(())
}

/// The kubelet says so in events alone: the pod itself only waits.
pub(super) async fn failed_mount(_: &mut Shop) -> anyhow::Result<String> {
    apply_to_cluster(&volume()).await?;
    for object in [claim(), on_a_volume()] {
        apply(&object).await?;
    }
    let applied = Instant::now();
    let message = until("the status names the volume", NAMED_WITHIN, async || {
        let pipeline = get(&["recommenderpipeline", "on-a-volume"]).await?;
        let status = pipeline["status"].to_string();
        Ok(status.contains("FailedMount").then_some(status))
    })
    .await?;
    let named = applied.elapsed();
    kubectl(&[
        "delete",
        "recommenderpipeline/on-a-volume",
        "persistentvolumeclaim/models",
    ])
    .await?;
    kubectl(&["delete", "persistentvolume/models", "--wait=false"]).await?;
    ensure!(
        message.contains("/nowhere"),
        "the volume's problem is not reported: {message}"
    );
    Ok(format!("named after {named:.1?}"))
}

async fn apply_to_cluster(object: &Value) -> anyhow::Result<()> {
    let arguments = ["apply", "--server-side", "-f", "-"];
    run(std::path::Path::new("kubectl"), &arguments, &object.to_string()).await?;
    Ok(())
}

/// A volume whose folder no node has.
fn volume() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "models"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany"], "storageClassName": "by-hand",
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nowhere", "type": "Directory"},
        },
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"},
        "spec": {
            "accessModes": ["ReadOnlyMany"], "storageClassName": "by-hand", "volumeName": "models",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    })
}

fn on_a_volume() -> Value {
    json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline", "metadata": {"name": "on-a-volume"},
        "spec": {
            "artifacts": {"url": "file:///grocery", "volumeClaim": {"name": "models"}},
            "features": {"bundle": "features@stable"}, "retrieval": {"bundle": "two-tower@stable"},
            "variants": [{"name": "dlrm", "scorer": "dlrm@stable", "weight": 1}],
        },
    })
}

/// Ends one pod as a drain of its node would; another takes its place.
pub(super) async fn end(_: &mut Shop, component: &str) -> anyhow::Result<String> {
    let before = pods(component).await?;
    let name = before.keys().next().context("there is no pod")?;
    kubectl(&["delete", "pod", name]).await?;
    until("another pod takes its place", PATIENCE, async || {
        let now = pods(component).await?;
        let all_ready = now.values().all(|pod| pod.ready);
        Ok((now.len() == before.len() && !now.contains_key(name) && all_ready).then_some(()))
    })
    .await?;
    Ok(format!("{name} was followed"))
}
