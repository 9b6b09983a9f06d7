use std::collections::BTreeMap;
use std::time::Duration;

use gondola_protocol::proto::{
    Degradation, ExplainRequest, GetPipelineRequest, GetRulesRequest, PutItemRequest, PutUserRequest,
    RecommendRequest, SimilarRequest, Value, similar_request, value,
};
use gondola_server::Server;
use gondola_server::front::{Deadlines, Destination, Front};
use serde_json::json;
use tonic::{Code, Request};

use gondola_test_stand_in::client::{declare, get, put, send};
use gondola_test_stand_in::{Running, one_variant, until, variant};

/// The name that JSON has for what gRPC calls `name`.
fn in_json(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

fn ask(user: &str, k: Option<u32>) -> RecommendRequest {
    RecommendRequest {
        user: user.to_owned(),
        k,
        explain_timing: false,
    }
}

#[tokio::test]
async fn http_and_grpc_give_the_same_answer() {
    let (server, _) = one_variant().await;
    let http = get(&server.address, "/v1/recommend?user=anna&k=2&explain=timing").await;
    assert_eq!(http.status, 200, "{http:?}");
    let grpc = RecommendRequest {
        explain_timing: true,
        ..ask("anna", Some(2))
    };
    let grpc = server.grpc().await.recommend(grpc).await.unwrap().into_inner();

    let items: Vec<_> = grpc
        .items
        .iter()
        .map(|item| json!({"item": item.item, "score": item.score}))
        .collect();
    let timing: BTreeMap<_, _> = grpc
        .timing
        .iter()
        .map(|time| (in_json(time.stage().as_str_name(), "STAGE_"), time.microseconds))
        .collect();
    let expected = json!({
        "user": grpc.user,
        "variant": grpc.variant,
        "bundles": grpc.bundles,
        "items": items,
        "degraded": grpc.degraded().map(|reason| in_json(reason.as_str_name(), "DEGRADATION_")).collect::<Vec<_>>(),
        "timing": timing,
    });
    assert_eq!(http.json()["items"][0]["item"], "for-anna-0");
    assert_eq!(http.json()["bundles"], json!({"scorer": "sha256:dlrm"}));
    assert_eq!(http.json()["degraded"], json!(["unknown_user"]));
    assert_eq!(http.json()["timing"], json!({"scoring": 250}));
    // JSON has a score's shortest decimal form, gRPC its bits: compared as the same 32-bit number.
    let scores = |answer: &serde_json::Value| -> Vec<f32> {
        let items = answer["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["score"].as_f64().unwrap() as f32)
            .collect()
    };
    assert_eq!(scores(&http.json()), scores(&expected));
    let without_items = |mut answer: serde_json::Value| {
        answer.as_object_mut().unwrap().remove("items");
        answer
    };
    assert_eq!(without_items(http.json()), without_items(expected));
}

#[tokio::test]
async fn a_user_that_was_put_is_known_at_once() {
    let (server, _) = one_variant().await;
    let body = r#"{"features": {"age": 40, "city": null}, "history": [{"item": "a", "purchases": 2, "days_since_last": 3}]}"#;
    assert_eq!(put(&server.address, "/v1/users/anna%20b", body).await.status, 204);
    let answer = get(&server.address, "/v1/recommend?user=anna%20b").await.json();
    assert_eq!(
        (&answer["user"], &answer["degraded"]),
        (&json!("anna b"), &json!([]))
    );

    let mut grpc = server.grpc().await;
    let features = BTreeMap::from([
        (
            "age".to_owned(),
            Value {
                kind: Some(value::Kind::Number(40.0)),
            },
        ),
        ("city".to_owned(), Value { kind: None }),
    ]);
    let request = PutUserRequest {
        user: "ben".to_owned(),
        features,
        history: None,
    };
    grpc.put_user(request).await.unwrap();
    assert!(
        grpc.recommend(ask("ben", None))
            .await
            .unwrap()
            .into_inner()
            .degraded
            .is_empty()
    );
}

#[tokio::test]
async fn wrong_asks_are_refused_alike_with_a_way_out() {
    let (server, _) = one_variant().await;
    let mut grpc = server.grpc().await;
    let too_long = "u".repeat(257);
    for (user, k, path) in [
        ("anna", Some(0), "/v1/recommend?user=anna&k=0"),
        ("anna", Some(11), "/v1/recommend?user=anna&k=11"),
        (&too_long, None, &*format!("/v1/recommend?user={too_long}")),
    ] {
        let http = get(&server.address, path).await;
        let status = grpc.recommend(ask(user, k)).await.unwrap_err();
        assert_eq!((http.status, &*http.code()), (400, "INVALID_ARGUMENT"), "{path}");
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, &*http.message()),
            "{path}"
        );
    }

    let message = |path: &'static str| {
        let address = server.address.clone();
        async move {
            let answer = get(&address, path).await;
            assert_eq!(answer.status, 400, "{answer:?}");
            answer.message()
        }
    };
    assert!(
        message("/v1/recommend?user=anna&k=0")
            .await
            .contains("gives 1 to 10 items")
    );
    assert!(
        message("/v1/recommend?user=anna&k=-1")
            .await
            .contains("invalid digit")
    );
    assert!(
        message("/v1/recommend?usr=anna")
            .await
            .contains("unknown field `usr`")
    );
    assert!(
        message("/v1/recommend?user=anna&explain=all")
            .await
            .contains("expected `timing`")
    );
    assert!(
        message("/v1/similar")
            .await
            .contains("give item=, text= or bought_with=")
    );
    assert!(
        message("/v1/similar?item=a&bought_with=b")
            .await
            .contains("give one of them")
    );
    assert!(message("/v1/similar?item=").await.contains("item is empty"));

    let nothing = SimilarRequest {
        to: None,
        k: None,
        explain_timing: false,
    };
    assert_eq!(
        grpc.similar(nothing).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let nobody = PutUserRequest::default();
    assert_eq!(
        grpc.put_user(nobody).await.unwrap_err().message(),
        "user is empty; give one"
    );
}

