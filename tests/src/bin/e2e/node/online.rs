//! What is put at run time: acknowledged when the online store has it, known to every pod, and never lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gondola_tests::http;
use serde_json::json;

use super::Shop;
use super::rollouts::served;
use crate::kubectl::{PATIENCE, apply, pods, ready, ready_pods, until};
use crate::manifest;
use crate::redis::Redis;

/// A household whose answers are looked at.
const USER: &str = "1";
/// How soon an acknowledged change is in the answers of every pod, on a test machine.
const EVERYWHERE_WITHIN: Duration = Duration::from_secs(2);
/// How long Redis stays away.
const AWAY: Duration = Duration::from_secs(5);

/// Without a store nothing is half-kept: a change is refused with the way out.
pub(super) async fn refused(shop: &mut Shop) -> anyhow::Result<String> {
    let answer = http::put(&shop.admin, "/v1/users/e2e", &json!({})).await?;
    ensure!(
        answer.status == 501 && answer.body.contains("give it spec.features.online"),
        "{}: {}",
        answer.status,
        answer.body
    );
    Ok(format!("501: {}", answer.body.trim()))
}

/// An item that is blocked, and one that is put, stay so through a rollout.
pub(super) async fn survives_a_rollout(shop: &mut Shop) -> anyhow::Result<String> {
    open(shop).await?;
    let items = shown(&shop.address).await?;
    let item = items.first().context("nothing is recommended")?.clone();
    set_blocked(shop, &item, true).await?;
    let new = json!({"features": {"department": "GROCERY", "product_type": "BANANAS"}});
    let put = http::put(&shop.admin, "/v1/items/e2e-item", &new).await?;
    ensure!(put.status == 204, "{}: {}", put.status, put.body);
    let took = everywhere(&item).await?;
    let version = shop.bundles.publish_anew("dlrm", "with an online store").await?;
    served(&version).await?;
    ready().await?;
    everywhere(&item).await?;
    for pod in all_pods().await? {
        let near = http::get(&pod, "/v1/similar?item=e2e-item&k=3").await?;
        ensure!(near.status == 200, "{pod} does not know the item: {}", near.body);
    }
    set_blocked(shop, &item, false).await?;
    Ok(format!(
        "item {item} was in no pod's answers after {took:.1?}, nor after a rollout; a new item was known to every pod"
    ))
}

/// A pod that starts knows what was put before, from its first answer on.
pub(super) async fn new_pod_catches_up(shop: &mut Shop) -> anyhow::Result<String> {
    open(shop).await?;
    let item = shown(&shop.address).await?.swap_remove(0);
    set_blocked(shop, &item, true).await?;
    let before: BTreeSet<String> = ready_pods("dlrm").await?.into_keys().collect();
    let mut manifest = shop.manifest.clone();
    manifest::variant(&mut manifest, "dlrm")?["replicas"] = 3.into();
    apply(&manifest).await?;
    let pod = until("a third pod is ready", PATIENCE, async || {
        let pods = ready_pods("dlrm").await?;
        Ok(pods.into_iter().find(|(name, _)| !before.contains(name)))
    })
    .await?;
    let first = shown(&pod.1.reads()).await?;
    ensure!(!first.contains(&item), "a new pod shows {item}, which is blocked");
    set_blocked(shop, &item, false).await?;
    Ok(format!(
        "pod {} left out what was blocked, from its first answer on",
        pod.0
    ))
}

/// Redis that is killed costs no answer, and nothing that was acknowledged.
pub(super) async fn redis_is_killed(shop: &mut Shop) -> anyhow::Result<String> {
    open(shop).await?;
    let item = shown(&shop.address).await?.swap_remove(0);
    set_blocked(shop, &item, true).await?;
    everywhere(&item).await?;
    shop.redis()?.kill()?;
    let refused = http::put(&shop.admin, "/v1/users/e2e", &json!({})).await?;
    ensure!(refused.status == 503, "{}: {}", refused.status, refused.body);
    tokio::time::sleep(AWAY).await;
    everywhere(&item).await?;
    shop.redis()?.restart().await?;
    let back = Instant::now();
    until("changes are taken again", PATIENCE, async || {
        let put = http::put(&shop.admin, "/v1/users/e2e", &json!({})).await?;
        Ok((put.status == 204).then_some(()))
    })
    .await?;
    let took = back.elapsed();
    everywhere(&item).await?;
    set_blocked(shop, &item, false).await?;
    until(
        "what is unblocked is shown again",
        EVERYWHERE_WITHIN,
        async || Ok(shown(&shop.address).await?.contains(&item).then_some(())),
    )
    .await?;
    close(shop).await?;
    Ok(format!(
        "away for {AWAY:.0?}; changes were taken again {took:.1?} after it was back"
    ))
}

/// Gives the pipeline an online store, for this step and those after it.
async fn open(shop: &mut Shop) -> anyhow::Result<()> {
    if shop.redis.is_none() {
        let redis = Redis::start(&shop.arguments.endpoint).await?;
        apply(&redis.secret()).await?;
        shop.redis = Some(redis);
        shop.manifest["spec"]["features"]["online"] = Redis::online();
    }
    apply(&shop.manifest).await?;
    ready().await?;
    until("changes are taken", PATIENCE, async || {
        let put = http::put(&shop.admin, "/v1/users/e2e", &json!({})).await?;
        Ok((put.status == 204).then_some(()))
    })
    .await
}

/// Takes the online store away again.
async fn close(shop: &mut Shop) -> anyhow::Result<()> {
    manifest::remove(&mut shop.manifest["spec"]["features"], "online");
    apply(&shop.manifest).await?;
    ready().await?;
    shop.redis = None;
    Ok(())
}

async fn set_blocked(shop: &Shop, item: &str, blocked: bool) -> anyhow::Result<()> {
    let body = json!({"blocked": blocked});
    let patched = http::patch(&shop.admin, &format!("/v1/items/{item}"), &body).await?;
    ensure!(patched.status == 204, "{}: {}", patched.status, patched.body);
    Ok(())
}

/// What somebody is shown.
async fn shown(address: &str) -> anyhow::Result<Vec<String>> {
    let answer = http::get(address, &format!("/v1/recommend?user={USER}&k=12"))
        .await?
        .json()?;
    let items = answer["items"].as_array().context("an answer without items")?;
    let ids = items.iter().filter_map(|item| item["item"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Where every pod of every variant answers.
async fn all_pods() -> anyhow::Result<Vec<String>> {
    let mut addresses = Vec::new();
    for variant in ["dlrm", "forest"] {
        addresses.extend(
            pods(variant)
                .await?
                .values()
                .filter(|pod| pod.ready)
                .map(|pod| pod.reads()),
        );
    }
    Ok(addresses)
}

/// Waits until no pod shows an item, and gives how long that took.
async fn everywhere(item: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    until("no pod shows what is blocked", EVERYWHERE_WITHIN, async || {
        for pod in all_pods().await? {
            if shown(&pod).await?.contains(&item.to_owned()) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    Ok(started.elapsed())
}
