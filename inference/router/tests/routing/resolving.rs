//! The resolver: its command against a real API server and a real store, and stores that fail.

#[path = "../../../../artifacts/tests/guarded_store/mod.rs"]
mod guarded_store;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use gondola_artifacts::{
    Access, BundleDescription, Contract, Digest, Kind, Metric, Store, publish, set_channel,
};
use gondola_crds::RecommenderPipeline;
use gondola_crds::spec::RecommenderPipelineSpec;
use gondola_router::resolver::resolve;
use gondola_test_api_server::ApiServer;
use gondola_wire::resolution::{REPORT_KEY, Refusal, RefusalReason, Resolution, VariantResolution};
use guarded_store::guarded_store;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, CustomResourceExt};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes a bundle with the contract that a set of one workflow has; gives its version.
async fn put(store: &Store, name: &str, kind: Kind, workflow: &str, content: &str) -> String {
    put_file(store, name, kind, workflow, ("file", content)).await
}

/// The same, with a file of a name.
async fn put_file(
    store: &Store,
    name: &str,
    kind: Kind,
    workflow: &str,
    (file, content): (&str, &str),
) -> String {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), content).unwrap();
    let space = kind == Kind::Retrieval;
    let contract = Contract {
        workflow: Some(Digest::of(workflow.as_bytes())),
        embedding_space: space.then(|| "space".to_owned()),
        dimension: space.then_some(64),
        metric: space.then_some(Metric::InnerProduct),
        inputs: (kind == Kind::Scorer).then(|| vec!["user.age".to_owned()]),
        sources: Vec::new(),
    };
    let description = BundleDescription {
        name: name.to_owned(),
        kind,
        contract,
    };
    let published = publish(store, folder.path(), &description).await.unwrap();
    set_channel(store, name, "stable", &published.version)
        .await
        .unwrap();
    published.version
}

fn spec(artifacts: Value) -> Value {
    json!({
        "artifacts": artifacts,
        "features": {"bundle": "features@stable"},
        "retrieval": {"bundle": "two-tower@stable"},
        "variants": [{"name": "dlrm", "scorer": "dlrm@stable", "weight": 1}],
    })
}

