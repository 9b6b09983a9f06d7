//! An experiment through a server's door: who takes part, what is recorded of it, and what units did.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gondola_artifacts::Store;
use gondola_events::recorder::{Recorder, RecorderSettings};
use gondola_events::table::{read_exposures, read_outcomes};
use gondola_events::unit::UnitKey;
use gondola_protocol::proto::{Outcome, RecordOutcomesRequest};
use gondola_protocol::service::Recommender;
use gondola_router::experiment::{Recording, Silence, Sink};
use gondola_router::remote::RemoteVariant;
use gondola_router::{Backend, Router};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_wire::buckets::Buckets;
use gondola_wire::routes::{ArmRoute, ExperimentRoutes, HoldoutRoutes};
use serde_json::{Value, json};

use gondola_test_stand_in::client::{Response, get, send_with};
use gondola_test_stand_in::{Running, variant};

pub fn routes(traffic_buckets: u16) -> ExperimentRoutes {
    let arm = |name: &str| ArmRoute {
        variant: name.to_owned(),
        weight: 50,
    };
    ExperimentRoutes {
        name: "dlrm-vs-forest".into(),
        epoch: 3,
        revision: "abc".into(),
        salt: "demo/shop/dlrm-vs-forest".into(),
        unit_header: None,
        holdout: None,
        traffic_buckets: Buckets::new(traffic_buckets),
        arms: vec![arm("forest"), arm("dlrm")],
        slow_milliseconds: 10_000,
    }
}

/// A pipeline with an experiment, whose events go into a folder.
pub struct Shop {
    pub server: Running,
    recording: Arc<Recording>,
    pub folder: tempfile::TempDir,
}

