//! The API server, its proxy and what a test can do with them, against the real thing.

use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gondola_test_api_server::{Action, ApiServer, Fault};
use hyper::{Method, StatusCode};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config, Error, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

const NAMESPACE: &str = "shop";
/// Longer than anything here takes, even beside a build.
const BOUND: Duration = Duration::from_secs(30);

fn config_maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn pipelines(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gondola.dev", "v1alpha1", "RecommenderPipeline");
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&kind))
}

async fn install_pipelines(server: &ApiServer) -> anyhow::Result<()> {
    let definition = include_str!("../../../crds/recommenderpipelines.yaml");
    server
        .install(serde_saphyr::from_str::<CustomResourceDefinition>(definition)?)
        .await
}

fn pipeline(name: &str, weights: [u32; 2]) -> anyhow::Result<DynamicObject> {
    let example = include_str!("../../../examples/complete-journey/pipeline.yaml");
    let mut pipeline: Value = serde_saphyr::from_str(example)?;
    pipeline["metadata"]["name"] = name.into();
    for (variant, weight) in weights.into_iter().enumerate() {
        pipeline["spec"]["variants"][variant]["weight"] = weight.into();
    }
    Ok(serde_json::from_value(pipeline)?)
}

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}})
}

fn new_config_map(name: &str) -> anyhow::Result<ConfigMap> {
    Ok(serde_json::from_value(config_map(name, "first"))?)
}

#[track_caller]
fn refused(result: Result<impl std::fmt::Debug, Error>) -> kube::core::Status {
    match result {
        Err(Error::Api(status)) => *status,
        other => panic!("the server should have refused it: {other:?}"),
    }
}

#[tokio::test]
async fn a_good_pipeline_is_accepted_and_a_bad_one_refused_with_the_rule_that_it_breaks() -> anyhow::Result<()>
{
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    install_pipelines(&server).await?;
    let pipelines = pipelines(&server.client()?);

    let good = pipelines
        .create(&PostParams::default(), &pipeline("good", [50, 50])?)
        .await?;
    assert_eq!(good.metadata.generation, Some(1));

    let refusal = refused(
        pipelines
            .create(&PostParams::default(), &pipeline("bad", [0, 0])?)
            .await,
    );
    assert_eq!(refusal.code, 422);
    assert!(
        refusal.message.contains("no variant has a weight above 0"),
        "{}",
        refusal.message
    );
    Ok(())
}

#[tokio::test]
async fn the_status_of_a_pipeline_is_a_subresource() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    install_pipelines(&server).await?;
    let pipelines = pipelines(&server.client()?);
    pipelines
        .create(&PostParams::default(), &pipeline("good", [50, 50])?)
        .await?;
    let status = json!({"apiVersion": "gondola.dev/v1alpha1", "kind": "RecommenderPipeline",
        "status": {"traffic": "dlrm 50%"}});
    let manager = PatchParams::apply("gondola").force();
    let written = pipelines
        .patch_status("good", &manager, &Patch::Apply(&status))
        .await?;
    assert_eq!(
        (
            written.data["status"]["traffic"].as_str(),
            written.metadata.generation
        ),
        (Some("dlrm 50%"), Some(1))
    );
    Ok(())
}

