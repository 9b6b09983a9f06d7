//! Processes that neither answer nor go away, as on a node that is lost without a word.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gondola_tests::http;

use super::Shop;
use crate::kubectl::{PATIENCE, apply, ready, ready_pods, until};
use crate::manifest;
use crate::processes::{Frozen, Process};

/// What runs in the pods of a component.
fn program(component: &str) -> &'static str {
    match component {
        "router" => "gondola-router",
        _ => "gondola-inference",
    }
}

/// Until the readiness of a pod that hangs is taken back, and some.
const HANGS_FOR: Duration = Duration::from_secs(12);

/// The example with the deadline that whoever leaves it out gets.
async fn take_the_default(shop: &Shop) -> anyhow::Result<()> {
    let mut manifest = shop.manifest.clone();
    manifest::remove(&mut manifest["spec"]["router"], "deadlineMilliseconds");
    apply(&manifest).await?;
    ready().await
}

async fn freeze(variant: &str, pods: usize) -> anyhow::Result<Vec<Frozen>> {
    let mut frozen = Vec::new();
    for pod in ready_pods(variant).await?.values().take(pods) {
        frozen.push(Process::of_pod(&pod.uid, program(variant))?.freeze().await?);
    }
    ensure!(frozen.len() == pods, "there are not {pods} pods of {variant}");
    Ok(frozen)
}

/// Nothing answers, so that what ends a request is its deadline: 200 ms.
pub(super) async fn default_deadline(shop: &mut Shop) -> anyhow::Result<String> {
    take_the_default(shop).await?;
    shop.send_clients_home().await;
    let _dlrm = freeze("dlrm", 2).await?;
    let _forest = freeze("forest", 2).await?;
    let asked = Instant::now();
    let answer = http::get(&shop.address, "/v1/recommend?user=1&k=12").await;
    let took = asked.elapsed();
    let answer = answer.context("the router itself does not answer")?;
    ensure!(
        took < Duration::from_millis(700),
        "an answer ({}) took {took:.1?}",
        answer.status
    );
    Ok(format!(
        "status {} after {took:.0?} with every variant hanging",
        answer.status
    ))
}

/// A crash of a router: nobody can answer in its place what it was asked.
pub(super) async fn killed_router(_: &mut Shop) -> anyhow::Result<String> {
    kill("router").await
}

/// A crash of a variant's pod: the router asks another one.
pub(super) async fn killed_variant(_: &mut Shop) -> anyhow::Result<String> {
    kill("dlrm").await
}

async fn kill(component: &str) -> anyhow::Result<String> {
    let pods = ready_pods(component).await?;
    let (name, pod) = pods.iter().next().context("no pod is ready")?;
    Process::of_pod(&pod.uid, program(component))?.kill().await?;
    until("it is seen to be gone", PATIENCE, async || {
        Ok((!ready_pods(component).await?.contains_key(name)).then_some(()))
    })
    .await?;
    until("it is back", PATIENCE, async || {
        Ok((ready_pods(component).await?.len() == pods.len()).then_some(()))
    })
    .await?;
    Ok(format!("{name} was started again"))
}

/// The other pod of the variant answers in its place, within the deadline.
pub(super) async fn one_process(shop: &mut Shop) -> anyhow::Result<String> {
    take_the_default(shop).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let frozen = freeze("dlrm", 1).await?;
    tokio::time::sleep(HANGS_FOR).await;
    frozen.into_iter().for_each(Frozen::thaw);
    Ok(format!("it hung for {HANGS_FOR:?}"))
}
