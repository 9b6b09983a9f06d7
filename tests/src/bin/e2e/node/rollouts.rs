//! New versions, good and bad: what serves keeps serving.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use gondola_tests::http;

use super::Shop;
use crate::kubectl::{
    NODE, PATIENCE, apply, child, kubectl, pods, ready, ready_pods, run, until, variant_says, wait_for,
};
use crate::manifest::NAME;
use crate::processes::Process;

/// A pod that is replaced has its bundles at hand on a test machine.
const BACK_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn new_version(shop: &mut Shop) -> anyhow::Result<String> {
    let version = shop.bundles.publish_anew("dlrm", "a second version").await?;
    served(&version).await?;
    ready().await?;
    Ok(format!("version {version} is served"))
}

/// Waits until every pod of dlrm has loaded a version.
pub(super) async fn served(version: &str) -> anyhow::Result<()> {
    until(&format!("version {version} is served"), PATIENCE, async || {
        for pod in pods("dlrm").await?.values() {
            let loaded = http::get(&pod.admin(), "/v1/pipeline").await?.json()?;
            if !loaded.to_string().contains(version) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

pub(super) async fn other_workflow(shop: &mut Shop) -> anyhow::Result<String> {
    let before = pods("dlrm").await?;
    shop.bundles.publish_for_another_workflow("dlrm").await?;
    let (reason, message) = wait_for(NAME, "ArtifactsResolved", "False").await?;
    ensure!(reason == "ContractMismatch", "{reason}: {message}");
    ensure!(pods("dlrm").await? == before, "pods were touched");
    shop.bundles.publish_anew("dlrm", "repaired").await?;
    wait_for(NAME, "ArtifactsResolved", "True").await?;
    Ok(format!("{reason}: {message}; repaired by itself"))
}

/// A version whose file was altered: its pods can't fetch it. Gives what the status says of it.
async fn get_stuck(shop: &Shop) -> anyhow::Result<String> {
    shop.bundles.publish_damaged("dlrm").await?;
    let message = variant_says("dlrm", &["note.txt"], PATIENCE).await?;
    let serving = ready_pods("dlrm").await?.len();
    ensure!(serving == 2, "{serving} of 2 old pods serve");
    Ok(message)
}

/// The status has the words of the container that fetches, and says that the new version is not the one that serves.
pub(super) async fn damaged(shop: &mut Shop) -> anyhow::Result<String> {
    let message = get_stuck(shop).await?;
    let bundles = bundles_of("dlrm").await?;
    ensure!(
        bundles["desired"]["scorer"] != bundles["ready"]["scorer"] && bundles["ready"]["scorer"].is_string(),
        "the status does not distinguish desired from served bundles: {bundles}"
    );
    let version = shop.bundles.publish_anew("dlrm", "after the damage").await?;
    served(&version).await?;
    Ok(format!("{message}; a good version superseded it"))
}

async fn bundles_of(variant: &str) -> anyhow::Result<serde_json::Value> {
    let pipeline = crate::kubectl::get(&["recommenderpipeline", NAME]).await?;
    let variants = pipeline["status"]["variants"].as_array().into_iter().flatten();
    let mut found = variants.filter(|found| found["name"] == variant);
    Ok(found.next().context("the status does not name the variant")?["bundles"].clone())
}

/// A kubelet that starts knows nothing of ConfigMaps: whatever a pod mounts must still be there.
pub(super) async fn old_pod_comes_back(shop: &mut Shop) -> anyhow::Result<String> {
    get_stuck(shop).await?;
    restart_kubelet().await?;
    let old = ready_pods("dlrm").await?;
    let victim = old.keys().next().context("no old pod serves")?;
    kubectl(&["delete", "pod", victim, "--wait=false"]).await?;
    until("another old pod serves", BACK_WITHIN, async || {
        let now = ready_pods("dlrm").await?;
        Ok((now.len() == 2 && !now.contains_key(victim)).then_some(()))
    })
    .await?;
    Ok(format!("{victim} was followed by a pod of the old version"))
}

async fn restart_kubelet() -> anyhow::Result<()> {
    // Whoever started it starts it again.
    Process::named("kubelet")?.kill().await?;
    until("a kubelet runs again", PATIENCE, async || {
        Ok(Process::named("kubelet").ok())
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let ready = format!("node/{NODE}");
    kubectl(&["wait", "--for=condition=Ready", &ready, "--timeout=60s"]).await?;
    Ok(())
}

/// What a person does who wants the old version back at once, and no operator in the way.
pub(super) async fn undo(shop: &mut Shop) -> anyhow::Result<String> {
    // A version of this step's own, so that there is one to go back to.
    let version = shop.bundles.publish_anew("dlrm", "to go back to").await?;
    served(&version).await?;
    ready().await?;
    get_stuck(shop).await?;
    let mut manifest = shop.manifest.clone();
    manifest["spec"]["suspend"] = true.into();
    apply(&manifest).await?;
    wait_for(NAME, "Suspended", "True").await?;
    let deployment = format!("deployment/{}", child("dlrm"));
    kubectl(&["rollout", "undo", &deployment]).await?;
    kubectl(&["rollout", "status", &deployment, "--timeout=120s"]).await?;
    served(&version).await?;
    Ok(format!("version {version} is served again"))
}

/// A pod that never got ready must not keep a node from being drained; those that serve go one by one.
pub(super) async fn drain(shop: &mut Shop) -> anyhow::Result<String> {
    get_stuck(shop).await?;
    let serving = ready_pods("dlrm").await?;
    let all = pods("dlrm").await?;
    let stuck: Vec<&String> = all.keys().filter(|name| !serving.contains_key(*name)).collect();
    ensure!(!stuck.is_empty(), "no pod is stuck: {all:?}");
    let drain = [
        "drain",
        NODE,
        "--pod-selector=gondola.dev/variant=dlrm",
        "--delete-emptydir-data",
        "--ignore-daemonsets",
        "--timeout=20s",
    ];
    // There is no other node, so that the last pod that serves has to stay, and the drain runs out of time.
    let outcome = run(std::path::Path::new("kubectl"), &drain, "").await;
    let left = ready_pods("dlrm").await?;
    let after = pods("dlrm").await?;
    kubectl(&["uncordon", NODE]).await?;
    ensure!(
        outcome.is_err() && !left.is_empty(),
        "every pod of dlrm was evicted at once"
    );
    ensure!(
        stuck.iter().all(|name| !after.contains_key(*name)),
        "{stuck:?} kept the node from being drained"
    );
    until("two pods serve again", BACK_WITHIN, async || {
        Ok((ready_pods("dlrm").await?.len() == 2).then_some(()))
    })
    .await?;
    Ok(format!(
        "the stuck pod was evicted, {} of 2 stayed until the node was back",
        left.len()
    ))
}
