//! The analyzer's command against a real API server: from requests at a router's door to evidence in a ConfigMap.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use gondola_crds::RecommenderPipeline;
use gondola_crds::experiment_status::Phase;
use gondola_test_api_server::ApiServer;
use gondola_wire::evidence::{EVIDENCE_KEY, Evidence};
use gondola_wire::memory::{Ending, MEMORY_KEY, Memory};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, CustomResourceExt};
use serde_json::json;

use crate::recording::{Shop, routes};
use crate::watching::{NAMESPACE, apply};

const PATIENCE: Duration = Duration::from_secs(60);
const USERS: u64 = 200;

/// `gondola-router analyze` as a pod runs it; ends with this value.
struct AnalyzerPod(Child);

impl Drop for AnalyzerPod {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl AnalyzerPod {
    fn start(server: &ApiServer, store: &Path, folder: &Path) -> Self {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [{"name": "test", "user": {}}],
            "clusters": [{"name": "test", "cluster": {"server": server.url()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}],
        });
        std::fs::create_dir_all(folder).unwrap();
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_gondola-router"))
            .args(["analyze", "--pipeline", "grocery", "--listen", "127.0.0.1:0"])
            .args([
                "--evidence-config-map",
                "grocery-evidence",
                "--router-service",
                "grocery",
            ])
            .arg(format!("--events-url=file://{}", store.display()))
            .arg(format!("--events-folder={}", folder.join("work").display()))
            .env("KUBECONFIG", kubeconfig)
            .spawn();
        Self(command.unwrap())
    }
}

/// A pipeline whose experiment has begun, with the router at an address, that is analyzed so often.
async fn begun(client: &Client, address: &str, analysis: &str) -> anyhow::Result<()> {
    let variant = |name: &str| json!({"name": name, "scorer": format!("{name}@stable"), "weight": 1});
    let pipeline = json!({
        "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline", "metadata": {"name": "grocery"},
        "spec": {
            "artifacts": {"url": "s3://models/grocery"}, "features": {"bundle": "features@stable"},
            "retrieval": {"bundle": "two-tower@stable"}, "control": "forest", "variants": [variant("forest"), variant("dlrm")],
            "experiment": {
                "name": "dlrm-vs-forest", "control": "forest",
                "arms": [{"variant": "forest", "weight": 50}, {"variant": "dlrm", "weight": 50}],
                "metrics": {"success": [{"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1s"}]},
                "design": {"units": 1000}, "store": {"url": "s3://events"}, "unitKey": {"secretRef": {"name": "key"}},
                "cadence": {"flush": "1s", "lateness": "1s", "analysis": analysis, "look": "1s"},
            },
        },
    });
    apply::<RecommenderPipeline>(client, "grocery", pipeline).await?;
    let pipelines: Api<RecommenderPipeline> = Api::namespaced(client.clone(), NAMESPACE);
    let started = k8s_openapi::jiff::Timestamp::now().as_second();
    let started = k8s_openapi::jiff::Timestamp::from_second(started)?.to_string();
    let status = json!({"status": {"experiment": {
        "name": "dlrm-vs-forest", "phase": "Running", "epoch": 3, "startTime": started,
    }}});
    pipelines
        .patch_status("grocery", &PatchParams::default(), &Patch::Merge(&status))
        .await?;
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grocery-evidence"}});
    apply::<ConfigMap>(client, "grocery-evidence", config).await?;
    let port: u16 = address.rsplit(':').next().unwrap().parse()?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "grocery-1", "labels": {"kubernetes.io/service-name": "grocery"}},
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    });
    apply::<EndpointSlice>(client, "grocery-1", slice).await
}

