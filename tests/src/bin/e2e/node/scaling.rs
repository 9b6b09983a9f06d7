//! How many pods there are: as the spec says, as an autoscaler says, or as a person says.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Shop;
use crate::kubectl::{NAMESPACE, PATIENCE, apply, child, field, kubectl, ready, ready_pods, until, wait_for};
use crate::manifest::{self, NAME};

/// How long a number is watched that has to stay.
const WATCHED: Duration = Duration::from_secs(12);

/// Every value that a Deployment's number of replicas takes from now on: one that lasts for a moment ends pods as well.
struct Replicas(Child);

impl Replicas {
    fn watch(deployment: &str) -> anyhow::Result<Self> {
        let arguments = [
            "get",
            "deployment",
            deployment,
            "--watch",
            "--output",
            r#"jsonpath={.spec.replicas}{"\n"}"#,
        ];
        let child = Command::new("kubectl")
            .args(["--namespace", NAMESPACE])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self(child))
    }

    fn seen(mut self) -> anyhow::Result<Vec<u32>> {
        self.0.kill()?;
        let mut text = String::new();
        let mut output = self.0.stdout.take().context("its output is read once")?;
        output.read_to_string(&mut text)?;
        let seen: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        ensure!(!seen.is_empty(), "the watch said nothing");
        Ok(seen)
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // It may have ended by itself, since the API server was away.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn replicas(variant: &str) -> anyhow::Result<String> {
    field(&format!("deployment/{}", child(variant)), ".spec.replicas").await
}

/// An autoscaler takes over a variant as it is, and leaves it as it was.
pub(super) async fn autoscaling(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "forest")?["replicas"] = 4.into();
    apply(&manifest).await?;
    until("four pods serve", PATIENCE, async || {
        Ok((ready_pods("forest").await?.len() == 4).then_some(()))
    })
    .await?;

    let watch = Replicas::watch(&child("forest"))?;
    let variant = manifest::variant(&mut manifest, "forest")?;
    manifest::remove(variant, "replicas");
    variant["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 6});
    apply(&manifest).await?;
    ready().await?;
    tokio::time::sleep(WATCHED).await;
    let on = watch.seen()?;
    ensure!(on.iter().all(|count| *count >= 4), "with the autoscaler: {on:?}");

    let watch = Replicas::watch(&child("forest"))?;
    manifest::remove(manifest::variant(&mut manifest, "forest")?, "autoscaling");
    apply(&manifest).await?;
    ready().await?;
    tokio::time::sleep(WATCHED).await;
    let off = watch.seen()?;
    ensure!(
        off.iter().all(|count| *count == 4),
        "without the autoscaler: {off:?}"
    );
    Ok("4 pods before, with and after it".into())
}

/// Whoever leaves the number out leaves it to others.
pub(super) async fn by_a_person(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest::remove(manifest::variant(&mut manifest, "forest")?, "replicas");
    apply(&manifest).await?;
    ready().await?;
    let left = replicas("forest").await?;
    kubectl(&["scale", "deployment", &child("forest"), "--replicas=3"]).await?;
    until("three pods serve", PATIENCE, async || {
        Ok((ready_pods("forest").await?.len() == 3).then_some(()))
    })
    .await?;
    // A pass with something to write.
    manifest::variant(&mut manifest, "forest")?["weight"] = 60.into();
    apply(&manifest).await?;
    ready().await?;
    tokio::time::sleep(WATCHED).await;
    let now = replicas("forest").await?;
    ensure!(
        left == "2",
        "there were {left} pods when the number was left out, and 2 before"
    );
    ensure!(
        now == "3",
        "three pods were asked for by hand, and there are {now}"
    );
    Ok("it stayed as it was, then as it was scaled".into())
}

pub(super) async fn suspend(shop: &mut Shop) -> anyhow::Result<String> {
    let mut manifest = shop.manifest.clone();
    manifest["spec"]["suspend"] = true.into();
    manifest["spec"]["router"]["replicas"] = 1.into();
    apply(&manifest).await?;
    wait_for(NAME, "Suspended", "True").await?;
    let (reason, _) = wait_for(NAME, "Ready", "Unknown").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(ready_pods("router").await?.len() == 2, "it was not left alone");
    manifest["spec"]["suspend"] = false.into();
    apply(&manifest).await?;
    until("it goes on", PATIENCE, async || {
        Ok((ready_pods("router").await?.len() == 1).then_some(()))
    })
    .await?;
    Ok(format!(
        "Ready=Unknown {reason}, two routers while it was suspended, one after"
    ))
}