#[tokio::test]
async fn what_became_of_items_is_told_alike_over_http_and_grpc() {
    let (server, _) = one_variant().await;
    let body = json!({"user": "anna", "items": ["shoe-7", "nowhere"], "parts": true});
    let http = send(&server.address, "POST", "/v1/explain", &body.to_string()).await;
    assert_eq!(http.status, 200, "{http:?}");
    let request = ExplainRequest {
        user: "anna".to_owned(),
        items: vec!["shoe-7".to_owned(), "nowhere".to_owned()],
        k: None,
        parts: true,
    };
    let grpc = server.grpc().await.explain(request).await.unwrap().into_inner();
    let items = grpc.items.iter().map(|item| {
        let sources = item
            .sources
            .iter()
            .map(|at| json!({"source": in_json(at.source().as_str_name(), "SOURCE_"), "place": at.place}));
        let parts = item.parts.iter().map(|part| json!({"input": part.input, "adds": part.adds}));
        json!({
            "item": item.item, "parts": parts.collect::<Vec<_>>(), "fate": in_json(item.fate().as_str_name(), "FATE_"),
            "sources": sources.collect::<Vec<_>>(), "score": item.score, "rank": item.rank,
        })
    });
    let expected = json!({
        "user": grpc.user, "variant": grpc.variant, "bundles": grpc.bundles,
        "items": items.collect::<Vec<_>>(), "degraded": [], "timing": {},
    });
    assert_eq!(http.json(), expected);
    assert_eq!(http.json()["items"][1]["fate"], "unknown");

    let refused = async |body: serde_json::Value| {
        let answer = send(&server.address, "POST", "/v1/explain", &body.to_string()).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        answer.json()["error"]["message"].to_string()
    };
    let none = refused(json!({"items": []})).await;
    assert!(
        none.contains("the request has 0 items; ask for 1 to 1000 at once"),
        "{none}"
    );
    let many = refused(json!({"items": vec!["a"; 1001]})).await;
    assert!(many.contains("has 1001 items"), "{many}");
    let empty = refused(json!({"items": [""]})).await;
    assert!(empty.contains("item is empty"), "{empty}");
}