/// `gondola-router resolve` as a pod runs it; ends with this value.
struct Resolver(Child);

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Resolver {
    fn start(server: &ApiServer, folder: &Path) -> Self {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "users": [{"name": "test", "user": {}}],
            "clusters": [{"name": "test", "cluster": {"server": server.url()}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
        });
        let kubeconfig = folder.join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let command = Command::new(env!("CARGO_BIN_EXE_gondola-router"))
            .args([
                "resolve",
                "--pipeline",
                "grocery",
                "--report-config-map",
                "grocery-resolution",
            ])
            .args(["--listen", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .spawn();
        Self(command.unwrap())
    }
}

/// Waits for a report that a test likes.
async fn reported(client: &Client, likes: impl Fn(&Resolution) -> bool) -> anyhow::Result<Resolution> {
    let reports: Api<ConfigMap> = Api::namespaced(client.clone(), "shop");
    let started = Instant::now();
    let mut last = None;
    while started.elapsed() < PATIENCE {
        let config = reports.get_opt("grocery-resolution").await?;
        let text = config.and_then(|config| config.data?.remove(REPORT_KEY));
        last = text
            .map(|text| serde_json::from_str::<Resolution>(&text))
            .transpose()?;
        if let Some(found) = last.take_if(|found| likes(found)) {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the report did not become as it should: {last:?}")
}

fn version(resolution: &Resolution) -> Option<&str> {
    match resolution.variants.get("dlrm")? {
        VariantResolution::Resolved(bundles) => Some(&bundles.scorer.version),
        VariantResolution::Refused(_) => None,
    }
}

fn refusal(resolution: &Resolution) -> Option<&Refusal> {
    match resolution.variants.get("dlrm")? {
        VariantResolution::Resolved(_) => None,
        VariantResolution::Refused(refusal) => Some(refusal),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_follows_the_store_and_the_spec() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    server.install(RecommenderPipeline::crd()).await?;
    let client = server.client()?;
    let folder = tempfile::tempdir()?;
    let url = format!("file://{}", folder.path().join("store").display());
    let store = Store::open(&url)?;
    let pipelines: Api<RecommenderPipeline> = Api::namespaced(client.clone(), "shop");
    let apply = async |scorer: &str| {
        let mut pipeline = json!({
            "apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline", "metadata": {"name": "grocery"},
            "spec": spec(json!({"url": url, "volumeClaim": {"name": "models"}, "pollInterval": "5s"})),
        });
        pipeline["spec"]["variants"][0]["scorer"] = scorer.into();
        let parameters = PatchParams::apply("user").force();
        pipelines
            .patch("grocery", &parameters, &Patch::Apply(&pipeline))
            .await
    };
    apply("dlrm@stable").await?;
    let _resolver = Resolver::start(&server, folder.path());

    let empty = reported(&client, |found| refusal(found).is_some()).await?;
    assert_eq!(refusal(&empty).unwrap().reason, RefusalReason::BundleNotFound);
    put(&store, "features", Kind::Features, "a", "features").await;
    put(&store, "two-tower", Kind::Retrieval, "a", "towers").await;
    let first = put(&store, "dlrm", Kind::Scorer, "a", "first").await;
    reported(&client, |found| version(found) == Some(&first)).await?;
    // The channel moves: nobody touches the pipeline.
    let second = put(&store, "dlrm", Kind::Scorer, "a", "second").await;
    let found = reported(&client, |found| version(found) == Some(&second)).await?;
    assert_eq!(found.generation, 1);
    // The spec pins what it had.
    apply(&format!("dlrm/{first}")).await?;
    let found = reported(&client, |found| version(found) == Some(&first)).await?;
    assert_eq!(found.generation, 2);
    // What is reported already is not reported again.
    server.traffic().forget();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(server.traffic().writes(), []);
    Ok(())
}

/// A mounted Secret with some keys.
fn secret(keys: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in keys {
        std::fs::write(folder.path().join(name), value).unwrap();
    }
    folder
}

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "old"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", "here"),
];

async fn look(credentials: &Path, endpoint: &str) -> Refusal {
    let spec: RecommenderPipelineSpec =
        serde_json::from_value(spec(json!({"url": "s3://models/grocery"}))).unwrap();
    let access = Access {
        credentials: Some(credentials.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        ..Access::default()
    };
    let found = resolve(&spec, 1, &access, Duration::from_secs(2)).await;
    refusal(&found).expect("no store here has anything").clone()
}

#[track_caller]
fn check(found: &Refusal, reason: RefusalReason, part: &str) {
    assert_eq!(found.reason, reason, "{}", found.message);
    assert!(found.message.contains(part), "{}", found.message);
}

#[tokio::test]
async fn a_store_that_refuses_fails_or_does_not_answer_is_named() {
    let keys = secret(&KEYS);
    for (status, reason, part) in [
        (
            Some(StatusCode::FORBIDDEN),
            RefusalReason::AccessDenied,
            "s3://models/grocery",
        ),
        (
            Some(StatusCode::INTERNAL_SERVER_ERROR),
            RefusalReason::StoreUnavailable,
            "500 Internal Server Error",
        ),
        (None, RefusalReason::StoreUnavailable, "within 2s"),
    ] {
        check(
            &look(keys.path(), &guarded_store(status, "nobody").await).await,
            reason,
            part,
        );
    }
    // Nobody listens there.
    let found = look(keys.path(), "http://127.0.0.1:1").await;
    check(&found, RefusalReason::StoreUnavailable, "s3://models/grocery");
}

#[tokio::test]
async fn a_secret_that_is_missing_or_lacks_a_key_is_named() {
    let endpoint = guarded_store(Some(StatusCode::FORBIDDEN), "nobody").await;
    let missing = secret(&[]);
    check(
        &look(missing.path(), &endpoint).await,
        RefusalReason::AccessDenied,
        "create the Secret",
    );
    let half = secret(&KEYS[..1]);
    let found = look(half.path(), &endpoint).await;
    assert!(found.message.contains("SecretAccessKey"), "{}", found.message);
}

#[tokio::test]
async fn credentials_that_are_changed_are_taken_up_without_a_restart() {
    let endpoint = guarded_store(Some(StatusCode::FORBIDDEN), "new").await;
    let keys = secret(&KEYS);
    check(
        &look(keys.path(), &endpoint).await,
        RefusalReason::AccessDenied,
        "s3://models",
    );
    std::fs::write(keys.path().join("AWS_ACCESS_KEY_ID"), "new").unwrap();
    check(
        &look(keys.path(), &endpoint).await,
        RefusalReason::BundleNotFound,
        "features",
    );
}

/// A spec with a variant that may fail beside the other.
fn two_variants(url: &str) -> RecommenderPipelineSpec {
    let mut spec = spec(json!({"url": url}));
    spec["variants"] = json!([
        {"name": "dlrm", "scorer": "dlrm@stable", "weight": 50},
        {"name": "forest", "scorer": "forest@stable", "weight": 50},
    ]);
    serde_json::from_value(spec).unwrap()
}

fn reason(resolution: &Resolution, variant: &str) -> Option<RefusalReason> {
    match &resolution.variants[variant] {
        VariantResolution::Resolved(_) => None,
        VariantResolution::Refused(refusal) => Some(refusal.reason),
    }
}

#[tokio::test]
async fn a_scorer_is_refused_where_a_source_that_it_reads_is_not_among_those_of_the_pipeline() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = Store::open(&url).unwrap();
    put(&store, "features", Kind::Features, "a", "features").await;
    put(&store, "two-tower", Kind::Retrieval, "a", "towers").await;
    put(&store, "ease", Kind::Source, "a", "ease").await;
    let stacked = tempfile::tempdir().unwrap();
    std::fs::write(stacked.path().join("file"), "dlrm").unwrap();
    let description = BundleDescription {
        name: "dlrm".to_owned(),
        kind: Kind::Scorer,
        contract: Contract {
            workflow: Some(Digest::of(b"a")),
            inputs: Some(vec!["user.age".to_owned()]),
            sources: vec!["ease".to_owned()],
            ..Contract::default()
        },
    };
    let published = publish(&store, stacked.path(), &description).await.unwrap();
    set_channel(&store, "dlrm", "stable", &published.version)
        .await
        .unwrap();

    let mut spec = spec(json!({"url": url}));
    let look = async |spec: &Value| {
        let spec: RecommenderPipelineSpec = serde_json::from_value(spec.clone()).unwrap();
        resolve(&spec, 1, &Access::default(), PATIENCE).await
    };
    let found = look(&spec).await;
    let VariantResolution::Refused(Refusal { reason, message }) = &found.variants["dlrm"] else {
        panic!("{found:?}")
    };
    assert_eq!(*reason, RefusalReason::ContractMismatch);
    assert_eq!(
        message,
        "dlrm@stable takes what the trained source \"ease\" says, but there is none; add a trained source of that name, or take a scorer that was trained without it"
    );
    let trained = json!({"name": "ease", "bundle": "ease@stable", "candidates": 0});
    spec["retrieval"]["sources"] = json!({"trained": [trained]});
    let found = look(&spec).await;
    assert!(
        matches!(found.variants["dlrm"], VariantResolution::Resolved(_)),
        "{found:?}"
    );
}

#[tokio::test]
async fn each_variant_is_judged_alone_and_taken_up_when_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let store = Store::open(&url).unwrap();
    let look = async || resolve(&two_variants(&url), 7, &Access::default(), PATIENCE).await;
    assert_eq!(reason(&look().await, "dlrm"), Some(RefusalReason::BundleNotFound));

    put(&store, "features", Kind::Features, "a", "features").await;
    put(&store, "two-tower", Kind::Retrieval, "a", "towers").await;
    put(&store, "dlrm", Kind::Scorer, "a", "dlrm").await;
    put(&store, "forest", Kind::Scorer, "b", "forest").await;
    let found = look().await;
    assert_eq!((found.generation, reason(&found, "dlrm")), (7, None));
    assert_eq!(reason(&found, "forest"), Some(RefusalReason::ContractMismatch));

    put(&store, "forest", Kind::Scorer, "a", "forest").await;
    let mended = look().await;
    assert_eq!(reason(&mended, "forest"), None);
    let VariantResolution::Resolved(bundles) = &mended.variants["forest"] else {
        panic!("it was resolved");
    };
    assert_eq!(bundles.scorer.name, "forest");
    assert!(
        bundles.scorer.digest.starts_with("sha256:"),
        "{}",
        bundles.scorer.digest
    );
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_or_asked_is_distinguished_from_one_that_lacks_something() {
    let found = resolve(&two_variants("ftp://models"), 1, &Access::default(), PATIENCE).await;
    assert_eq!(reason(&found, "dlrm"), Some(RefusalReason::InvalidStore));
    let access = Access {
        credentials: Some("/does/not/exist".into()),
        ..Access::default()
    };
    let found = resolve(&two_variants("s3://models/x"), 1, &access, PATIENCE).await;
    assert_eq!(reason(&found, "dlrm"), Some(RefusalReason::AccessDenied));
}

/// Publishes a features bundle with this workflow.
async fn put_workflow(store: &Store, workflow: &Value) {
    let file = ("workflow.json", &*workflow.to_string());
    put_file(store, "features", Kind::Features, "a", file).await;
}

/// What Feast's registry of `gondola-feast`'s samples has, and a workflow that reads these columns of users and items.
async fn shop_with_feast(folder: &Path, items: &str) -> (Store, String) {
    let url = format!("file://{}", folder.display());
    let store = Store::open(&url).unwrap();
    let registry = concat!(env!("CARGO_MANIFEST_DIR"), "/../feast/tests/samples/registry.pb");
    std::fs::copy(registry, folder.join("registry.pb")).unwrap();
    let workflow = json!({
        "user": {"categorical": ["club"], "numeric": [{"column": "age"}]},
        "item": {"categorical": [items], "numeric": [{"column": "price"}]},
    });
    put_workflow(&store, &workflow).await;
    put(&store, "two-tower", Kind::Retrieval, "a", "towers").await;
    put(&store, "dlrm", Kind::Scorer, "a", "dlrm").await;
    (store, url)
}

/// What is refused where the pipeline's features are in these views.
async fn refused_by_feast(url: &str, feast: Value) -> Option<Refusal> {
    let mut spec = spec(json!({"url": url}));
    spec["features"]["online"] = json!({"redis": {"secretRef": {"name": "shop-redis"}}, "feast": feast});
    let spec: RecommenderPipelineSpec = serde_json::from_value(spec).unwrap();
    let found = resolve(&spec, 1, &Access::default(), PATIENCE).await;
    refusal(&found).cloned()
}

#[tokio::test]
async fn views_of_feast_that_do_not_fit_a_bundle_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (store, url) = shop_with_feast(folder.path(), "group").await;
    let views = |users: &str, items: &str, project: &str| {
        json!({
            "registry": format!("{url}/registry.pb"), "project": project,
            "users": {"views": [users]}, "items": {"views": [items]},
        })
    };
    let fitting = views("customer_features", "article_features", "shop");
    assert_eq!(refused_by_feast(&url, fitting.clone()).await, None);
    for (feast, parts) in [
        (
            views("customer_features", "article_features", "web"),
            ["the registry has no project web; it has shop", ""],
        ),
        (
            views("customer_features", "cust_article", "shop"),
            ["the feature views of items can't be used", "needs one alone"],
        ),
        (
            views("article_features", "article_features", "shop"),
            [
                "the feature views of users are not what features/",
                "column age, of which the bundle has numbers",
            ],
        ),
        (
            views("customer_features", "customer_features", "shop"),
            [
                "the feature views of items are not what features/",
                "column group, of which the bundle has texts",
            ],
        ),
    ] {
        let refusal = refused_by_feast(&url, feast).await.unwrap();
        assert_eq!(refusal.reason, RefusalReason::ContractMismatch, "{refusal:?}");
        assert!(
            parts.iter().all(|part| refusal.message.contains(part)),
            "{parts:?}: {refusal:?}"
        );
    }
    let elsewhere = json!({"registry": format!("{url}/registry.db"), "project": "shop",
        "items": {"views": ["article_features"]}});
    let refusal = refused_by_feast(&url, elsewhere).await.unwrap();
    assert_eq!(refusal.reason, RefusalReason::BundleNotFound, "{refusal:?}");

    // A type that differs: numbers in the bundle, texts in Feast.
    let workflow = json!({"user": {"categorical": [], "numeric": []},
        "item": {"categorical": [], "numeric": [{"column": "group"}]}});
    put_workflow(&store, &workflow).await;
    let refusal = refused_by_feast(&url, fitting).await.unwrap();
    let wanted = "column group has numbers in the bundle and STRING in feature view article_features";
    assert!(refusal.message.contains(wanted), "{refusal:?}");
}