impl Shop {
    async fn open(routes: &ExperimentRoutes, dlrm: Arc<dyn Recommender>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("file://{}/store", folder.path().display())).unwrap();
        let settings = RecorderSettings {
            folder: folder.path().join("journal"),
            base: "shop/grocery".into(),
            writer: "router-a".into(),
            flush: Duration::from_secs(1),
            max_waiting_bytes: 1 << 30,
        };
        let sink = Sink {
            recorder: Recorder::start(settings, store).unwrap(),
            key: UnitKey::new(b"0123456789abcdef").unwrap(),
        };
        let recording = Arc::new(Recording::new("start-1".into(), Ok(sink)));
        let backends = [("forest", variant("forest").0), ("dlrm", dlrm)].map(|(name, recommender)| Backend {
            name: name.to_owned(),
            weight: 1,
            buckets: Vec::new(),
            recommender,
        });
        let router = Router::new("demo", "shop", "forest", backends.into())
            .unwrap()
            .with_experiment(routes, Arc::clone(&recording))
            .unwrap();
        let front = Front::new(Deadlines {
            ask: Duration::from_secs(30),
            put: Duration::from_secs(30),
        });
        Self {
            server: Running::start(front, Destination::router(Arc::new(router))).await,
            recording,
            folder,
        }
    }

    pub async fn with_both(routes: &ExperimentRoutes) -> Self {
        Self::open(routes, variant("dlrm").0).await
    }

    pub async fn recommend(&self, user: &str, headers: &[(&str, &str)]) -> Value {
        let path = format!("/v1/recommend?user={user}&k=1");
        send_with(&self.server.address, "GET", &path, headers, "")
            .await
            .json()
    }

    async fn explain(&self, user: &str) -> Value {
        let body = json!({"user": user, "items": ["shoe"]}).to_string();
        let answer = send_with(&self.server.address, "POST", "/v1/explain", &[], &body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub async fn post(&self, body: &str) -> Response {
        send_with(&self.server.address, "POST", "/v1/outcomes", &[], body).await
    }

    async fn report(&self) -> Value {
        get(&self.server.address, "/v1/experiment").await.json()
    }

    /// Everything that was recorded: (arm, unit, fallback) and (unit, type, value).
    async fn recorded(&self) -> (Vec<(String, String, bool)>, Vec<(String, String, f64)>) {
        assert!(self.recording.stop(Duration::from_secs(20)).await);
        let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
        for file in files(&self.folder.path().join("store")) {
            let bytes = std::fs::read(&file).unwrap().into();
            if file.contains("/exposures/dlrm-vs-forest/3/") {
                read_exposures(bytes, |row| {
                    exposures.push((row.arm.to_owned(), format!("{:?}", row.unit), row.fallback));
                })
                .unwrap();
            } else {
                read_outcomes(bytes, |row| {
                    outcomes.push((format!("{:?}", row.unit), row.kind.to_owned(), row.value));
                })
                .unwrap();
            }
        }
        (exposures, outcomes)
    }
}

pub fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

fn hash(id: &str) -> String {
    format!("{:?}", UnitKey::new(b"0123456789abcdef").unwrap().hash(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_part_is_recorded_and_nobody_else() {
    let mut routes = routes(5000);
    routes.holdout = Some(HoldoutRoutes {
        salt: "demo/q4".into(),
        buckets: Buckets::new(2000),
    });
    let shop = Shop::with_both(&routes).await;
    let mut expected = Vec::new();
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for user in 0..200 {
        let user = format!("user-{user}");
        let answer = shop.recommend(&user, &[]).await;
        let (variant, reason) = (
            answer["variant"].as_str().unwrap(),
            answer["reason"].as_str().unwrap(),
        );
        *reasons.entry(reason.to_owned()).or_default() += 1;
        let explained = shop.explain(&user).await;
        assert_eq!(
            (&explained["variant"], &explained["reason"]),
            (&answer["variant"], &answer["reason"]),
            "and nobody was shown anything"
        );
        if reason == "Assigned" {
            expected.push((variant.to_owned(), hash(&user), false));
        } else {
            assert_eq!(variant, "forest", "{reason}: the control");
        }
    }
    assert_eq!(shop.recommend("", &[]).await["reason"], "NoUnit");
    let forced = shop.recommend("user-1", &[("x-gondola-arm", "dlrm")]).await;
    assert_eq!(
        (&forced["variant"], &forced["reason"]),
        (&json!("dlrm"), &json!("Forced"))
    );
    let unknown = shop.recommend("user-1", &[("x-gondola-arm", "nothing")]).await;
    assert_ne!(unknown["reason"], "Forced");
    if unknown["reason"] == "Assigned" {
        expected.push((
            unknown["variant"].as_str().unwrap().to_owned(),
            hash("user-1"),
            false,
        ));
    }
    for (reason, least) in [("Assigned", 50), ("Holdout", 20), ("NotInTraffic", 50)] {
        assert!(reasons[reason] > least, "{reasons:?}");
    }
    let report = shop.report().await;
    let requests = |arm: usize| report["arms"][arm]["requests"].as_u64().unwrap();
    assert_eq!(requests(0) + requests(1), expected.len() as u64);
    assert_eq!(
        (&report["revision"], &report["epoch"]),
        (&json!("abc"), &json!(3))
    );
    let (mut exposures, _) = shop.recorded().await;
    exposures.sort();
    expected.sort();
    assert_eq!(exposures, expected);
    let everything: Vec<u8> = files(shop.folder.path())
        .iter()
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect();
    let leaks = everything.windows(5).any(|window| window == b"user-");
    assert!(!leaks, "an id left the process");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arm_that_is_down_keeps_its_units() {
    let nobody = Arc::new(RemoteVariant::new("dlrm", &["127.0.0.1:1".to_owned()]).unwrap());
    let shop = Shop::open(&routes(10_000), nobody).await;
    for user in 0..40 {
        let answer = shop.recommend(&format!("user-{user}"), &[]).await;
        assert_eq!(answer["variant"], "forest", "the control answers");
    }
    let report = shop.report().await;
    let dlrm = &report["arms"][1];
    assert_eq!(dlrm["fallbacks"], dlrm["requests"]);
    let (exposures, _) = shop.recorded().await;
    let of_dlrm: Vec<_> = exposures.iter().filter(|(arm, _, _)| arm == "dlrm").collect();
    assert!(of_dlrm.len() > 10 && of_dlrm.iter().all(|(_, _, fallback)| *fallback));
    assert!(
        exposures
            .iter()
            .filter(|(arm, _, _)| arm == "forest")
            .all(|(_, _, fallback)| !fallback)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_may_be_named_by_a_header() {
    let mut routes = routes(10_000);
    routes.unit_header = Some("x-visitor-id".into());
    let shop = Shop::with_both(&routes).await;
    let answer = shop.recommend("someone", &[("x-visitor-id", "visitor-7")]).await;
    assert_eq!(answer["reason"], "Assigned");
    let same = shop
        .recommend(
            "someone-else",
            &[("x-visitor-id", "visitor-7"), ("x-request-id", "r-1")],
        )
        .await;
    assert_eq!(same["variant"], answer["variant"]);
    assert_eq!(shop.recommend("someone", &[]).await["reason"], "NoUnit");
    let (exposures, _) = shop.recorded().await;
    assert!(exposures.len() == 2 && exposures.iter().all(|(_, unit, _)| *unit == hash("visitor-7")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_too_long_costs_nobody_an_answer() {
    let mut routes = routes(10_000);
    routes.unit_header = Some("x-visitor-id".into());
    let shop = Shop::with_both(&routes).await;
    let long = "a".repeat(1000);
    let headers = [
        ("x-visitor-id", "visitor-7"),
        ("x-request-id", &long),
        ("x-gondola-arm", &long),
    ];
    assert_eq!(shop.recommend("someone", &headers).await["reason"], "Assigned");
    let nobody = shop.recommend("someone", &[("x-visitor-id", &long)]).await;
    assert_eq!(nobody["reason"], "NoUnit");
    assert_eq!(shop.recorded().await.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_sees_what_the_arms_did() {
    let shop = Shop::with_both(&routes(10_000)).await;
    for user in 0..20 {
        shop.recommend(&format!("user-{user}"), &[]).await;
    }
    shop.post(r#"{"outcomes": [{"unit": "user-1", "type": "purchase"}]}"#)
        .await;
    let text = get(&shop.server.address, "/metrics").await.body;
    let requests = |arm: &str| -> u64 {
        let start = format!(
            "gondola_experiment_requests_total{{experiment=\"dlrm-vs-forest\",epoch=\"3\",arm=\"{arm}\"}} "
        );
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {start} in {text}"))
            .parse()
            .unwrap()
    };
    assert_eq!(requests("forest") + requests("dlrm"), 20);
    assert!(
        text.contains("gondola_experiment_outcomes_total{experiment=\"dlrm-vs-forest\",epoch=\"3\"} 1\n")
    );
    assert!(text.contains("gondola_requests_total{"), "{text}");
    assert!(text.matches("# EOF").count() == 1 && text.ends_with("# EOF\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_outcome_costs_the_others_nothing() {
    let shop = Shop::with_both(&routes(10_000)).await;
    let answer = shop
        .post(
            r#"{"outcomes": [
                {"unit": "alice", "type": "purchase", "value": 3.5, "eventId": "order-1"},
                {"unit": "", "type": "purchase"},
                {"unit": "stranger", "type": "click"},
                {"unit": "alice", "type": "purchase", "eventTime": "2100-01-01T00:00:00Z"},
                {"unit": "alice", "type": "purchase", "value": 1e99},
                {"unit": "alice", "kind": "purchase"},
                7
            ]}"#,
        )
        .await;
    assert_eq!(answer.status, 200);
    let receipt = answer.json();
    assert_eq!(receipt["taken"], 2);
    let refused: Vec<u64> = receipt["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| refusal["index"].as_u64().unwrap())
        .collect();
    assert_eq!(refused, [1, 3, 4, 5, 6]);
    let problem = receipt["refused"][3]["problem"].as_str().unwrap();
    assert!(problem.contains("unknown field `kind`"), "{problem}");
    let grpc = shop
        .server
        .grpc()
        .await
        .record_outcomes(RecordOutcomesRequest {
            outcomes: vec![Outcome {
                unit: "bob".into(),
                r#type: "click".into(),
                value: Some(f64::NAN),
                ..Outcome::default()
            }],
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((grpc.taken, grpc.refused.len()), (0, 1));
    assert!(grpc.refused[0].problem.contains("value is NaN"));
    let (_, outcomes) = shop.recorded().await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.contains(&(hash("alice"), "purchase".into(), 3.5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_at_once_is_refused_whole_with_the_way_out() {
    let shop = Shop::with_both(&routes(10_000)).await;
    let ten_megabytes = format!(
        r#"{{"outcomes": [{}]}}"#,
        vec![r#"{"unit": "a", "type": "b"}"#; 400_000].join(",")
    );
    assert!(ten_megabytes.len() > 10 << 20);
    let answer = gondola_test_stand_in::client::declare(
        &shop.server.address,
        "POST",
        "/v1/outcomes",
        ten_megabytes.len(),
    )
    .await;
    assert_eq!(answer.status, 413, "{answer:?}");
    let many = format!(
        r#"{{"outcomes": [{}]}}"#,
        vec![r#"{"unit": "a", "type": "b"}"#; 1001].join(",")
    );
    let answer = shop.post(&many).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .message()
            .contains("has 1001 outcomes; send at most 1000 at once"),
        "{answer:?}"
    );
    let answer = shop.post("[]").await;
    assert!(answer.message().contains("is not a JSON object"), "{answer:?}");
    let answer = shop.post(r#"{"outcome": []}"#).await;
    assert!(answer.message().contains("unknown field `outcome`"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_without_an_experiment_takes_no_outcomes() {
    let (server, _) = gondola_test_stand_in::one_variant().await;
    let body = r#"{"outcomes": [{"unit": "a", "type": "b"}]}"#;
    let answer = send_with(&server.address, "POST", "/v1/outcomes", &[], body).await;
    assert_eq!(answer.status, 501);
    assert!(answer.message().contains("give it spec.experiment"));
    assert_eq!(get(&server.address, "/v1/experiment").await.status, 501);
}

#[tokio::test]
async fn a_router_that_was_not_told_of_the_experiments_store_has_outcomes_sent_again() {
    let recording = Arc::new(Recording::new("start-1".into(), Err(Silence::Unasked)));
    let backends = ["forest", "dlrm"].map(|name| Backend {
        name: name.to_owned(),
        weight: 1,
        buckets: Vec::new(),
        recommender: variant(name).0,
    });
    let router = Router::new("demo", "shop", "forest", backends.into())
        .unwrap()
        .with_experiment(&routes(10_000), recording)
        .unwrap();
    let server = Running::start(
        Front::new(Deadlines::default()),
        Destination::router(Arc::new(router)),
    )
    .await;
    let body = r#"{"outcomes": [{"unit": "a", "type": "b"}]}"#;
    let answer = send_with(&server.address, "POST", "/v1/outcomes", &[], body).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
    assert_eq!(answer.message(), "this router is stopping; send them again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_recorded_is_said_and_everybody_is_served() {
    let recording = Arc::new(Recording::new(
        "start-1".into(),
        Err(Silence::Problem("the key is missing".into())),
    ));
    let backends = ["forest", "dlrm"].map(|name| Backend {
        name: name.to_owned(),
        weight: 1,
        buckets: Vec::new(),
        recommender: variant(name).0,
    });
    let router = Router::new("demo", "shop", "forest", backends.into())
        .unwrap()
        .with_experiment(&routes(10_000), recording)
        .unwrap();
    let front = Front::new(Deadlines::default());
    let server = Running::start(front, Destination::router(Arc::new(router))).await;
    let answer = get(&server.address, "/v1/recommend?user=alice&k=1").await;
    assert_eq!(answer.json()["reason"], "Assigned");
    let report = get(&server.address, "/v1/experiment").await.json();
    assert_eq!(report["problem"], "the key is missing");
    let dropped: u64 = (0..2)
        .map(|arm| report["arms"][arm]["dropped"].as_u64().unwrap())
        .sum();
    assert_eq!(dropped, 1);
    let body = r#"{"outcomes": [{"unit": "a", "type": "b"}]}"#;
    let answer = send_with(&server.address, "POST", "/v1/outcomes", &[], body).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "UNAVAILABLE"));
}
