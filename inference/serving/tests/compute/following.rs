//! A variant that follows an online store: changes that are acknowledged, and a store that is away.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_feast::{KeyLayout, KeyVersion, Registry, StoreSettings, Versioning};
use gondola_models::pipeline::RequestError;
use gondola_online::embedded::Embedded;
use gondola_online::redis::Redis;
use gondola_online::redis::connection::Connection;
use gondola_online::redis::feast::FeastEntities;
use gondola_online::{OnlineStore, UserSettings};
use gondola_protocol::{Code, Inquiry, Recommender, RefusedChange, ServiceError};
use gondola_request::{
    Answer, Change, Degradation, InformedRequest, Interaction, InteractionKind, ItemUpdate, Moment, Question,
    RawRow, RecommendRequest, Recommendation, Rules, Value,
};
use gondola_server::metrics::{ComputeMetrics, OnlineMetrics};
use gondola_serving::compute::{Compute, ComputeSettings};
use gondola_serving::live::Live;
use gondola_serving::local::LocalVariant;
use tempfile::TempDir;

use crate::stand_in::StandIn;

/// Recommends to everybody what they did something with.
fn what_was_done(informed: &InformedRequest) -> Result<Answer, RequestError> {
    let state = informed.state.as_deref();
    let done = state.into_iter().flat_map(|state| &state.interactions);
    let items = done.map(|done| Recommendation {
        item: done.item.clone(),
        score: 1.0,
        chance: None,
    });
    Ok(Answer {
        items: items.collect(),
        ..Answer::default()
    })
}

fn put_item(item: &str) -> Change {
    Change::PutItem {
        item: item.into(),
        update: ItemUpdate::default(),
    }
}