#[tokio::test]
async fn every_kind_of_error_has_its_status() {
    let (server, _) = one_variant().await;
    let address = &server.address;
    let mut grpc = server.grpc().await;
    let similar = |to| SimilarRequest {
        to: Some(to),
        k: None,
        explain_timing: false,
    };

    let unknown = get(address, "/v1/similar?item=nowhere").await;
    assert_eq!((unknown.status, &*unknown.code()), (404, "NOT_FOUND"));
    let status = grpc
        .similar(similar(similar_request::To::Item("nowhere".to_owned())))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, &*unknown.message())
    );

    let unserved = get(address, "/v1/similar?text=red%20shoes").await;
    assert_eq!((unserved.status, &*unserved.code()), (501, "UNIMPLEMENTED"));
    let status = grpc
        .similar(similar(similar_request::To::Text("red".to_owned())))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);

    let features = r#"{"features": {"colour": "red"}}"#;
    let column = put(address, "/v1/items/shoe", features).await;
    assert_eq!(
        (column.status, column.message()),
        (
            400,
            "there is no item feature \"colour\"; there are [\"color\"]".to_owned()
        )
    );
    let red = Value {
        kind: Some(value::Kind::Text("red".to_owned())),
    };
    let request = PutItemRequest {
        item: "shoe".to_owned(),
        features: BTreeMap::from([("color".to_owned(), red)]),
        blocked: false,
    };
    grpc.put_item(request).await.unwrap();

    assert_eq!(get(address, "/v2/nothing").await.code(), "NOT_FOUND");
    assert_eq!(send(address, "POST", "/v1/users/anna", "{}").await.status, 405);
}

