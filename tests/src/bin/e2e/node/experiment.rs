//! Experiments on real pods, with shortened windows: a better arm is promoted, a worse one is rolled back for good.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use gondola_tests::visitors::{Effect, Visitors};
use serde_json::{Value, json};

use super::{Shop, leaders};
use crate::api;
use crate::kubectl::{apply, get, until};
use crate::manifest::{NAME, SECRET};
use crate::store::EVENTS_URL;

/// The Secret with the key that ids are hashed with.
const KEY: &str = "unit-key";
/// Visitors a second: six pods share two cores.
const VISITORS: u32 = 60;
/// So many users that harm is certain long before all have come: once they have, an experiment ends without a roll-back.
const SEEN_BEFORE: u32 = 12_000;
/// Until routers and analyzer are there, and every arm answers.
const BEGINS_WITHIN: Duration = Duration::from_secs(120);
/// How long an experiment of this size takes on a busy machine.
const DECIDED_WITHIN: Duration = Duration::from_secs(400);

/// DLRM sells more, and gets everybody; the leader is killed while the ramp is on its first step.
pub(super) async fn promote(shop: &mut Shop) -> anyhow::Result<String> {
    apply_experiment(shop, "dlrm-vs-forest", 600).await?;
    let before = reaches("Ramping", BEGINS_WITHIN).await?;
    let coming = visitors_come(shop, 0.2, 1.0).await?;
    let seen = to_promotion(&before).await;
    coming.abort();
    seen
}

async fn to_promotion(before: &Value) -> anyhow::Result<String> {
    let (killed, took) = leaders::kill_leader().await?;
    let after = experiment().await?;
    ensure!(
        before["startTime"] == after["startTime"] && before["epoch"] == after["epoch"],
        "the next leader began again: {before} became {after}"
    );
    let end = reaches("Promoted", DECIDED_WITHIN).await?;
    ensure!(
        end["winner"] == "dlrm",
        "{} won, and dlrm was planted",
        end["winner"]
    );
    let message = end["decision"]["message"].as_str().unwrap_or_default();
    Ok(format!(
        "led on {took:.1?} after {killed} was killed; then {message}"
    ))
}

/// DLRM sells less. What was decided is in the store of events, so that neither a cluster that is restored nor a tool that
/// deletes and makes again lets the worse arm in again.
pub(super) async fn roll_back(shop: &mut Shop) -> anyhow::Result<String> {
    apply_experiment(shop, "dlrm-that-harms", SEEN_BEFORE).await?;
    reaches("Ramping", BEGINS_WITHIN).await?;
    let coming = visitors_come(shop, 0.5, -0.5).await?;
    let end = reaches("RolledBack", DECIDED_WITHIN).await;
    coming.abort();
    let decision = end?["decision"].clone();
    shop.send_clients_home().await;
    api::delete().await?;
    apply_experiment(shop, "dlrm-that-harms", SEEN_BEFORE).await?;
    crate::kubectl::ready().await?;
    let again = reaches("RolledBack", Duration::from_secs(60)).await?;
    ensure!(
        again["decision"]["reason"] == decision["reason"],
        "it was decided again: {decision} became {}",
        again["decision"]
    );
    Ok(format!("{}, also after it was recreated", decision["message"]))
}

/// Who buys: so many of the control's visitors, and so many more of DLRM's.
async fn visitors_come(shop: &Shop, base: f64, lift: f64) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let effect = Effect {
        base,
        arm: "dlrm".to_owned(),
        lift,
    };
    let visitors = Visitors::connect(&shop.admin, effect).await?;
    Ok(tokio::spawn(visitors.keep_coming(VISITORS)))
}

async fn apply_experiment(shop: &Shop, name: &str, units: u32) -> anyhow::Result<()> {
    let key = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEY}, "stringData": {"unit-key": "0123456789abcdef0123456789abcdef"},
    });
    apply(&key).await?;
    let mut manifest = shop.manifest.clone();
    manifest["spec"]["control"] = "forest".into();
    manifest["spec"]["experiment"] = json!({
        "name": name,
        "control": "forest",
        "arms": [{"variant": "forest", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "unit": {"header": "x-visitor-id"},
        "traffic": {"ramp": [{"percent": "50%", "hold": "20s"}], "settle": "10s"},
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "10s"}]},
        "design": {"units": units, "minDuration": "30s", "maxDuration": "10m"},
        "promotion": "Automatic",
        "store": {"url": EVENTS_URL, "endpoint": shop.arguments.endpoint, "credentials": {"secretRef": {"name": SECRET}}},
        "unitKey": {"secretRef": {"name": KEY}},
        "cadence": {"flush": "2s", "lateness": "5s", "analysis": "5s", "look": "5s"},
    });
    apply(&manifest).await?;
    Ok(())
}

/// Waits until the experiment is in a phase; what the status says of it then.
async fn reaches(phase: &str, within: Duration) -> anyhow::Result<Value> {
    let reached = until(&format!("the experiment is {phase}"), within, async || {
        let status = experiment().await?;
        Ok((status["phase"] == phase).then_some(status))
    })
    .await;
    match reached {
        Ok(status) => Ok(status),
        Err(error) => {
            let status = experiment().await.unwrap_or_default();
            Err(error.context(format!("the status says {status}")))
        }
    }
}

async fn experiment() -> anyhow::Result<Value> {
    let pipeline = get(&["recommenderpipeline", NAME]).await?;
    let status = pipeline.pointer("/status/experiment").cloned();
    status.context("the status says nothing of the experiment")
}
