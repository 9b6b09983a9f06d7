//! With pods: the whole life, under load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gondola_tests::http;
use serde_json::{Value, json};

use crate::kubectl::{NAMESPACE, PATIENCE, apply, get, kubectl, run, until, wait_for};
use crate::load::{Counts, Load};
use crate::manifest::{self, NAME};
use crate::store::Bundles;
use crate::table::Table;
use crate::{Arguments, experiment, install, objects};

/// Users whose variants are looked up.
const USERS: u32 = 200;
/// What is promised of a change of weights.
const WEIGHTS_WITHIN: Duration = Duration::from_secs(2);
/// What is promised of a leader that is killed.
const NEXT_LEADER_WITHIN: Duration = Duration::from_secs(15);

/// Runs every step.
pub(crate) async fn run_all(arguments: &Arguments, table: &mut Table) -> anyhow::Result<()> {
    let none = Counts::default;
    let bundles = Bundles::upload(&arguments.bundles, &arguments.endpoint).await?;
    let mut manifest = manifest::read(&arguments.manifest, &arguments.endpoint)?;
    table
        .step("install the chart", none, install_and_wait(arguments))
        .await?;
    table
        .step(
            "a Secret that is missing is named",
            none,
            without_secret(&manifest),
        )
        .await?;
    table
        .step("apply the example, to Ready", none, become_ready(&manifest))
        .await?;
    let address = service().await?;
    table.step("ask through the Service", none, ask(&address)).await?;
    table
        .step("both routers give a user the same variant", none, sticky())
        .await?;

    let load = Load::start(&address);
    let counts = || load.counts();
    table
        .step("change the weights", counts, change_weights(&mut manifest))
        .await?;
    table
        .step("roll out a new version", counts, roll_out(&bundles))
        .await?;
    table
        .step("no request failed until here", counts, none_failed(counts))
        .await?;
    table
        .step("a bundle that doesn't belong", counts, break_bundle(&bundles))
        .await?;
    table
        .step("an image that crashes", counts, crash(&mut manifest))
        .await?;
    table
        .step(
            "a GPU that no node has, then one that has",
            counts,
            gpu(&mut manifest),
        )
        .await?;
    table
        .step("end a pod of a variant", counts, end_pod("dlrm"))
        .await?;
    table.step("end a router", counts, end_pod("router")).await?;
    table.step("kill the leader", counts, kill_leader()).await?;
    table
        .step("kill the API server", counts, kill_api_server())
        .await?;
    table
        .step("suspend, and go on", counts, suspend(&mut manifest))
        .await?;
    drop(load);
    let experiment = experiment::promote(&mut manifest, &address, &arguments.endpoint);
    table
        .step("an experiment, to automatic promotion", none, experiment)
        .await?;
    table.step("delete", none, objects::delete()).await
}

async fn install_and_wait(arguments: &Arguments) -> anyhow::Result<String> {
    install::chart(arguments).await?;
    let wait = [
        "--namespace",
        install::NAMESPACE,
        "rollout",
        "status",
        "deployment/gondola-operator",
        "--timeout=120s",
    ];
    run(Path::new("kubectl"), &wait, "").await?;
    run(Path::new("kubectl"), &["create", "namespace", NAMESPACE], "").await?;
    Ok("both operators are ready".into())
}

async fn without_secret(manifest: &Value) -> anyhow::Result<String> {
    apply(manifest).await?;
    let (reason, message) = wait_for(NAME, "ArtifactsResolved", "False").await?;
    ensure!(
        reason == "AccessDenied" && message.contains("create the Secret"),
        "{reason}: {message}"
    );
    Ok(format!("{reason}: {message}"))
}

async fn become_ready(manifest: &Value) -> anyhow::Result<String> {
    apply(&manifest::secret()).await?;
    apply(manifest).await?;
    kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=300s",
        &format!("recommenderpipeline/{NAME}"),
    ])
    .await?;
    Ok(kubectl(&["get", "recommenderpipeline", NAME, "--no-headers"])
        .await?
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" "))
}

/// Where the pipeline's Service answers.
async fn service() -> anyhow::Result<String> {
    let service = get(&["service", NAME]).await?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("the Service has no address")?;
    Ok(format!("{address}:8080"))
}

async fn ask(address: &str) -> anyhow::Result<String> {
    let recommended = http::get(address, "/v1/recommend?user=1&k=12").await?.json()?;
    let similar = http::get(address, "/v1/similar?item=1082185&k=12")
        .await?
        .json()?;
    let count = |answer: &Value| answer["items"].as_array().map_or(0, Vec::len);
    ensure!(
        (count(&recommended), count(&similar)) == (12, 12),
        "{recommended}; {similar}"
    );
    Ok(format!("12 items from {}, 12 neighbours", recommended["variant"]))
}

