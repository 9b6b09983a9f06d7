use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gondola_protocol::service::Recommender;
use gondola_router::remote::RemoteVariant;
use gondola_router::{Backend, Router};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_wire::routes::BucketRange;
use serde_json::{Value, json};

use gondola_test_stand_in::client::{get, put, send};
use gondola_test_stand_in::{Running, one_variant, variant};

/// Nobody listens here: port 1 needs rights that a test does not have.
const NOBODY: &str = "127.0.0.1:1";

fn backend(name: &str, weight: u32, recommender: Arc<dyn Recommender>) -> Backend {
    Backend {
        name: name.to_owned(),
        weight,
        buckets: Vec::new(),
        recommender,
    }
}

fn local(name: &str, weight: u32) -> Backend {
    backend(name, weight, variant(name).0)
}

fn remote(name: &str, weight: u32, addresses: &[&str]) -> Backend {
    let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
    backend(
        name,
        weight,
        Arc::new(RemoteVariant::new(name, &addresses).unwrap()),
    )
}

async fn router(control: &str, backends: Vec<Backend>) -> Running {
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(30),
        put: Duration::from_secs(30),
    });
    let router = Router::new("demo", "shop", control, backends).unwrap();
    Running::start(front, Destination::router(Arc::new(router))).await
}

async fn recommend(address: &str, user: &str) -> Value {
    get(address, &format!("/v1/recommend?user={user}&k=1"))
        .await
        .json()
}