#[tokio::test]
async fn bodies_that_are_not_json_or_too_large_are_refused() {
    let (server, _) = one_variant().await;
    for body in [
        "",
        "{",
        "[]",
        r#"{"featurs": {}}"#,
        r#"{"features": {"a": [1]}}"#,
        "\u{0}",
    ] {
        let answer = put(&server.address, "/v1/users/anna", body).await;
        assert_eq!(answer.status, 400, "{body:?}: {answer:?}");
        assert!(answer.message().contains("the body is not "), "{answer:?}");
    }
    // Refused by its declared length alone, so that nothing needs to be sent.
    assert_eq!(
        declare(&server.address, "PUT", "/v1/users/anna", 2 << 20)
            .await
            .status,
        413
    );

    let value = Value {
        kind: Some(value::Kind::Text("x".repeat(2 << 20))),
    };
    let request = PutItemRequest {
        item: "shoe".to_owned(),
        features: BTreeMap::from([("color".to_owned(), value)]),
        blocked: false,
    };
    assert_eq!(
        server.grpc().await.put_item(request).await.unwrap_err().code(),
        Code::OutOfRange
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let put = Duration::from_millis(30);
    let front = Front::new(Deadlines {
        put,
        ..Deadlines::default()
    });
    let server = Running::start(
        front,
        Destination::variant(gondola_test_stand_in::variant("dlrm").0),
    )
    .await;
    assert_eq!(
        declare(&server.address, "PUT", "/v1/users/anna", 100)
            .await
            .status,
        408
    );
}

#[tokio::test]
async fn a_clients_own_deadline_is_kept() {
    let (server, gate) = one_variant().await;
    gate.close();
    let mut request = Request::new(ask("anna", None));
    request.set_timeout(Duration::from_secs(1));
    let answer = server.grpc().await.recommend(request).await.unwrap().into_inner();
    assert!(answer.degraded().eq([Degradation::Deadline]));
    gate.open();
}

#[tokio::test]
async fn what_is_loaded_is_described_alike() {
    let (server, _) = one_variant().await;
    let http = get(&server.address, "/v1/pipeline").await.json();
    assert_eq!(http["variants"][0]["bundles"]["scorer"]["digest"], "sha256:dlrm");
    assert_eq!(http["variants"][0]["summary"]["as_of"], "2026-01-01");
    let grpc = server
        .grpc()
        .await
        .get_pipeline(GetPipelineRequest {})
        .await
        .unwrap()
        .into_inner();
    let described = gondola_protocol::service::PipelineDescription::from(grpc);
    assert_eq!(serde_json::to_value(described).unwrap(), http);
}

#[tokio::test]
async fn a_server_is_alive_before_it_is_ready() {
    let server = Server::bind("127.0.0.1:0", Front::new(Deadlines::default()))
        .await
        .unwrap();
    let opening = server.opening();
    let server = Running::serve(server, Default::default());
    assert_eq!(get(&server.address, "/healthz").await.status, 200);
    assert_eq!(get(&server.address, "/readyz").await.status, 503);
    let early = get(&server.address, "/v1/recommend?user=anna").await;
    assert_eq!((early.status, &*early.code()), (503, "UNAVAILABLE"));
    assert!(
        get(&server.address, "/metrics")
            .await
            .body
            .contains("gondola_ready 0")
    );

    let (variant, _) = gondola_test_stand_in::variant("dlrm");
    opening.open(Destination::variant(variant)).await;
    assert_eq!(get(&server.address, "/readyz").await.status, 200);
    assert_eq!(get(&server.address, "/v1/recommend?user=anna").await.status, 200);
    assert!(
        get(&server.address, "/metrics")
            .await
            .body
            .contains("gondola_ready 1")
    );
}

#[tokio::test]
async fn ids_that_are_not_utf8_are_refused_and_never_taken_for_one_another() {
    let (server, _) = one_variant().await;
    for path in [
        "/v1/recommend?user=%E9",
        "/v1/recommend?user=%E8&k=2",
        "/v1/similar?item=%E9",
        "/v1/similar?text=caf%E9",
    ] {
        let answer = get(&server.address, path).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, "INVALID_ARGUMENT"),
            "{path}"
        );
        assert!(
            answer.message().contains("no UTF-8"),
            "{path}: {}",
            answer.message()
        );
    }
    for path in ["/v1/users/%E9", "/v1/items/%E8"] {
        let answer = put(&server.address, path, "{}").await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    let answer = get(&server.address, "/v1/recommend?user=%C3%A9&k=1").await.json();
    assert_eq!(answer["user"], "é");
    assert_eq!(answer["items"][0]["item"], "for-é-0");
}

#[tokio::test]
async fn a_question_without_a_place_is_429_at_once_and_the_place_is_free_again_after_an_answer() {
    let (variant, gate) = variant("dlrm");
    let deadlines = Deadlines {
        ask: Duration::from_secs(30),
        ..Deadlines::default()
    };
    let front = Front::new(deadlines).with_room_for(1);
    let server = Running::start(front, Destination::variant(variant)).await;
    gate.close();
    let address = server.address.clone();
    let first = tokio::spawn(async move { get(&address, "/v1/recommend?user=anna").await });
    until(|| async { gate.arrived() == 1 }).await;
    let message = "as many questions are being answered already as can be in good time; ask again later";
    // The last one can't even be read, which nobody tries.
    for path in [
        "/v1/recommend?user=berta",
        "/v1/similar?item=shoe",
        "/v1/recommend?user=%E9",
    ] {
        let second = get(&server.address, path).await;
        assert_eq!(
            (second.status, second.code().as_str()),
            (429, "RESOURCE_EXHAUSTED"),
            "{path}"
        );
        assert_eq!(second.message(), message);
        assert_eq!(second.header("retry-after"), Some("1"));
        assert_eq!(second.header("content-type"), Some("application/json"));
    }
    let status = server
        .grpc()
        .await
        .recommend(ask("berta", None))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, message)
    );
    assert_eq!(status.metadata().get("retry-after").unwrap(), "1");
    let metrics = get(&server.address, "/metrics").await.body;
    for counted in [
        "gondola_room_places 1",
        "gondola_room_refused_total 4",
        r#"gondola_requests_total{method="recommend",code="RESOURCE_EXHAUSTED"} 3"#,
    ] {
        assert!(metrics.contains(counted), "{counted}: {metrics}");
    }
    gate.open();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(get(&server.address, "/v1/recommend?user=berta").await.status, 200);
}