/// The addresses of a component's pods.
async fn pods(component: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let found = get(&["pods", "--field-selector=status.phase=Running"]).await?;
    let prefix = format!("{NAME}-{component}-");
    let pods = found["items"].as_array().into_iter().flatten().filter_map(|pod| {
        let name = pod["metadata"]["name"].as_str()?.to_owned();
        let address = format!("{}:8080", pod["status"]["podIP"].as_str()?);
        let going = pod["metadata"].get("deletionTimestamp").is_some();
        (name.starts_with(&prefix) && !going).then_some((name, address))
    });
    Ok(pods.collect())
}

/// The variant of each user, as one router gives it.
async fn variants(address: &str) -> anyhow::Result<BTreeMap<u32, String>> {
    let mut variants = BTreeMap::new();
    for user in 1..=USERS {
        let answer = http::get(address, &format!("/v1/recommend?user={user}&k=1"))
            .await?
            .json()?;
        variants.insert(user, answer["variant"].as_str().unwrap_or_default().to_owned());
    }
    Ok(variants)
}

async fn sticky() -> anyhow::Result<String> {
    let routers = pods("router").await?;
    ensure!(routers.len() == 2, "{routers:?}");
    let mut seen = Vec::new();
    for address in routers.values() {
        seen.push(variants(address).await?);
    }
    ensure!(seen[0] == seen[1], "the routers disagree");
    let shares: BTreeSet<&String> = seen[0].values().collect();
    ensure!(shares.len() == 2, "only {shares:?} get users");
    Ok(format!("{USERS} users, {shares:?}"))
}

/// Everybody to the forest: every router follows in time, and only those move who have to.
async fn change_weights(manifest: &mut Value) -> anyhow::Result<String> {
    let routers = pods("router").await?;
    let address = routers.values().next().context("there is no router")?.clone();
    let before = variants(&address).await?;
    manifest::variant(manifest, "dlrm")?["weight"] = 20.into();
    manifest::variant(manifest, "forest")?["weight"] = 80.into();
    let mover = before
        .iter()
        .find(|(_, variant)| *variant == "dlrm")
        .map(|(user, _)| *user)
        .context("nobody has dlrm")?;
    apply(manifest).await?;
    let changed = Instant::now();
    let share = |seen: &BTreeMap<u32, String>| seen.values().filter(|variant| *variant == "forest").count();
    let goal = share(&before) + 1;
    let mut followed = Duration::ZERO;
    for address in routers.values() {
        until("a router follows", WEIGHTS_WITHIN, async || {
            Ok((share(&variants(address).await?) > goal).then_some(()))
        })
        .await?;
        followed = followed.max(changed.elapsed());
    }
    let after = variants(&address).await?;
    let back = before
        .iter()
        .filter(|(user, variant)| *variant == "forest" && after[user] != "forest")
        .count();
    ensure!(
        back == 0,
        "{back} users of the growing variant were moved; user {mover} had dlrm"
    );
    Ok(format!(
        "{} of {USERS} users moved, none the wrong way, after {followed:.1?}",
        share(&after) - share(&before)
    ))
}

async fn roll_out(bundles: &Bundles) -> anyhow::Result<String> {
    let version = bundles.publish_anew("dlrm", "a second version").await?;
    served(&version).await?;
    wait_for(NAME, "Ready", "True").await?;
    Ok(format!("version {version} is served"))
}

