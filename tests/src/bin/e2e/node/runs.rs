//! Programs that end: everybody's lists ahead of time, and training. Their pods are killed in mid-run, which costs time alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gondola_tests::http;
use serde_json::{Value, json};

use super::Shop;
use crate::kubectl::{apply, get, kubectl, run, until};
use crate::lists::{self, List};
use crate::manifest::{NAME, SECRET, small};

/// The folder that lists are written to.
const LISTS: &str = "s3://models/lists";
/// The store and the data of a training.
const FASHION: &str = "s3://models/fashion";
/// How long a run may take beside everything else.
const RUN_WITHIN: Duration = Duration::from_secs(420);
/// How many users' lists are held against live answers.
const COMPARED: usize = 200;

/// A job for lists of the example's pipeline.
fn lists_job(shop: &Shop, name: &str, spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommendationJob", "metadata": {"name": name},
        "spec": {
            "pipeline": NAME, "shards": 4, "parallelism": 2, "resources": small(),
            "output": {
                "url": LISTS, "endpoint": shop.arguments.endpoint, "credentials": {"secretRef": {"name": SECRET}},
            },
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field] = value.clone();
    }
    job
}

/// A variant's lists: one pod is killed, and they are what clients are answered.
pub(super) async fn lists_of_a_variant(shop: &mut Shop) -> anyhow::Result<String> {
    let started = Instant::now();
    apply(&lists_job(shop, "mails", json!({"variant": "forest", "k": 12}))).await?;
    let killed = kill_a_pod("recommendationjob.mails").await?;
    let run = complete("recommendationjob", "mails").await?;
    let folders = lists::batches(shop.bundles.open(LISTS)?).await?;
    ensure!(
        folders.len() == 1,
        "one run left {:?}",
        folders.keys().collect::<Vec<_>>()
    );
    let lists: Vec<List> = folders.into_values().flatten().collect();
    let compared = are_answers(shop, &lists, "forest").await?;
    kubectl(&["delete", "recommendationjob", "mails", "--wait=true"]).await?;
    gone("jobs", "recommendationjob.mails").await?;
    Ok(format!(
        "{} lists in {:.0} s ({} of {} shards), pod {killed} killed; {compared} are what clients are answered",
        lists.len(),
        started.elapsed().as_secs_f64(),
        run["status"]["run"]["progress"],
        4
    ))
}

/// Each user's own variant: every user once, and of the variant that routers send them to.
pub(super) async fn own_variants(shop: &mut Shop) -> anyhow::Result<String> {
    apply(&lists_job(shop, "own", json!({"shards": 2}))).await?;
    complete("recommendationjob", "own").await?;
    let mut folders = lists::batches(shop.bundles.open(LISTS)?).await?;
    folders.retain(|folder, _| folder.contains('/'));
    let variants: BTreeSet<&str> = folders
        .keys()
        .filter_map(|folder| folder.split('/').next())
        .collect();
    ensure!(
        variants == BTreeSet::from(["dlrm", "forest"]),
        "lists are of {variants:?}"
    );
    let mut seen = BTreeSet::new();
    let mut counts = BTreeMap::new();
    for (folder, lists) in &folders {
        let variant = folder.split('/').next().unwrap_or_default();
        counts.insert(variant, lists.len());
        for list in lists {
            ensure!(seen.insert(&list.user), "user {} has two lists", list.user);
        }
        are_answers(shop, lists, variant).await?;
    }
    kubectl(&["delete", "recommendationjob", "own", "--wait=true"]).await?;
    Ok(format!("{} users, each once: {counts:?}", seen.len()))
}

/// Whether what clients are answered now is what some of the lists say, by the same variant.
async fn are_answers(shop: &Shop, lists: &[List], variant: &str) -> anyhow::Result<usize> {
    let mut of_variant = 0;
    for list in lists.iter().step_by(lists.len().div_ceil(COMPARED).max(1)) {
        let path = format!("/v1/recommend?user={}&k=12", list.user);
        let answer = http::get(&shop.address, &path).await?.json()?;
        if answer["variant"] != variant {
            continue;
        }
        let items = answer["items"].as_array().into_iter().flatten();
        let items: Vec<&str> = items.filter_map(|found| found["item"].as_str()).collect();
        ensure!(
            items == list.items,
            "user {}: {items:?} live, {:?} ahead of time",
            list.user,
            list.items
        );
        of_variant += 1;
    }
    ensure!(of_variant > 0, "no user was answered by {variant}");
    Ok(of_variant)
}