#[tokio::test]
async fn rules_that_stand_are_told_in_the_form_in_which_they_are_put() {
    let (server, _) = one_variant().await;
    let address = &server.address;
    let rules = json!({"limit": 3, "items": [{"column": "market", "allow": ["DE"]}]});
    assert_eq!(get(address, "/v1/rules").await.json(), json!({}));
    let put = send(address, "PUT", "/v1/rules", &rules.to_string()).await;
    assert_eq!(put.status, 204);
    assert_eq!(get(address, "/v1/rules").await.json(), rules);
    let told = server.grpc().await.get_rules(GetRulesRequest {}).await;
    let told = told.unwrap().into_inner();
    let told = gondola_request::Rules::from(told.rules.unwrap());
    assert_eq!(serde_json::to_value(told).unwrap(), rules);
}

#[tokio::test]
async fn a_late_answer_leaves_fewer_places() {
    let (variant, gate) = variant("dlrm");
    let deadlines = Deadlines {
        ask: Duration::from_millis(20),
        ..Deadlines::default()
    };
    let front = Front::new(deadlines).with_room_for(64);
    let server = Running::start(front, Destination::variant(variant)).await;
    gate.close();
    let late = get(&server.address, "/v1/recommend?user=anna").await;
    assert_eq!(late.json()["degraded"], json!(["deadline"]));
    gate.open();
    let metrics = get(&server.address, "/metrics").await.body;
    assert!(metrics.contains("gondola_room_places 14"), "16 before: {metrics}");
}

#[tokio::test]
async fn several_changes_are_made_each_for_itself_over_http() {
    let (server, _) = one_variant().await;
    let address = &server.address;
    for (method, path, body) in [
        ("PATCH", "/v1/users/anna", r#"{"features": {"age": 3}}"#),
        ("DELETE", "/v1/users/anna", ""),
        ("PATCH", "/v1/items/shoe", r#"{"blocked": true}"#),
        ("DELETE", "/v1/items/shoe", ""),
        ("PUT", "/v1/rules", r#"{"limit": 3}"#),
        ("DELETE", "/v1/rules", ""),
    ] {
        let answer = send(address, method, path, body).await;
        assert_eq!(answer.status, 204, "{method} {path}: {answer:?}");
    }
    let batch = r#"{"items": [{"item": "shoe", "features": {"color": "red"}}, {"item": "hat", "features": {"size": 3}},
        {"item": "hat", "color": "red"}, {"item": ""}]}"#;
    let answer = send(address, "POST", "/v1/items:batch", batch).await.json();
    assert_eq!((&answer["taken"], &answer["duplicates"]), (&json!(1), &json!(0)));
    let refused = answer["refused"].as_array().unwrap();
    let seen: Vec<_> = refused
        .iter()
        .map(|one| (one["index"].clone(), one["code"].clone()))
        .collect();
    let invalid = json!("INVALID_ARGUMENT");
    assert_eq!(seen, [1, 2, 3].map(|index| (json!(index), invalid.clone())));
    assert_eq!(refused[2]["problem"], "item is empty; give one");

    let event = |id: &str, kind: &str| json!({"event_id": id, "user": "anna", "item": "shoe", "type": kind});
    let interactions = json!({"interactions": [event("e1", "click"), event("e2", "stare"), event(&"e".repeat(129), "view")]});
    let answer = send(address, "POST", "/v1/interactions", &interactions.to_string())
        .await
        .json();
    assert_eq!(answer["taken"], 1);
    let problems = answer["refused"].to_string();
    assert!(
        problems.contains("unknown variant `stare`") && problems.contains("event_id has 129 bytes"),
        "{problems}"
    );
    let many = json!({"interactions": vec![event("e", "view"); 1001]});
    let answer = send(address, "POST", "/v1/interactions", &many.to_string()).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .body
            .contains("has 1001 changes; send at most 1000 at once"),
        "{answer:?}"
    );
}
