//! What answers in these tests, and servers in front of it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use gondola_inference::features::{ItemId, RawRow, UserId};
use gondola_inference::pipeline::{
    Answer, Degradation, RecommendRequest, Recommendation, RequestError, SimilarRequest, SimilarTo, Stage,
    StageTiming, UserUpdate, VariantSummary,
};
use gondola_inference::server::compute::{Compute, ComputeSettings};
use gondola_inference::server::front::{Deadlines, Front};
use gondola_inference::server::local::{LocalVariant, Pipeline};
use gondola_inference::server::proto::recommender_client::RecommenderClient;
use gondola_inference::server::service::{BundleDescription, Recommender};
use gondola_inference::server::{Drain, ServeError, Server};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Number of items that a request can get.
pub const MOST: usize = 10;

/// Answers at once, with items that tell by their names what was asked.
pub struct StandIn {
    name: String,
    users: Mutex<BTreeSet<String>>,
    gate: Arc<Gate>,
}

/// Holds answers back.
#[derive(Default)]
pub struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    arrived: AtomicUsize,
}

impl Gate {
    pub fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    pub fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    /// How many answers came here so far, held back or not.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        drop(
            self.opened
                .wait_while(self.closed.lock().unwrap(), |closed| *closed)
                .unwrap(),
        );
    }
}

fn count(k: Option<usize>) -> Result<usize, RequestError> {
    let k = k.unwrap_or(3);
    if (1..=MOST).contains(&k) {
        Ok(k)
    } else {
        Err(RequestError::Count { k, most: MOST })
    }
}

fn items(prefix: &str, k: usize) -> Vec<Recommendation> {
    (0..k)
        .map(|rank| Recommendation {
            item: format!("{prefix}-{rank}").into(),
            score: 0.9 / (rank as f32 + 1.0),
        })
        .collect()
}

impl Pipeline for StandIn {
    fn recommend(&self, request: &RecommendRequest) -> Result<Answer, RequestError> {
        self.gate.pass();
        let k = count(request.k)?;
        let known = self.users.lock().unwrap().contains(request.user.as_str());
        Ok(Answer {
            items: items(&format!("for-{}", request.user), k),
            degraded: if known {
                Vec::new()
            } else {
                vec![Degradation::UnknownUser]
            },
            timing: vec![StageTiming {
                stage: Stage::Scoring,
                took: Duration::from_micros(250),
            }],
        })
    }

    fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError> {
        self.gate.pass();
        let k = count(request.k)?;
        match &request.to {
            SimilarTo::Item(item) if item.as_str() == "nowhere" => {
                Err(RequestError::UnknownItem { item: item.clone() })
            }
            SimilarTo::Item(item) => Ok(Answer {
                items: items(&format!("like-{item}"), k),
                ..Answer::default()
            }),
            SimilarTo::Text(_) => Err(RequestError::NotServed {
                what: "neighbours of a text",
                missing: "a text encoder",
            }),
        }
    }

    fn put_user(&self, user: UserId, _update: UserUpdate) -> Result<(), RequestError> {
        self.users.lock().unwrap().insert(user.as_str().to_owned());
        Ok(())
    }

    fn put_item(&self, _item: ItemId, features: RawRow) -> Result<(), RequestError> {
        match features.0.keys().find(|column| *column != "colour") {
            Some(column) => Err(RequestError::UnknownColumn {
                entity: "item",
                column: column.clone(),
                known: vec!["colour".to_owned()],
            }),
            None => Ok(()),
        }
    }

    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError> {
        Ok(Answer {
            items: items("popular", count(k)?),
            ..Answer::default()
        })
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> VariantSummary {
        VariantSummary {
            as_of: "2026-01-01".to_owned(),
            users: 1,
            items: MOST,
            texts: 0,
            workflow: "sha256:00".to_owned(),
            inputs: vec!["user.age".to_owned()],
            candidates: MOST,
            limit: 3,
        }
    }
}

/// A variant on one compute thread with a queue of `queue`, and what holds its answers back.
pub fn variant(name: &str, queue: usize, front: Option<&Front>) -> (Arc<dyn Recommender>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let stand_in = StandIn {
        name: name.to_owned(),
        users: Mutex::default(),
        gate: Arc::clone(&gate),
    };
    let settings = ComputeSettings {
        threads: NonZeroUsize::MIN,
        queue,
    };
    let metrics = front
        .map(|front| front.metrics().compute().clone())
        .unwrap_or_default();
    let compute = Arc::new(Compute::start(&settings, metrics).unwrap());
    let bundle = BundleDescription {
        reference: "scorer@stable".to_owned(),
        version: "v1".to_owned(),
        digest: format!("sha256:{name}"),
    };
    let bundles = BTreeMap::from([("scorer".to_owned(), bundle)]);
    (
        Arc::new(LocalVariant::new("shop", stand_in, 1, bundles, compute)),
        gate,
    )
}

/// A server that was started.
pub struct Running {
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    pub async fn start(front: Front, recommender: Arc<dyn Recommender>) -> Self {
        let server = Server::bind("127.0.0.1:0", front).await.unwrap();
        Self::open(server, recommender, Drain::default()).await
    }

    pub async fn open(server: Server, recommender: Arc<dyn Recommender>, drain: Drain) -> Self {
        server.opening().open(recommender).await;
        Self::serve(server, drain)
    }

    pub fn serve(server: Server, drain: Drain) -> Self {
        let address = server.address().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        Self {
            address,
            stop: Some(stop),
            serving: tokio::spawn(server.serve(drain, shutdown)),
        }
    }

    pub async fn grpc(&self) -> RecommenderClient<Channel> {
        RecommenderClient::connect(format!("http://{}", self.address))
            .await
            .unwrap()
    }

    /// Asks the server to stop.
    pub fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    pub async fn ended(self) -> Result<(), ServeError> {
        self.serving.await.unwrap()
    }
}

/// One variant behind a server with ample time, and what holds its answers back.
pub async fn one_variant() -> (Running, Arc<Gate>) {
    one_variant_within(Duration::from_secs(30), 64).await
}

/// The same of another name.
pub async fn one_variant_named(name: &str) -> (Running, Arc<Gate>) {
    let front = Front::new(Deadlines::default());
    let (variant, gate) = variant(name, 1024, Some(&front));
    (Running::start(front, variant).await, gate)
}

pub async fn one_variant_within(ask: Duration, queue: usize) -> (Running, Arc<Gate>) {
    let front = Front::new(Deadlines {
        ask,
        ..Deadlines::default()
    });
    let (variant, gate) = variant("dlrm", queue, Some(&front));
    (Running::start(front, variant).await, gate)
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    while !so().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
