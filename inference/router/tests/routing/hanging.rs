//! Pods that hang: they take connections and requests, and say nothing. No request fails for that within the default deadline.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gondola_router::remote::RemoteVariant;
use gondola_router::{Backend, Router};
use gondola_server::front::{Deadlines, Destination, Front};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use gondola_test_stand_in::client::{Response, get};
use gondola_test_stand_in::{Gate, Running, one_variant_named, until};

/// A pod behind a wire on which bytes can be held, as if the pod were stopped or its node gone.
struct Pod {
    address: String,
    gate: Arc<Gate>,
    held: watch::Sender<bool>,
    _pod: Running,
}

impl Pod {
    async fn start(variant: &str) -> Self {
        let (pod, gate) = one_variant_named(variant).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (held, holding) = watch::channel(false);
        tokio::spawn(wire(listener, pod.address.clone(), holding));
        Self {
            address,
            gate,
            held,
            _pod: pod,
        }
    }

    fn hangs(&self, hangs: bool) {
        self.held.send_replace(hangs);
    }
}

async fn wire(listener: TcpListener, to: String, holding: watch::Receiver<bool>) {
    while let Ok((client, _)) = listener.accept().await {
        let (from_client, to_client) = client.into_split();
        let (from_pod, to_pod) = TcpStream::connect(&to).await.unwrap().into_split();
        tokio::spawn(carry(from_client, to_pod, holding.clone()));
        tokio::spawn(carry(from_pod, to_client, holding.clone()));
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut holding: watch::Receiver<bool>) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if holding.wait_for(|held| !held).await.is_err() || to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

fn backend(name: &str, weight: u32, pods: &[&Pod]) -> Backend {
    let addresses: Vec<String> = pods.iter().map(|pod| pod.address.clone()).collect();
    Backend {
        name: name.to_owned(),
        weight,
        buckets: Vec::new(),
        recommender: Arc::new(RemoteVariant::new(name, &addresses).unwrap()),
    }
}

/// A router with the default deadline of 200 ms.
async fn router(backends: Vec<Backend>) -> (Running, Arc<Router>) {
    let router = Arc::new(Router::new("demo", "shop", "dlrm", backends).unwrap());
    let front = Front::new(Deadlines::default());
    (
        Running::start(front, Destination::router(Arc::clone(&router))).await,
        router,
    )
}

/// As many requests, one every 4 ms, whether or not those before were answered.
async fn load(router: &Running, requests: usize) -> Vec<Response> {
    let asks = (0..requests).map(|number| {
        let address = router.address.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(4) * number as u32).await;
            get(&address, &format!("/v1/recommend?user={number}&k=2")).await
        }
    });
    join_all(asks).await
}

#[track_caller]
fn none_failed(answers: &[Response]) {
    let failed: Vec<&Response> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        answers.len(),
        failed[0]
    );
}

fn degraded(answer: &Response, by: &str) -> bool {
    let answer = answer.json();
    answer["degraded"].as_array().unwrap().contains(&json!(by))
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_pods_hangs_the_other_answers_everybody() {
    let (one, other) = (Pod::start("dlrm").await, Pod::start("dlrm").await);
    let (router, _) = router(vec![backend("dlrm", 1, &[&one, &other])]).await;
    none_failed(&load(&router, 50).await);
    one.hangs(true);
    let answers = load(&router, 400).await;
    none_failed(&answers);
    let by_models = answers.iter().filter(|answer| !degraded(answer, "last_resort"));
    assert_eq!(by_models.count(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_set_aside_comes_back_when_it_answers() {
    let (one, other) = (Pod::start("dlrm").await, Pod::start("dlrm").await);
    let (router, _) = router(vec![backend("dlrm", 1, &[&one, &other])]).await;
    one.hangs(true);
    none_failed(&load(&router, 100).await);
    one.hangs(false);
    // What it held is answered late; what comes after that was asked again.
    none_failed(&load(&router, 10).await);
    let before = one.gate.arrived();
    let asked = until(|| async {
        none_failed(&load(&router, 20).await);
        one.gate.arrived() > before + 10
    });
    tokio::time::timeout(Duration::from_secs(20), asked)
        .await
        .expect("the pod is asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_pod_of_a_variant_hangs_another_variant_answers_in_time() {
    let (one, other) = (Pod::start("dlrm").await, Pod::start("dlrm").await);
    let forest = Pod::start("forest").await;
    let backends = vec![
        backend("dlrm", 1, &[&one, &other]),
        backend("forest", 0, &[&forest]),
    ];
    let (router, _) = router(backends).await;
    none_failed(&load(&router, 20).await);
    one.hangs(true);
    other.hangs(true);
    let answers = load(&router, 200).await;
    none_failed(&answers);
    for answer in &answers {
        assert_eq!(answer.json()["variant"], "forest");
        assert!(degraded(answer, "fallback_to_variant"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everything_hangs_the_list_of_last_resort_is_shown() {
    let (dlrm, forest) = (Pod::start("dlrm").await, Pod::start("forest").await);
    let backends = vec![backend("dlrm", 1, &[&dlrm]), backend("forest", 1, &[&forest])];
    let (server, router) = router(backends).await;
    assert!(router.refresh_last_resort().await);
    dlrm.hangs(true);
    forest.hangs(true);
    let answers = load(&server, 100).await;
    none_failed(&answers);
    for answer in &answers {
        assert_eq!(answer.json()["degraded"], json!(["last_resort"]), "{answer:?}");
        assert_eq!(answer.json()["items"].as_array().map(Vec::len), Some(2));
    }
    let usual = get(&server.address, "/v1/recommend?user=anna").await.json();
    assert_eq!(usual["items"].as_array().map(Vec::len), Some(3), "{usual}");
    assert_eq!(usual["reason"], Value::from("Assigned"));
    let similar = get(&server.address, "/v1/similar?item=a").await;
    assert_eq!(similar.status, 504, "nothing is like popular items");
}