#[tokio::test]
async fn server_side_apply_of_renamed_kinds_conflicts_as_in_a_cluster() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let client = server.client()?;
    let (ours, theirs) = (PatchParams::apply("gondola"), PatchParams::apply("somebody"));

    let maps = config_maps(&client);
    let applied = maps
        .patch("settings", &ours, &Patch::Apply(config_map("settings", "ours")))
        .await?;
    let fields = &applied.managed_fields()[0];
    assert_eq!(
        (
            fields.manager.as_deref(),
            fields.api_version.as_deref(),
            fields.operation.as_deref()
        ),
        (Some("gondola"), Some("v1"), Some("Apply"))
    );
    let again = maps
        .patch("settings", &ours, &Patch::Apply(config_map("settings", "ours")))
        .await?;
    assert_eq!(
        again.resource_version(),
        applied.resource_version(),
        "what changes nothing writes nothing"
    );
    let conflict = refused(
        maps.patch(
            "settings",
            &theirs,
            &Patch::Apply(config_map("settings", "theirs")),
        )
        .await,
    );
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert!(
        conflict.message.contains("conflict with \"gondola\": .data.key"),
        "{}",
        conflict.message
    );

    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployment = |replicas: u32| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "router"}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "router"}},
            "template": {"metadata": {"labels": {"app": "router"}}, "spec": {"containers": [{"name": "router"}]}},
        }})
    };
    deployments
        .patch("router", &ours, &Patch::Apply(deployment(2)))
        .await?;
    let conflict = refused(
        deployments
            .patch("router", &theirs, &Patch::Apply(deployment(3)))
            .await,
    );
    assert!(
        conflict.message.contains(".spec.replicas"),
        "{}",
        conflict.message
    );
    let taken = deployments
        .patch("router", &theirs.force(), &Patch::Apply(deployment(3)))
        .await?;
    assert_eq!(taken.spec.replicas, Some(3));

    let missing = refused(deployments.get("nobody").await);
    assert_eq!(
        (missing.code, missing.message.as_str()),
        (404, "deployments.apps \"nobody\" not found")
    );
    let raced = refused(
        maps.replace("settings", &PostParams::default(), &stale(&applied))
            .await,
    );
    assert_eq!((raced.code, raced.reason.as_str()), (409, "Conflict"));
    Ok(())
}

/// The same object, as somebody read it who missed a change.
fn stale(config_map: &ConfigMap) -> ConfigMap {
    let mut config_map = config_map.clone();
    config_map.metadata.resource_version = Some("1".to_owned());
    config_map
}

#[tokio::test]
async fn what_others_added_to_a_list_with_keys_stays() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let deployments: Api<Deployment> = Api::namespaced(server.client()?, NAMESPACE);
    let deployment = |variables: Value, ports: Value| {
        Patch::Apply(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "router"}, "spec": {
                "selector": {"matchLabels": {"app": "router"}},
                "template": {"spec": {"containers": [{"name": "router", "env": variables, "ports": ports}]}},
            }}),
        )
    };
    let (ours, theirs) = (
        PatchParams::apply("gondola").force(),
        PatchParams::apply("somebody"),
    );
    let mine = deployment(
        json!([{"name": "OURS", "value": "1"}]),
        json!([{"containerPort": 8080}]),
    );
    let foreign = deployment(json!([{"name": "THEIRS", "value": "2"}]), json!([]));
    deployments.patch("router", &ours, &mine).await?;
    deployments.patch("router", &theirs, &foreign).await?;
    let found = deployments.patch("router", &ours, &mine).await?;
    let container = found.spec.template.spec.context("a pod")?.containers.remove(0);
    let names: Vec<_> = container
        .env
        .iter()
        .flatten()
        .map(|variable| variable.name.as_str())
        .collect();
    assert_eq!(names, ["OURS", "THEIRS"]);
    assert_eq!(
        container.ports.context("ports")?[0].protocol.as_deref(),
        Some("TCP")
    );
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_changes_is_held_and_is_ended() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let maps = config_maps(&server.client()?);
    let start = maps
        .list(&Default::default())
        .await?
        .metadata
        .resource_version
        .context("lists have a version")?;
    let mut watch = maps.watch(&WatchParams::default(), &start).await?.boxed();

    maps.create(&PostParams::default(), &new_config_map("a")?).await?;
    let told = timeout(BOUND, watch.try_next()).await??;
    assert!(
        matches!(&told, Some(WatchEvent::Added(map)) if map.name_any() == "a"),
        "{told:?}"
    );

    server.traffic().hold_watches();
    maps.delete("a", &DeleteParams::default()).await?;
    assert!(
        timeout(Duration::from_millis(300), watch.try_next())
            .await
            .is_err(),
        "nothing is told while it is held"
    );
    server.traffic().release_watches();
    let told = timeout(BOUND, watch.try_next()).await??;
    assert!(matches!(told, Some(WatchEvent::Deleted(_))), "{told:?}");

    server.traffic().end_watches();
    assert!(timeout(BOUND, watch.try_next()).await??.is_none());
    Ok(())
}