/// Waits for evidence that a test likes.
async fn reported(client: &Client, likes: impl Fn(&Evidence) -> bool) -> anyhow::Result<Evidence> {
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let waiting = Instant::now();
    let mut last = None;
    while waiting.elapsed() < PATIENCE {
        let config = configs.get("grocery-evidence").await?;
        let text = config.data.and_then(|mut data| data.remove(EVIDENCE_KEY));
        last = text.map(|text| Evidence::parse(&text)).transpose()?;
        if let Some(found) = last.take_if(|found| likes(found)) {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the evidence did not become as it should: {last:?}")
}

fn counted(evidence: &Evidence) -> u64 {
    let looks = evidence.looks.iter();
    looks
        .flat_map(|look| look.metrics[0].iter())
        .map(|sums| sums.n)
        .sum()
}

fn conversions(evidence: &Evidence) -> u64 {
    let looks = evidence.looks.iter();
    looks
        .flat_map(|look| look.metrics[0].iter())
        .map(|sums| sums.nonzero)
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_saw_and_did_becomes_evidence_and_outlives_the_analyzer() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    server.install(RecommenderPipeline::crd()).await?;
    let client = server.client()?;
    let shop = Shop::with_both(&routes(10_000)).await;
    begun(&client, &shop.server.address, "1s").await?;
    let store = shop.folder.path().join("store");
    let first = AnalyzerPod::start(&server, &store, &shop.folder.path().join("first"));
    for user in 0..USERS {
        shop.recommend(&format!("user-{user}"), &[]).await;
        if user % 4 == 0 {
            let body = format!(r#"{{"outcomes": [{{"unit": "user-{user}", "type": "purchase"}}]}}"#);
            assert_eq!(shop.post(&body).await.status, 200);
        }
    }
    let evidence = reported(&client, |evidence| {
        counted(evidence) == USERS && conversions(evidence) == USERS / 4
    })
    .await?;
    assert_eq!(evidence.arms.iter().map(|arm| arm.units).sum::<u64>(), USERS);
    let requests =
        |evidence: &Evidence| -> u64 { evidence.operations.totals.iter().map(|arm| arm.requests).sum() };
    assert_eq!(requests(&evidence), USERS);
    assert_eq!(evidence.routers[0].revision, "abc");
    let results = evidence.results.clone().unwrap();
    let kept: Evidence = serde_json::from_slice(&std::fs::read(results.strip_prefix("file://").unwrap())?)?;
    assert_eq!(kept.looks, evidence.looks);

    // Another pod, on another node, after the first one was killed: nothing is lost, and nothing counted twice.
    drop(first);
    let _second = AnalyzerPod::start(&server, &store, &shop.folder.path().join("second"));
    shop.recommend("one-more", &[]).await;
    let found = reported(&client, |evidence| counted(evidence) == USERS + 1).await?;
    assert_eq!(conversions(&found), conversions(&evidence));
    assert!(requests(&found) <= USERS + 1, "{}", requests(&found));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_kept_in_the_store_when_it_is_decided_and_not_at_the_next_analysis() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    server.install(RecommenderPipeline::crd()).await?;
    let client = server.client()?;
    let shop = Shop::with_both(&routes(10_000)).await;
    begun(&client, &shop.server.address, "1h").await?;
    let store = shop.folder.path().join("store");
    let _analyzer = AnalyzerPod::start(&server, &store, &shop.folder.path().join("first"));
    reported(&client, |_| true).await?;
    let pipelines: Api<RecommenderPipeline> = Api::namespaced(client.clone(), NAMESPACE);
    // Such a status comes before its phase: users are routed so already, and the record is awaited.
    let status = json!({"status": {"observedGeneration": 1, "experiment": {"decision": {
        "verdict": "RolledBack", "reason": "GuardrailHarm", "message": "arm dlrm loses", "time": "2026-11-29T08:00:00Z",
    }}}});
    pipelines
        .patch_status("grocery", &PatchParams::default(), &Patch::Merge(&status))
        .await?;
    let decided = Instant::now();
    let memory = remembered(&client).await?;
    assert!(
        decided.elapsed() < Duration::from_secs(10),
        "{:?}",
        decided.elapsed()
    );
    let ending = memory.ending.unwrap();
    assert_eq!((ending.phase, ending.epoch), (Phase::RolledBack, 3));
    let file = store.join(format!("{NAMESPACE}/grocery/results/dlrm-vs-forest/ending.json"));
    let kept: Ending = serde_json::from_slice(&std::fs::read(file)?)?;
    assert_eq!(kept, ending);
    Ok(())
}

/// Waits for an end that the store has kept.
async fn remembered(client: &Client) -> anyhow::Result<Memory> {
    let configs: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let waiting = Instant::now();
    while waiting.elapsed() < PATIENCE {
        let config = configs.get("grocery-evidence").await?;
        let text = config.data.and_then(|mut data| data.remove(MEMORY_KEY));
        let memory: Option<Memory> = text.map(|text| serde_json::from_str(&text)).transpose()?;
        if let Some(memory) = memory.filter(|memory| memory.ending.is_some()) {
            return Ok(memory);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("no end was kept")
}
