//! The operator and the API server, ended and stopped: what serves goes on, and somebody leads again in time.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::Shop;
use crate::install::{self, leader_of};
use crate::kubectl::{OF_PIPELINE, PATIENCE, apply, get, kubectl, kubectl_in, ready, until};
use crate::manifest;
use crate::processes::Process;

/// What is promised of a leader that is gone without a word.
const NEXT_LEADER_WITHIN: Duration = Duration::from_secs(16);

async fn leader() -> anyhow::Result<String> {
    leader_of("gondola").await
}

async fn process_of(pod: &str) -> anyhow::Result<Process> {
    let uid = kubectl_in(
        install::NAMESPACE,
        &["get", "pod", pod, "--output", "jsonpath={.metadata.uid}"],
    )
    .await?;
    Process::of_pod(&uid, "gondola-operator")
}

/// Waits until somebody else leads, and does what a leader does.
async fn another_leads(shop: &Shop, old: &str) -> anyhow::Result<String> {
    let since = Instant::now();
    until("another leads", NEXT_LEADER_WITHIN, async || {
        let now = leader().await?;
        Ok((now != old && !now.is_empty()).then_some(()))
    })
    .await?;
    let took = since.elapsed();
    acts(shop).await?;
    Ok(format!("another leads after {took:.1?}"))
}

/// An edit is acted on.
async fn acts(shop: &Shop) -> anyhow::Result<()> {
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "forest")?["weight"] = 60.into();
    apply(&manifest).await?;
    ready().await
}

/// The leader ends, and nobody on its node starts it again.
pub(super) async fn kill(shop: &mut Shop) -> anyhow::Result<String> {
    let (old, took) = kill_leader().await?;
    acts(shop).await?;
    Ok(format!("another leads {took:.1?} after {old} was killed"))
}

/// Ends the leader as the loss of its node does; gives its pod, and how long nobody led.
pub(super) async fn kill_leader() -> anyhow::Result<(String, Duration)> {
    let old = leader().await?;
    let process = process_of(&old).await?;
    let kubelet = Process::named("kubelet")?.freeze().await?;
    process.kill().await?;
    let killed = Instant::now();
    let outcome = until("another leads", NEXT_LEADER_WITHIN, async || {
        let now = leader().await?;
        Ok((now != old && !now.is_empty()).then_some(()))
    })
    .await;
    kubelet.thaw();
    outcome.map(|()| (old, killed.elapsed()))
}

/// A leader that wakes up again has nothing to say any more.
pub(super) async fn freeze(shop: &mut Shop) -> anyhow::Result<String> {
    let old = leader().await?;
    let frozen = process_of(&old).await?.freeze().await?;
    let seen = another_leads(shop, &old).await?;
    let before = versions().await?;
    frozen.thaw();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let now = leader().await?;
    ensure!(now != old, "the one that hung leads again");
    let after = versions().await?;
    ensure!(
        before == after,
        "something was written when it woke up: {before:?}, then {after:?}"
    );
    Ok(format!("{seen}; nothing was written when the old one woke up"))
}

/// The versions of everything that operators write.
async fn versions() -> anyhow::Result<Vec<String>> {
    let kinds = "deployments,services,configmaps,serviceaccounts,roles,rolebindings,poddisruptionbudgets";
    let found = get(&[kinds, "--selector", OF_PIPELINE]).await?;
    let items = found["items"].as_array().into_iter().flatten();
    let version =
        |item: &serde_json::Value| format!("{} {}", item["metadata"]["name"], item["metadata"]["generation"]);
    Ok(items.map(version).collect())
}

/// What serves goes on without the API server; the node starts it again.
pub(super) async fn kill_api_server(_: &mut Shop) -> anyhow::Result<String> {
    Process::named("kube-apiserver")?.kill().await?;
    let killed = Instant::now();
    until("the API server is back", PATIENCE, async || {
        Ok(kubectl(&["get", "--raw", "/readyz"]).await.ok())
    })
    .await?;
    let away = killed.elapsed();
    ready().await?;
    Ok(format!("it was away for {away:.1?}"))
}
