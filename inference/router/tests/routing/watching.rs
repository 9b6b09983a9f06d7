//! Routers that watch their configuration, against a real API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_router::experiment::{Recording, Silence};
use gondola_router::remote::Connections;
use gondola_router::watch::{CurrentRouter, follow};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_test_api_server::ApiServer;
use gondola_wire::routes::{ExperimentRoutes, ROUTES_KEY, Route, Routes};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use gondola_test_stand_in::client::get;
use gondola_test_stand_in::{Running, one_variant, until};

pub const NAMESPACE: &str = "shop";
const USERS: usize = 200;

/// An object as a client applies it in the shop's namespace.
pub async fn apply<K>(client: &Client, name: &str, object: Value) -> anyhow::Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let parameters = PatchParams::apply("test").force();
    api.patch(name, &parameters, &Patch::Apply(&object)).await?;
    Ok(())
}

/// What the operator writes.
pub async fn tell(
    client: &Client,
    weights: &[(&str, u32)],
    experiment: Option<ExperimentRoutes>,
) -> anyhow::Result<()> {
    let route = |(name, weight): &(&str, u32)| Route {
        name: (*name).to_owned(),
        weight: *weight,
        buckets: Vec::new(),
        service: format!("grocery-{name}"),
    };
    let routes = Routes {
        namespace: NAMESPACE.into(),
        pipeline: "grocery".into(),
        control: weights[0].0.to_owned(),
        experiment,
        variants: weights.iter().map(route).collect(),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grocery-routes"},
        "data": {ROUTES_KEY: serde_json::to_string(&routes)?},
    });
    apply::<ConfigMap>(client, "grocery-routes", config).await
}

/// What Kubernetes writes of a Service's pods.
pub async fn endpoints(client: &Client, variant: &str, pod: Option<&Running>) -> anyhow::Result<()> {
    let port: Option<u16> = pod.and_then(|pod| pod.address.rsplit(':').next()?.parse().ok());
    let addresses = pod.map(|_| json!({"addresses": ["127.0.0.1"], "conditions": {"ready": true}}));
    let name = format!("grocery-{variant}-1");
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": format!("grocery-{variant}")}},
        "endpoints": addresses.into_iter().collect::<Vec<_>>(),
        "ports": [{"name": "http", "port": port.unwrap_or(8080), "protocol": "TCP"}],
    });
    apply::<EndpointSlice>(client, &name, slice).await
}

/// How many users each variant has.
async fn shares(router: &Running) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for user in 0..USERS {
        let answer = get(&router.address, &format!("/v1/recommend?user={user}&k=1")).await;
        let answer: Value = answer.json();
        let variant = answer["variant"].as_str().unwrap_or("nobody").to_owned();
        *shares.entry(variant).or_default() += 1;
    }
    shares
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_and_pods_that_change_are_known_within_two_seconds() -> anyhow::Result<()> {
    let Some(server) = ApiServer::start().await? else {
        return Ok(());
    };
    let client = server.client()?;
    let (first, _) = one_variant().await;
    let (second, _) = one_variant().await;
    let current = Arc::new(CurrentRouter::default());
    let watching = Arc::clone(&current);
    let following = client.clone();
    let recording = Arc::new(Recording::new("1".into(), Err(Silence::Unasked)));
    tokio::spawn(async move {
        let connections = Connections::default();
        follow(
            following,
            NAMESPACE,
            "grocery-routes",
            watching,
            recording,
            connections,
        )
        .await
    });
    tell(&client, &[("dlrm", 50), ("forest", 50)], None).await?;
    endpoints(&client, "dlrm", Some(&first)).await?;
    endpoints(&client, "forest", Some(&second)).await?;
    until(async || current.is_known()).await;
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(30),
        ..Deadlines::default()
    });
    let router = Running::start(front, Destination::router(current)).await;

    // Both stand-ins call themselves dlrm; who answers for the forest is told by the pods that are left.
    until(async || !shares(&router).await.contains_key("nobody")).await;
    endpoints(&client, "forest", None).await?;
    let answered = async || {
        let mut fell_back = 0;
        for user in 0..USERS {
            let answer = get(&router.address, &format!("/v1/recommend?user={user}&k=1")).await;
            let answer: Value = answer.json();
            fell_back += usize::from(answer["degraded"].to_string().contains("fallback"));
        }
        fell_back
    };
    let changed = Instant::now();
    until(async || answered().await > USERS / 4).await;
    assert!(
        changed.elapsed() < Duration::from_secs(2),
        "{:?}",
        changed.elapsed()
    );

    let changed = Instant::now();
    tell(&client, &[("dlrm", 100), ("forest", 0)], None).await?;
    until(async || answered().await == 0).await;
    assert!(
        changed.elapsed() < Duration::from_secs(2),
        "{:?}",
        changed.elapsed()
    );
    Ok(())
}