/// Waits until every pod of dlrm is of a version's rollout.
async fn served(version: &str) -> anyhow::Result<()> {
    until("the new version is served", PATIENCE, async || {
        for address in pods("dlrm").await?.values() {
            let loaded = http::get(address, "/v1/pipeline").await?.json()?;
            if !loaded.to_string().contains(version) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

async fn none_failed(counts: impl Fn() -> Counts) -> anyhow::Result<String> {
    let Counts { sent, failed } = counts();
    ensure!(failed == 0 && sent > 0, "{failed} of {sent} requests failed");
    Ok(format!("{sent} requests"))
}

async fn break_bundle(bundles: &Bundles) -> anyhow::Result<String> {
    let before = pods("dlrm").await?;
    bundles.publish_for_another_workflow("dlrm").await?;
    let (reason, message) = wait_for(NAME, "ArtifactsResolved", "False").await?;
    ensure!(reason == "ContractMismatch", "{reason}: {message}");
    ensure!(pods("dlrm").await? == before, "pods were touched");
    bundles.publish_anew("dlrm", "repaired").await?;
    wait_for(NAME, "Ready", "True").await?;
    Ok(format!("{reason}: {message}; repaired by itself"))
}

async fn crash(manifest: &mut Value) -> anyhow::Result<String> {
    let good = manifest.clone();
    let variant = manifest::variant(manifest, "forest")?;
    variant["template"] = json!({"env": [{"name": "GONDOLA_LISTEN", "value": "nonsense"}]});
    apply(manifest).await?;
    let message = until("the crash is named", PATIENCE, async || {
        let found = get(&["recommenderpipeline", NAME]).await?;
        let text = found["status"]["variants"].to_string();
        Ok(text.contains("CrashLoopBackOff").then_some(text))
    })
    .await?;
    let (reason, _) = wait_for(NAME, "Available", "True").await?;
    apply(&good).await?;
    *manifest = good;
    wait_for(NAME, "Ready", "True").await?;
    Ok(format!("{reason} meanwhile; {message}"))
}

async fn gpu(manifest: &mut Value) -> anyhow::Result<String> {
    let good = manifest.clone();
    manifest::variant(manifest, "forest")?["resources"] = json!({"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi", "nvidia.com/gpu": "1"}});
    apply(manifest).await?;
    let message = until("the scheduler's message is shown", PATIENCE, async || {
        let found = get(&["recommenderpipeline", NAME]).await?;
        let text = found["status"]["variants"].to_string();
        Ok(text.contains("Insufficient nvidia.com/gpu").then_some(text))
    })
    .await?;
    let patch = r#"[{"op": "add", "path": "/status/capacity/nvidia.com~1gpu", "value": "4"}]"#;
    kubectl(&[
        "patch",
        "node",
        "node1",
        "--subresource=status",
        "--type=json",
        "--patch",
        patch,
    ])
    .await?;
    wait_for(NAME, "Ready", "True").await?;
    apply(&good).await?;
    *manifest = good;
    wait_for(NAME, "Ready", "True").await?;
    Ok(message)
}

/// Ends one pod as a drain of its node would; another takes its place.
async fn end_pod(component: &str) -> anyhow::Result<String> {
    let before = pods(component).await?;
    let name = before.keys().next().context("there is no pod")?.clone();
    kubectl(&["delete", "pod", &name]).await?;
    until("another pod takes its place", PATIENCE, async || {
        let now = pods(component).await?;
        Ok((now.len() == before.len() && !now.contains_key(&name)).then_some(()))
    })
    .await?;
    wait_for(NAME, "Ready", "True").await?;
    Ok(format!("{name} was followed"))
}

async fn leader() -> anyhow::Result<String> {
    let arguments = [
        "--namespace",
        install::NAMESPACE,
        "get",
        "lease",
        "gondola-operator",
        "--output",
        "jsonpath={.spec.holderIdentity}",
    ];
    run(Path::new("kubectl"), &arguments, "").await
}

pub(crate) async fn kill_leader() -> anyhow::Result<String> {
    let old = leader().await?;
    let kill = [
        "--namespace",
        install::NAMESPACE,
        "delete",
        "pod",
        &old,
        "--grace-period=0",
        "--force",
    ];
    run(Path::new("kubectl"), &kill, "").await?;
    let killed = Instant::now();
    until("another leads", NEXT_LEADER_WITHIN, async || {
        let now = leader().await?;
        Ok((now != old && !now.is_empty()).then_some(()))
    })
    .await?;
    Ok(format!("another leads after {:.1?}", killed.elapsed()))
}

/// What serves goes on without the API server; the node starts it again.
async fn kill_api_server() -> anyhow::Result<String> {
    run(Path::new("pkill"), &["-KILL", "-x", "kube-apiserver"], "").await?;
    let killed = Instant::now();
    until("the API server is back", PATIENCE, async || {
        Ok(kubectl(&["get", "--raw", "/readyz"]).await.ok())
    })
    .await?;
    let away = killed.elapsed();
    wait_for(NAME, "Ready", "True").await?;
    Ok(format!("it was away for {away:.1?}"))
}

async fn suspend(manifest: &mut Value) -> anyhow::Result<String> {
    manifest["spec"]["suspend"] = true.into();
    manifest["spec"]["router"]["replicas"] = 1.into();
    apply(manifest).await?;
    wait_for(NAME, "Suspended", "True").await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ensure!(pods("router").await?.len() == 2, "it was not left alone");
    manifest["spec"]["suspend"] = false.into();
    apply(manifest).await?;
    until("it goes on", PATIENCE, async || {
        Ok((pods("router").await?.len() == 1).then_some(()))
    })
    .await?;
    Ok("two routers while it was suspended, one after".into())
}