fn click(event: &str, item: &str) -> Change {
    Change::Interaction(Interaction {
        event_id: event.to_owned(),
        user: "anna".into(),
        item: item.into(),
        kind: InteractionKind::Click,
        event_time: None,
        price: None,
        unit: None,
        request_id: None,
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

struct Served {
    variant: LocalVariant<StandIn>,
    pipeline: Arc<StandIn>,
}

fn variant() -> Served {
    let compute = Compute::start(&ComputeSettings::default(), ComputeMetrics::default()).unwrap();
    let pipeline = Arc::new(StandIn::new(what_was_done));
    Served {
        variant: pipeline.on(compute),
        pipeline,
    }
}

async fn following(store: Arc<dyn OnlineStore>) -> Served {
    let Served { variant, pipeline } = variant();
    let pipelines = vec![Arc::clone(&pipeline)];
    let live = Live::start(
        store,
        UserSettings::default(),
        pipelines,
        Duration::ZERO,
        OnlineMetrics::default(),
    );
    Served {
        variant: variant.with_live(live.await.unwrap()),
        pipeline,
    }
}

impl Served {
    async fn shown(&self) -> (Vec<String>, Vec<Degradation>) {
        let question = Question::Recommend(RecommendRequest {
            user: "anna".into(),
            k: None,
        });
        let answer = self
            .variant
            .answer(Inquiry::from(question), soon())
            .await
            .unwrap()
            .answer;
        let items = answer.items.iter().map(|item| item.item.to_string());
        (items.collect(), answer.degraded)
    }

    fn has(&self, item: &str) -> bool {
        self.pipeline.items.lock().unwrap().contains_key(item)
    }
}

fn file(folder: &TempDir) -> Arc<Embedded> {
    Arc::new(Embedded::open(&folder.path().join("online.redb")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_next_answer_of_every_variant_that_follows() {
    let folder = TempDir::new().unwrap();
    let store = file(&folder);
    let served = following(store.clone()).await;
    assert_eq!(served.shown().await, (vec![], vec![]));
    let changes = vec![
        put_item("milk"),
        put_item("odd"),
        click("e1", "milk"),
        click("e1", "milk"),
        click("e1", "soap"),
    ];
    let receipt = served.variant.change(changes, soon()).await.unwrap();
    assert_eq!((receipt.taken, receipt.duplicates), (3, 1));
    let refused: Vec<(usize, Code)> = receipt
        .refused
        .iter()
        .map(|refused| (refused.index, refused.code))
        .collect();
    assert_eq!(refused, [(1, Code::NotFound), (4, Code::InvalidArgument)]);
    let RefusedChange { problem, .. } = &receipt.refused[1];
    assert_eq!(
        problem,
        "event \"e1\" of this user was sent before with other content; give each event an id of its own"
    );
    assert!(served.has("milk") && !served.has("odd"));
    assert_eq!(served.shown().await, (vec!["milk".to_owned()], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_starts_makes_what_was_put_before() {
    let folder = TempDir::new().unwrap();
    let store = file(&folder);
    let first = following(store.clone()).await;
    let rules = Rules {
        limit: Some(7),
        ..Rules::default()
    };
    let changes = vec![put_item("milk"), Change::PutRules(rules.clone())];
    first.variant.change(changes, soon()).await.unwrap();
    assert_eq!(*first.pipeline.rules.lock().unwrap(), Some(rules.clone()));
    let second = following(store).await;
    assert!(second.has("milk"), "before the first request");
    assert_eq!(*second.pipeline.rules.lock().unwrap(), Some(rules));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_costs_no_answer_and_takes_no_change() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = StoreSettings {
        connection_string: nobody.to_string(),
        ..StoreSettings::default()
    };
    let store = Arc::new(Redis::new(Connection::of(settings).unwrap(), "shop/grocery"));
    let served = following(store).await;
    assert_eq!(served.shown().await, (vec![], vec![Degradation::OnlineStore]));
    let error = served
        .variant
        .change(vec![put_item("milk")], soon())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    let said = error.to_string();
    let wanted =
        format!("the online store did not take the change: the online store at {nobody} does not answer: ");
    assert!(
        said.starts_with(&wanted) && said.ends_with("; send it again"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_changes_are_refused_with_the_way_out() {
    let served = variant();
    let error = served
        .variant
        .change(vec![put_item("milk")], soon())
        .await
        .unwrap_err();
    assert!(matches!(error, ServiceError::NoOnlineStore));
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(
        error.to_string().contains("give it spec.features.online"),
        "{error}"
    );
    assert_eq!(served.shown().await.1, []);
}

/// A Redis of our own, which ends with this value.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &TempDir) -> Self {
        let bound = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = bound.local_addr().unwrap();
        drop(bound);
        let program = std::env::var("GONDOLA_REDIS_SERVER")
            .expect("GONDOLA_REDIS_SERVER names the program redis-server; `make test` sets it");
        let process = Command::new(program)
            .args(["--port", &address.port().to_string(), "--save", "", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            address: address.to_string(),
        }
    }

    /// The store of a pipeline, whose items are in Feast. Those of two pipelines are the same, and the news of one are not the other's.
    fn of_pipeline(&self, scope: &str) -> Redis {
        let settings = StoreSettings {
            connection_string: self.address.clone(),
            ..StoreSettings::default()
        };
        let registry = concat!(env!("CARGO_MANIFEST_DIR"), "/../feast/tests/samples/registry.pb");
        let registry = Registry::read(&std::fs::read(registry).unwrap()).unwrap();
        let project = registry.project("shop").unwrap();
        let articles = FeastEntities {
            layout: KeyLayout {
                version: KeyVersion::V3,
                project: "shop".to_owned(),
            },
            views: project.views_of(&["article_features"], Versioning::Off).unwrap(),
            key_ttl: None,
        };
        let store = Redis::new(Connection::of(settings).unwrap(), scope);
        store.with_feast_items(articles, Duration::from_millis(50))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn until(so: impl Fn() -> bool) {
    let give_up = soon();
    while !so() {
        assert!(Instant::now() < give_up, "it did not become so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_that_feast_tells_nobody_of_are_made_all_the_same() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(&folder);
    let elsewhere = server.of_pipeline("shop/elsewhere");
    let now = Moment::now();
    let give_up = soon();
    while elsewhere.write(&[put_item("1")], now).await.is_err() {
        assert!(Instant::now() < give_up, "redis-server does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let served = following(Arc::new(server.of_pipeline("shop/grocery"))).await;
    assert!(served.has("1"), "before the first request");
    let price = ItemUpdate {
        features: RawRow::from([("price", Value::Number(2.5))]),
        ..ItemUpdate::default()
    };
    let put = Change::PutItem {
        item: "2".into(),
        update: price,
    };
    elsewhere.write(&[put], now).await.unwrap();
    until(|| served.has("2")).await;
    let made = |item: &str| served.pipeline.items.lock().unwrap()[item].clone();
    let row = made("2").unwrap().row.unwrap();
    assert_eq!(row.columns.get("price"), &Value::Number(2.5));
    let delete = Change::DeleteItem { item: "2".into() };
    elsewhere.write(&[delete], now).await.unwrap();
    until(|| made("2").is_none()).await;
    assert!(made("1").is_some());
}