/// A training whose pod is killed: it publishes, and the channel that serves takes the first bundles, and no others that are not better.
pub(super) async fn training(shop: &mut Shop) -> anyhow::Result<String> {
    upload(shop).await?;
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dataset"},
        "data": {"dataset.yaml": dataset()?.to_string()},
    });
    let mut training = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderTraining", "metadata": {"name": "weekly"},
        "spec": {
            "config": {"name": "dataset", "key": "dataset.yaml"},
            "data": {"url": format!("{FASHION}/sales")}, "encoder": {"url": format!("{FASHION}/encoder")},
            "artifacts": {
                "url": format!("{FASHION}/store"), "endpoint": shop.arguments.endpoint,
                "credentials": {"secretRef": {"name": SECRET}},
            },
            "promotion": {"channel": "stable", "metric": "nDCG"}, "testWindow": "AsConfigured",
            "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        },
    });
    apply(&training).await?;
    let missing = until(
        "the status names the ConfigMap that is missing",
        RUN_WITHIN,
        async || {
            let live = get(&["recommendertraining", "weekly"]).await?;
            let text = live["status"]["conditions"].to_string();
            Ok((text.contains("PodCannotStart") && text.contains("dataset"))
                .then_some(text.contains("not found")))
        },
    )
    .await?;
    ensure!(missing, "the status doesn't say that it was not found");
    apply(&config).await?;
    let killed = kill_a_pod("recommendertraining.weekly").await?;
    let first = message(&complete("recommendertraining", "weekly").await?);
    ensure!(first.contains("channel stable pointed to nothing"), "{first}");
    // The same data make the same models, which are no better.
    training["spec"]["channel"] = "next".into();
    apply(&training).await?;
    until("another run has begun", RUN_WITHIN, async || {
        let live = get(&["recommendertraining", "weekly"]).await?;
        let same = message(&live) == first;
        Ok((live["status"]["observedGeneration"] == live["metadata"]["generation"] && !same).then_some(()))
    })
    .await?;
    let second = message(&complete("recommendertraining", "weekly").await?);
    ensure!(second.contains("channel stable stays as it is"), "{second}");
    on_many_machines(&mut training).await?;
    kubectl(&["delete", "recommendertraining", "weekly", "--wait=true"]).await?;
    kubectl(&["delete", "configmap", "dataset"]).await?;
    Ok(format!("pod {killed} killed; {first}; then: {second}"))
}

/// The same training with its queries on executors, of which one is killed: the same versions come of it.
async fn on_many_machines(training: &mut Value) -> anyhow::Result<()> {
    let versions = |message: &str| message.split("; ").next().unwrap_or_default().to_owned();
    let before = versions(&message(&get(&["recommendertraining", "weekly"]).await?));
    training["spec"]["engine"] = json!({"ballista": {
        "executors": 2, "sharedFolder": {"url": format!("{FASHION}/runs")},
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    }});
    apply(training).await?;
    let selector = "gondola.dev/runs-of=recommendertraining.weekly,gondola.dev/beside";
    let executor = until("an executor is running", RUN_WITHIN, async || {
        let pods = get(&["pods", "--selector", selector]).await?;
        let pods = pods["items"].as_array().into_iter().flatten();
        let mut running = pods.filter(|pod| pod["status"]["phase"] == "Running");
        Ok(running.find_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)))
    })
    .await?;
    kubectl(&["delete", "pod", &executor, "--grace-period=0", "--force"]).await?;
    let after = versions(&message(&complete("recommendertraining", "weekly").await?));
    ensure!(before == after, "one machine {before}, many machines {after}");
    until("the executors are gone", RUN_WITHIN, async || {
        let left = get(&["pods", "--selector", selector]).await?;
        Ok(left["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await
}

fn message(object: &Value) -> String {
    object["status"]["run"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The H&M-like shop of the tests, and an encoder of a few kilobytes, where a training reads them.
async fn upload(shop: &Shop) -> anyhow::Result<()> {
    let store = shop.bundles.open(FASHION)?;
    for (folder, place) in [
        ("training/tests/fixtures/hm", "sales"),
        ("inference/models/tests/fixtures/clip", "encoder"),
    ] {
        lists::upload(&store, Path::new(folder), place).await?;
    }
    Ok(())
}

/// The example's configuration with what twenty items need.
fn dataset() -> anyhow::Result<Value> {
    let file = "examples/h-and-m/dataset.yaml";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    config["windows"]["training"] = 2.into();
    config["features"]["frequency_thresholds"] = json!({});
    config["training"]["scorers"] = json!(["forest", "dlrm", "wide_deep", "dcn", "mlp", "boosting"]);
    for trees in ["forest", "boosting"] {
        config["training"][trees] = json!({"leaf_pairs": 2});
    }
    let towers = &mut config["training"]["two_tower"];
    // Some ten seconds, so that a pod is killed before it is done, on a machine that does nothing else too.
    towers["epochs"] = 3000.into();
    for (field, value) in [
        ("index", json!("Flat")),
        ("nprobe", Value::Null),
        ("text_index", json!("Flat")),
        ("text_nprobe", Value::Null),
    ] {
        towers[field] = value;
    }
    Ok(config)
}

/// Kills a pod of some runs as soon as one runs; gives its name.
async fn kill_a_pod(runs_of: &str) -> anyhow::Result<String> {
    let selector = format!("gondola.dev/runs-of={runs_of}");
    let pod = until("a pod of the run is running", RUN_WITHIN, async || {
        let pods = get(&["pods", "--selector", &selector]).await?;
        let pods = pods["items"].as_array().into_iter().flatten();
        let mut running = pods.filter(|pod| pod["status"]["phase"] == "Running");
        Ok(running.find_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)))
    })
    .await?;
    kubectl(&["delete", "pod", &pod, "--grace-period=0", "--force"]).await?;
    Ok(pod)
}

/// Waits until the newest run gave what it should.
async fn complete(kind: &str, name: &str) -> anyhow::Result<Value> {
    let object = format!("{kind}/{name}");
    let waited = run(
        Path::new("kubectl"),
        &[
            "--namespace",
            crate::kubectl::NAMESPACE,
            "wait",
            "--for=condition=Complete",
            &format!("--timeout={}s", RUN_WITHIN.as_secs()),
            &object,
        ],
        "",
    )
    .await;
    let live = get(&[&object]).await?;
    waited.with_context(|| live["status"].to_string())?;
    Ok(live)
}

/// Waits until objects of some runs are gone with the one that asked for them.
async fn gone(kind: &str, runs_of: &str) -> anyhow::Result<()> {
    let selector = format!("gondola.dev/runs-of={runs_of}");
    until("its Jobs are gone", RUN_WITHIN, async || {
        let left = get(&[kind, "--selector", &selector]).await?;
        Ok(left["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await
}