#[tokio::test]
async fn a_user_stays_with_a_variant_on_every_router_and_weights_share_the_users() {
    let first = router("dlrm", vec![local("dlrm", 75), local("forest", 25)]).await;
    let second = router("dlrm", vec![local("dlrm", 75), local("forest", 25)]).await;
    let mut users = BTreeMap::<String, usize>::new();
    for user in 0..200 {
        let answer = recommend(&first.address, &user.to_string()).await;
        let again = recommend(&second.address, &user.to_string()).await;
        assert_eq!(answer, again);
        assert_eq!(answer["reason"], "Assigned");
        *users
            .entry(answer["variant"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    assert!((120..180).contains(&users["dlrm"]), "{users:?}");
}

#[tokio::test]
async fn the_variant_of_a_user_explains_also_from_another_process() {
    let (there, _) = one_variant().await;
    let shop = router("dlrm", vec![remote("dlrm", 1, &[&there.address])]).await;
    let body = r#"{"user": "anna", "items": ["shoe-7", "nowhere"], "k": 1}"#;
    let answer = send(&shop.address, "POST", "/v1/explain", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let direct = send(&there.address, "POST", "/v1/explain", body).await.json();
    let mut routed = answer.json();
    assert_eq!(routed["reason"].take(), "Assigned");
    routed.as_object_mut().unwrap().remove("reason");
    assert_eq!(routed, direct);
}

#[tokio::test]
async fn without_a_user_the_control_answers_and_says_why() {
    let server = router("forest", vec![local("dlrm", 100), local("forest", 0)]).await;
    let answer = get(&server.address, "/v1/recommend?k=1").await.json();
    assert_eq!(
        (&answer["variant"], &answer["reason"]),
        (&json!("forest"), &json!("NoUnit"))
    );
    assert_eq!(recommend(&server.address, "anna").await["variant"], "dlrm");
    let described = get(&server.address, "/v1/pipeline").await.json();
    assert_eq!(described["control"], "forest");
    assert_eq!(described["variants"][0]["name"], "dlrm");
    assert_eq!(
        described["variants"][0]["bundles"]["scorer"]["digest"],
        "sha256:dlrm"
    );
}

#[tokio::test]
async fn a_variant_that_is_down_is_stood_in_for_by_the_control() {
    let backends = vec![local("dlrm", 0), remote("forest", 1, &[NOBODY])];
    let server = router("dlrm", backends).await;
    let answer = recommend(&server.address, "anna").await;
    assert_eq!(answer["variant"], "dlrm", "{answer}");
    assert_eq!(answer["degraded"], json!(["unknown_user", "fallback_to_control"]));
    assert_eq!(answer["reason"], "Assigned");

    let put = put(&server.address, "/v1/users/anna", "{}").await;
    assert_eq!(
        put.status, 204,
        "one variant hands a change to the online store of all"
    );
}

#[tokio::test]
async fn when_the_control_is_down_another_answers_its_users_and_asks_for_similar_items() {
    let backends = vec![remote("dlrm", 1, &[NOBODY]), local("forest", 0)];
    let server = router("dlrm", backends).await;
    let answer = recommend(&server.address, "anna").await;
    assert_eq!(answer["variant"], "forest", "{answer}");
    assert_eq!(answer["degraded"], json!(["unknown_user", "fallback_to_variant"]));
    assert_eq!(
        get(&server.address, "/v1/similar?item=a&k=1").await.json()["items"][0]["item"],
        "like-a-0"
    );
}

#[tokio::test]
async fn every_variant_is_asked_before_nobody_answers_and_the_users_own_is_named() {
    let down = |name: &str, weight| remote(name, weight, &[NOBODY]);
    let backends = vec![down("dlrm", 0), down("forest", 1), local("mlp", 0)];
    let server = router("dlrm", backends).await;
    let answer = recommend(&server.address, "anna").await;
    assert_eq!(
        (&answer["variant"], &answer["reason"]),
        (&json!("mlp"), &json!("Assigned"))
    );
    let server = router("dlrm", vec![down("dlrm", 0), down("forest", 1)]).await;
    let answer = get(&server.address, "/v1/recommend?user=anna").await;
    assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"));
    assert!(
        answer
            .message()
            .contains("variant forest does not answer at any of [\"127.0.0.1:1\"]"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_a_client_did_wrong_is_asked_of_nobody_else() {
    let server = router("dlrm", vec![local("dlrm", 1), local("forest", 0)]).await;
    let answer = get(&server.address, "/v1/recommend?user=anna&k=1000").await;
    assert_eq!((answer.status, &*answer.code()), (400, "INVALID_ARGUMENT"));
    let answer = get(&server.address, "/v1/similar?item=nowhere").await;
    assert_eq!((answer.status, &*answer.code()), (404, "NOT_FOUND"));
}

#[tokio::test]
async fn a_control_that_is_not_one_of_the_variants_leaves_its_place_to_the_first() {
    let server = router("gone", vec![local("dlrm", 0), local("forest", 1)]).await;
    let described = get(&server.address, "/v1/pipeline").await.json();
    assert_eq!(described["control"], "dlrm");
    assert_eq!(recommend(&server.address, "anna").await["variant"], "forest");
}

#[tokio::test]
async fn without_any_variant_every_request_is_told_so() {
    let server = router("dlrm", Vec::new()).await;
    for path in ["/v1/recommend?user=anna", "/v1/similar?item=a"] {
        let answer = get(&server.address, path).await;
        assert_eq!((answer.status, &*answer.code()), (503, "UNAVAILABLE"), "{path}");
        assert!(answer.message().contains("no variant that serves"), "{answer:?}");
    }
    assert_eq!(put(&server.address, "/v1/users/anna", "{}").await.status, 503);
    assert_eq!(
        get(&server.address, "/v1/pipeline").await.json()["variants"],
        json!([])
    );
}

#[tokio::test]
async fn one_address_of_a_variant_may_be_down_and_changes_go_to_one() {
    let (here, _) = one_variant().await;
    let (there, _) = one_variant().await;
    let server = router("dlrm", vec![remote("dlrm", 1, &[&here.address, NOBODY])]).await;
    for _ in 0..6 {
        let answer = recommend(&server.address, "anna").await;
        assert_eq!(
            (&answer["variant"], &answer["degraded"]),
            (&json!("dlrm"), &json!(["unknown_user"]))
        );
    }

    let server = router("dlrm", vec![remote("dlrm", 1, &[&here.address, &there.address])]).await;
    assert_eq!(
        put(&server.address, "/v1/users/anna", r#"{"features": {"age": 4}}"#)
            .await
            .status,
        204
    );
    let mut pods_that_took_it = 0;
    for pod in [&here.address, &there.address] {
        pods_that_took_it += usize::from(recommend(pod, "anna").await["degraded"] == json!([]));
    }
    assert_eq!(pods_that_took_it, 1, "which hands it to the online store of all");
    let described = get(&server.address, "/v1/pipeline").await.json();
    assert_eq!(described["variants"][0]["summary"]["limit"], 3);
    let server = router("dlrm", vec![remote("dlrm", 1, &[&here.address, NOBODY])]).await;
    let rules = r#"{"limit":2}"#;
    assert_eq!(put(&server.address, "/v1/rules", rules).await.status, 204);
    assert_eq!(get(&server.address, "/v1/rules").await.json().to_string(), rules);
    let wrong = put(&server.address, "/v1/items/shoe", r#"{"features": {"size": 4}}"#).await;
    assert_eq!(
        (wrong.status, wrong.message()),
        (
            400,
            "there is no item feature \"size\"; there are [\"color\"]".to_owned()
        )
    );
}

#[tokio::test]
async fn a_slow_pod_answers_with_popular_items_before_its_router_gives_up() {
    let (pod, gate) = one_variant().await;
    gate.close();
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(1),
        ..Deadlines::default()
    });
    let backends = vec![remote("dlrm", 1, &[&pod.address])];
    let server = Running::start(
        front,
        Destination::router(Arc::new(Router::new("demo", "shop", "dlrm", backends).unwrap())),
    )
    .await;
    let answer = recommend(&server.address, "anna").await;
    assert_eq!(answer["degraded"], json!(["deadline"]), "{answer}");
    gate.open();
}

#[tokio::test]
async fn routers_that_decide_nothing_are_refused() {
    let refused = Router::new("demo", "shop", "dlrm", vec![local("dlrm", 0)]);
    let message = refused.err().unwrap().to_string();
    assert!(
        message.contains("no arm of [\"dlrm\"] has a weight above 0"),
        "{message}"
    );
    assert!(
        RemoteVariant::new("dlrm", &[])
            .err()
            .unwrap()
            .to_string()
            .contains("variant dlrm has no address")
    );
}

/// Which variant each of 100 users gets.
async fn shares(server: &Running) -> Vec<Value> {
    let mut variants = Vec::new();
    for user in 0..100 {
        let answer = recommend(&server.address, &user.to_string()).await;
        variants.push(answer["variant"].clone());
    }
    variants
}

#[tokio::test]
async fn without_remembered_buckets_neither_order_nor_control_decides_who_gets_what() {
    let one = router("dlrm", vec![local("dlrm", 60), local("forest", 40)]).await;
    let other = router("forest", vec![local("forest", 40), local("dlrm", 60)]).await;
    assert_eq!(shares(&one).await, shares(&other).await);
}

#[tokio::test]
async fn remembered_buckets_decide_unless_they_are_damaged() {
    let remembered = |ranges: [(u16, u16); 2]| {
        let mut backends = vec![local("dlrm", 50), local("forest", 50)];
        for (backend, (start, end)) in backends.iter_mut().zip(ranges) {
            backend.buckets = vec![BucketRange { start, end }];
        }
        backends
    };
    let all_forest = router("dlrm", remembered([(9_999, 10_000), (0, 9_999)])).await;
    assert!(shares(&all_forest).await.iter().all(|name| name == "forest"));
    let damaged = router("dlrm", remembered([(9_999, 10_000), (0, 9_998)])).await;
    let fresh = router("dlrm", vec![local("dlrm", 50), local("forest", 50)]).await;
    assert_eq!(shares(&damaged).await, shares(&fresh).await);
}