#[tokio::test]
async fn requests_are_recorded_with_who_made_them() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let mut config = server.config()?;
    config
        .headers
        .push(("user-agent".parse()?, "gondola-operator".parse()?));
    let maps = config_maps(&Client::try_from(config)?);
    let _ = maps.get("nothing").await;
    maps.create(&PostParams::default(), &new_config_map("a")?).await?;

    let seen = server.traffic().seen();
    let read = &seen[0];
    assert_eq!(read.request.path, "/api/v1/namespaces/shop/configmaps/nothing");
    assert_eq!(read.request.user_agent.as_deref(), Some("gondola-operator"));
    assert_eq!(read.status, Some(StatusCode::NOT_FOUND));
    let writes = server.traffic().writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        (&writes[0].request.method, writes[0].status),
        (&Method::POST, Some(StatusCode::CREATED))
    );
    server.traffic().forget();
    assert!(server.traffic().seen().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_kth_write_is_cut_before_or_after_it_is_done() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let (maps, traffic) = (config_maps(&server.client()?), server.traffic());
    let create =
        async |name: &str| anyhow::Ok(maps.create(&PostParams::default(), &new_config_map(name)?).await);

    let mut second = traffic.inject(Fault::on_write(Action::CutBefore).nth(2));
    create("a").await??;
    assert!(!second.has_fired());
    create("b").await?.expect_err("the second write is cut");
    assert_eq!(timeout(BOUND, second.fired()).await?.method, Method::POST);
    assert!(maps.get_opt("b").await?.is_none(), "the server did not see it");
    create("c").await??;

    let mut next = traffic.inject(Fault::on_write(Action::CutAfter));
    create("d").await?.expect_err("its answer is cut");
    timeout(BOUND, next.fired()).await?;
    assert!(maps.get_opt("d").await?.is_some(), "the server did it");
    assert_eq!(traffic.writes().last().context("it was recorded")?.status, None);

    let mut last = traffic.inject(Fault::on_write(Action::UnplugAfter));
    create("e").await?.expect_err("its answer is cut");
    timeout(BOUND, last.fired()).await?;
    create("f").await?.expect_err("nothing gets through any more");
    maps.get("e").await.expect_err("nor is anything read");
    traffic.plug_in();
    assert!(maps.get_opt("e").await?.is_some());
    assert!(maps.get_opt("f").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn matching_requests_are_refused_as_often_as_told() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let client = server.client()?;
    let (maps, traffic) = (config_maps(&client), server.traffic());

    for status in [
        StatusCode::FORBIDDEN,
        StatusCode::CONFLICT,
        StatusCode::INTERNAL_SERVER_ERROR,
    ] {
        traffic.inject(Fault::on(Action::Answer(status), |request| {
            request.path.contains("/configmaps")
        }));
        assert_eq!(
            refused(maps.list(&Default::default()).await).code,
            status.as_u16()
        );
        maps.list(&Default::default()).await?;
    }
    // kube-rs's client tries these again by itself.
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
        traffic.forget();
        traffic.inject(Fault::on(Action::Answer(status), |_| true).times(1));
        maps.list(&Default::default()).await?;
        let told: Vec<_> = traffic.seen().iter().map(|seen| seen.status).collect();
        assert_eq!(told, [Some(status), Some(StatusCode::OK)]);
    }
    traffic.inject(Fault::on(Action::Answer(StatusCode::FORBIDDEN), |_| true).always());
    for _ in 0..3 {
        assert_eq!(refused(maps.get("a").await).reason, "Forbidden");
    }
    traffic.heal();
    traffic.unplug();
    maps.get("a").await.expect_err("nothing gets through");
    traffic.plug_in();
    assert_eq!(refused(maps.get("a").await).code, 404);
    Ok(())
}

