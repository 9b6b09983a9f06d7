//! The Open Inference Protocol: over HTTP as it stands in the protocol, and by clients as people have them.

use std::process::Command;

use gondola_server::front::{Deadlines, Destination, Front};
use gondola_test_stand_in::client::{get, send};
use gondola_test_stand_in::{Running, one_variant, until, variant};
use serde_json::{Value, json};

/// Clients, and what names a Python that has them; `make test` sets it. They can't be in one.
const CLIENTS: [(&str, &str); 2] = [
    ("triton.py", "GONDOLA_TRITON_CLIENT"),
    ("kserve_clients.py", "GONDOLA_KSERVE_CLIENT"),
];
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/open-inference");

fn users(users: &[&str]) -> Value {
    json!({"name": "user", "shape": [users.len(), 1], "datatype": "BYTES", "data": users})
}

async fn infer(address: &str, model: &str, body: &Value) -> (u16, Value) {
    let path = format!("/v2/models/{model}/infer");
    let answer = send(address, "POST", &path, &body.to_string()).await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn rows_are_answered_as_questions_are() {
    let (server, _) = one_variant().await;
    let body = json!({"id": "7", "inputs": [users(&["anna", "berta"])], "parameters": {"k": 2}});
    let (status, response) = infer(&server.address, "recommend", &body).await;
    assert_eq!(status, 200, "{response}");
    let plain = get(&server.address, "/v1/recommend?user=berta&k=2").await.json();
    let output = |name: &str| {
        let outputs = response["outputs"].as_array().unwrap();
        outputs
            .iter()
            .find(|output| output["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(output("item")["shape"], json!([2, 2]));
    assert_eq!(output("item")["data"][2], plain["items"][0]["item"]);
    assert_eq!(output("score")["data"][3], plain["items"][1]["score"]);
    assert_eq!(
        output("degraded")["data"],
        json!(["unknown_user", "unknown_user"])
    );
    assert_eq!(
        (&response["id"], &response["model_version"]),
        (&json!("7"), &json!("1"))
    );
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_as_the_protocol_does() {
    let (server, _) = one_variant().await;
    let address = &server.address;
    for (model, body, status, said) in [
        (
            "nobody",
            json!({"inputs": []}),
            404,
            "there is no model \"nobody\"",
        ),
        (
            "recommend",
            json!({"inputs": []}),
            400,
            "model recommend needs the input user",
        ),
        ("recommend", json!({}), 400, "the body is no inference request"),
        ("scoring", json!({"inputs": []}), 400, "scoring is a stage"),
        (
            "recommend",
            json!({"inputs": [users(&["anna"])], "outputs": [{"name": "price"}]}),
            400,
            "model recommend has no output \"price\"",
        ),
        (
            "recommend",
            json!({"inputs": [users(&["anna"])], "parameters": {"k": 1000}}),
            400,
            "k is 1000",
        ),
        (
            "similar",
            json!({"inputs": [{"name": "item", "shape": [1], "datatype": "BYTES", "data": ["nowhere"]}]}),
            404,
            "there is no item nowhere",
        ),
    ] {
        let (seen, error) = infer(address, model, &body).await;
        let message = error["error"].as_str().unwrap();
        assert!(seen == status && message.starts_with(said), "{seen} {message}");
    }
    let load = send(address, "POST", "/v2/repository/models/recommend/load", "{}").await;
    assert_eq!(load.status, 400);
    let nothing = get(address, "/v2/models/recommend/weights").await;
    assert_eq!(nothing.status, 404);
}

#[tokio::test]
async fn items_that_a_client_names_are_scored() {
    let (server, _) = one_variant().await;
    let items = json!({"name": "item", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "nowhere"]});
    let body = json!({"inputs": [users(&["anna"]), items]});
    let (status, response) = infer(&server.address, "score", &body).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["outputs"][0]["name"], "score");
    assert_eq!(response["outputs"][0]["data"], json!([0.5, 0.5]));
    assert_eq!(response["outputs"][1]["data"], json!(["shown", "unknown"]));
    let statistics = get(&server.address, "/v2/models/score/stats").await.json();
    assert_eq!(statistics["model_stats"][0]["inference_count"], 1);
}

#[tokio::test]
async fn a_request_has_one_place_however_many_rows_it_has() {
    let (variant, gate) = variant("dlrm");
    let front = Front::new(Deadlines::default()).with_room_for(1);
    let server = Running::start(front, Destination::variant(variant)).await;
    let address = server.address.clone();
    let body = json!({"inputs": [users(&["anna", "berta", "carla"])]});
    assert_eq!(infer(&address, "recommend", &body).await.0, 200);
    gate.close();
    let first = tokio::spawn({
        let (address, body) = (address.clone(), body.clone());
        async move { infer(&address, "recommend", &body).await }
    });
    until(async || gate.arrived() == 6).await;
    let (status, refused) = infer(&address, "recommend", &body).await;
    assert_eq!(status, 429, "{refused}");
    gate.open();
    assert_eq!(first.await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_as_people_have_them_are_answered() {
    let (server, _) = one_variant().await;
    for (script, variable) in CLIENTS {
        let Some(python) = std::env::var_os(variable) else {
            eprintln!("{variable} names no Python; `make test` does");
            continue;
        };
        let address = server.address.clone();
        let run = tokio::task::spawn_blocking(move || {
            Command::new(python)
                .arg(format!("{FOLDER}/{script}"))
                .args([&address, "anna"])
                .output()
                .unwrap()
        });
        let output = run.await.unwrap();
        let told =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {told}");
        assert!(told.contains("alike"), "{script}: {told}");
    }
}
