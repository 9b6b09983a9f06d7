//! An experiment on real pods: from apply to automatic promotion with shortened windows, and a leader that is killed on the way.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use gondola_tests::visitors::{Effect, Visitors};
use serde_json::{Value, json};

use crate::kubectl::{apply, get, until};
use crate::manifest::{NAME, SECRET};
use crate::node::kill_leader;
use crate::store::EVENTS_URL;

/// The Secret with the key that ids are hashed with.
const KEY: &str = "unit-key";
/// Visitors a second: four pods share two cores.
const VISITORS: u32 = 60;

/// Runs an experiment in which DLRM sells more.
pub(crate) async fn promote(manifest: &mut Value, address: &str, endpoint: &str) -> anyhow::Result<String> {
    let key = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEY}, "stringData": {"unit-key": "0123456789abcdef0123456789abcdef"},
    });
    apply(&key).await?;
    manifest["spec"]["experiment"] = json!({
        "name": "dlrm-vs-forest",
        "control": "forest",
        "arms": [{"variant": "forest", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "unit": {"header": "x-visitor-id"},
        "traffic": {"ramp": [{"percent": "50%", "hold": "20s"}], "settle": "10s"},
        "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "10s"}]},
        "design": {"units": 600, "minDuration": "30s", "maxDuration": "10m"},
        "promotion": "Automatic",
        "store": {"url": EVENTS_URL, "endpoint": endpoint, "credentials": {"secretRef": {"name": SECRET}}},
        "unitKey": {"secretRef": {"name": KEY}},
        "cadence": {"flush": "2s", "lateness": "5s", "analysis": "5s", "look": "5s"},
    });
    apply(manifest).await?;
    let effect = Effect {
        base: 0.2,
        arm: "dlrm".to_owned(),
        lift: 1.0,
    };
    let visitors = Visitors::connect(address, effect).await?;
    let coming = tokio::spawn(visitors.keep_coming(VISITORS));
    let seen = decided().await;
    coming.abort();
    seen
}

/// Kills the leader while the ramp is on its first step; the next one must keep step and start.
async fn decided() -> anyhow::Result<String> {
    let patience = Duration::from_secs(120);
    let before = until("the ramp has begun", patience, async || {
        let status = experiment().await?;
        Ok((status["phase"] == "Ramping").then_some(status))
    })
    .await?;
    let killed = kill_leader().await?;
    let after = experiment().await?;
    ensure!(
        before["startedAt"] == after["startedAt"] && before["epoch"] == after["epoch"],
        "the next leader began anew: {before} became {after}"
    );
    let end = until("an arm is promoted", Duration::from_secs(400), async || {
        let status = experiment().await?;
        Ok((status["phase"] == "Promoted").then_some(status))
    })
    .await?;
    ensure!(
        end["winner"] == "dlrm",
        "{} won, and dlrm was planted",
        end["winner"]
    );
    let message = end["decision"]["message"].as_str().unwrap_or_default();
    Ok(format!("{killed}; then {message}"))
}

async fn experiment() -> anyhow::Result<Value> {
    let pipeline = get(&["recommenderpipeline", NAME]).await?;
    let status = pipeline.pointer("/status/experiment").cloned();
    status.context("the status says nothing of the experiment")
}