#[tokio::test]
async fn what_lost_its_owner_is_collected_and_nothing_else() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    install_pipelines(&server).await?;
    let client = server.client()?;
    let (pipelines, maps) = (pipelines(&client), config_maps(&client));
    let owner = pipelines
        .create(&PostParams::default(), &pipeline("owner", [50, 50])?)
        .await?;
    let owned_by = |name: &str, api_version: &str, kind: &str, owner_name: &str, uid: Option<String>| {
        let mut map = config_map(name, "");
        map["metadata"]["ownerReferences"] = json!([
            {"apiVersion": api_version, "kind": kind, "name": owner_name, "uid": uid, "controller": true}
        ]);
        serde_json::from_value::<ConfigMap>(map)
    };
    let child = owned_by(
        "child",
        "gondola.dev/v1alpha1",
        "RecommenderPipeline",
        "owner",
        owner.uid(),
    )?;
    let child = maps.create(&PostParams::default(), &child).await?;
    let grandchild = owned_by("grandchild", "v1", "ConfigMap", "child", child.uid())?;
    maps.create(&PostParams::default(), &grandchild).await?;
    maps.create(&PostParams::default(), &new_config_map("nobodys")?)
        .await?;
    assert!(server.collect_garbage().await?.is_empty());

    pipelines.delete("owner", &DeleteParams::foreground()).await?;
    assert!(
        pipelines.get_opt("owner").await?.is_some(),
        "it waits for its dependents"
    );
    let collected = server.collect_garbage().await?;
    assert_eq!(
        collected,
        [
            "ConfigMap shop/child",
            "ConfigMap shop/grandchild",
            "RecommenderPipeline shop/owner"
        ]
    );
    assert!(pipelines.get_opt("owner").await?.is_none());
    assert!(maps.get_opt("nobodys").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn an_operator_finds_the_kinds_and_the_version_and_nothing_is_left_behind() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let client = server.client()?;
    assert_eq!(client.apiserver_version().await?.major, "1");
    let core = client.list_core_api_resources("v1").await?;
    assert_eq!(core.group_version, "v1");
    assert!(core.resources.iter().any(|resource| resource.kind == "ConfigMap"));

    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let lease =
        json!({"metadata": {"name": "operator"}, "spec": {"holderIdentity": "a", "leaseTransitions": 1}});
    leases
        .create(&PostParams::default(), &serde_json::from_value(lease)?)
        .await?;
    let beside = Kubeconfig::read_from(server.kubeconfig(NAMESPACE)?)?;
    let beside = Config::from_custom_kubeconfig(beside, &KubeConfigOptions::default()).await?;
    let leases: Api<Lease> = Api::default_namespaced(Client::try_from(beside)?);
    assert_eq!(leases.list(&Default::default()).await?.items.len(), 1);

    let (folder, url) = (server.folder().to_owned(), server.url());
    drop(server);
    assert!(!folder.exists());
    assert!(processes_with(&folder.to_string_lossy())?.is_empty());
    assert!(
        tokio::net::TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn a_test_that_panics_leaves_nothing_behind() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let folder = server.folder().to_owned();
    assert_eq!(processes_with(&folder.to_string_lossy())?.len(), 2);
    let test = tokio::spawn(async move {
        let _server = server;
        panic!("as a test may");
    });
    assert!(test.await.is_err_and(|error| error.is_panic()));
    assert!(!folder.exists());
    assert!(processes_with(&folder.to_string_lossy())?.is_empty());
    Ok(())
}

/// The processes whose arguments name something.
fn processes_with(text: &str) -> std::io::Result<Vec<String>> {
    let processes = std::fs::read_dir("/proc")?.filter_map(|entry| {
        let arguments = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&arguments).replace('\0', " "))
    });
    Ok(processes.filter(|arguments| arguments.contains(text)).collect())
}
