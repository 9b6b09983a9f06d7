//! What answers in tests where a variant would: a stand-in without models, servers in front of it, and a client; and the check of
//! variables that tests of programs share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod certificates;
pub mod client;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_protocol::{
    BundleDescription, ChangeReceipt, Code, Explained, Inquiry, PipelineDescription, Recommender,
    RefusedChange, Served, ServiceError, VariantDescription, Visit,
};
use gondola_request::{
    Answer, Change, Degradation, ExplainRequest, Explanation, Explanations, Fate, ItemId, Part, Question,
    RecommendRequest, Recommendation, Rules, SimilarRequest, SimilarTo, Source, SourcePlace, Stage,
    StageTiming, VariantSummary,
};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::{Drain, ServeError, Server, traces};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::Channel;

pub use variables::check_variables;

/// Number of items that a request can get.
pub const MAX_ITEMS: usize = 10;

/// Answers at once, with items that tell by their names what was asked.
struct StandIn {
    name: String,
    bundles: BTreeMap<String, BundleDescription>,
    users: Mutex<BTreeSet<String>>,
    rules: Mutex<Rules>,
    gate: Arc<Gate>,
}

/// Holds answers back.
pub struct Gate {
    closed: watch::Sender<bool>,
    arrived: AtomicUsize,
}

impl Default for Gate {
    /// An open one.
    fn default() -> Self {
        Self {
            closed: watch::Sender::new(false),
            arrived: AtomicUsize::new(0),
        }
    }
}

impl Gate {
    /// From now on answers wait.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Lets all go that wait, and whoever comes.
    pub fn open(&self) {
        self.closed.send_replace(false);
    }

    /// How many answers came here so far, held back or not.
    pub fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.closed.subscribe();
        closed
            .wait_for(|closed| !closed)
            .await
            .expect("its sender is here");
    }
}

fn count(k: Option<usize>) -> Result<usize, ServiceError> {
    let k = k.unwrap_or(3);
    if (1..=MAX_ITEMS).contains(&k) {
        return Ok(k);
    }
    Err(refused(
        Code::InvalidArgument,
        format!("k is {k}, but this pipeline gives 1 to {MAX_ITEMS} items; ask for one of those numbers"),
    ))
}

fn items(prefix: &str, k: usize) -> Vec<Recommendation> {
    (0..k)
        .map(|rank| Recommendation {
            item: format!("{prefix}-{rank}").into(),
            score: 0.9 / (rank as f32 + 1.0),
            chance: None,
        })
        .collect()
}

impl StandIn {
    fn recommend(&self, request: &RecommendRequest) -> Result<Answer, ServiceError> {
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

    fn similar(&self, request: &SimilarRequest) -> Result<Answer, ServiceError> {
        let k = count(request.k)?;
        match &request.to {
            SimilarTo::Item(item) if item.as_str() == "nowhere" => Err(refused(
                Code::NotFound,
                format!("there is no item {item}; PUT /v1/items/{item} adds it, or ask for text= instead"),
            )),
            SimilarTo::Item(item) | SimilarTo::BoughtWith(item) => Ok(Answer {
                items: items(&format!("like-{item}"), k),
                ..Answer::default()
            }),
            SimilarTo::Text(_) => Err(refused(
                Code::Unimplemented,
                "this pipeline does not serve neighbors of a text; add a text encoder to its spec".to_owned(),
            )),
        }
    }

    fn make(&self, change: Change) -> Result<(), String> {
        let features = match change {
            Change::PutUser { user, .. } | Change::PatchUser { user, .. } => {
                self.users.lock().unwrap().insert(user.as_str().to_owned());
                return Ok(());
            }
            Change::DeleteUser { user } => {
                self.users.lock().unwrap().remove(user.as_str());
                return Ok(());
            }
            Change::PutItem { update, .. } => update.features,
            Change::PatchItem { update, .. } => update.features,
            Change::PutRules(rules) => {
                *self.rules.lock().unwrap() = rules;
                return Ok(());
            }
            Change::DeleteRules => {
                *self.rules.lock().unwrap() = Rules::default();
                return Ok(());
            }
            Change::DeleteItem { .. } | Change::Interaction(_) => return Ok(()),
        };
        match features.0.keys().find(|column| *column != "color") {
            Some(column) => Err(format!(
                "there is no item feature {column:?}; there are [\"color\"]"
            )),
            None => Ok(()),
        }
    }

    fn served(&self, answer: Answer) -> Served {
        let digests = self
            .bundles
            .iter()
            .map(|(role, bundle)| (role.clone(), bundle.digest.clone()));
        Served {
            variant: self.name.as_str().into(),
            reason: None,
            bundles: Arc::new(digests.collect()),
            answer,
        }
    }
}

#[async_trait]
impl Recommender for StandIn {
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError> {
        let passed = tokio::time::timeout_at(deadline.into(), self.gate.pass())
            .await
            .is_ok();
        let answer = match (inquiry.question, passed) {
            (Question::Recommend(request), true) => self.recommend(&request)?,
            (Question::Recommend(request), false) => Answer {
                items: items("popular", count(request.k)?),
                degraded: vec![Degradation::Deadline],
                ..Answer::default()
            },
            (Question::Similar(request), true) => self.similar(&request)?,
            (Question::Similar(_), false) => return Err(ServiceError::DeadlineExceeded),
        };
        traces::add_stages(&answer.timing, SystemTime::now());
        Ok(self.served(answer))
    }

    async fn explain(
        &self,
        request: ExplainRequest,
        _visit: Visit,
        _deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        count(request.k)?;
        let explain = |(place, item): (usize, ItemId)| Explanation {
            fate: match item.as_str() {
                "nowhere" => Fate::Unknown,
                _ => Fate::Shown,
            },
            sources: vec![SourcePlace {
                source: Source::TwoTower,
                place: place + 1,
            }],
            score: Some(0.5),
            rank: Some(place + 1),
            parts: match request.parts {
                true => vec![Part {
                    input: "pair.purchases".to_owned(),
                    adds: 0.25,
                }],
                false => Vec::new(),
            },
            item,
        };
        let Served { variant, bundles, .. } = self.served(Answer::default());
        Ok(Explained {
            variant,
            reason: None,
            bundles,
            explanations: Explanations {
                items: request.items.into_iter().enumerate().map(explain).collect(),
                ..Explanations::default()
            },
        })
    }

    async fn change(&self, changes: Vec<Change>, _deadline: Instant) -> Result<ChangeReceipt, ServiceError> {
        let mut receipt = ChangeReceipt::default();
        for (index, change) in changes.into_iter().enumerate() {
            match self.make(change) {
                Ok(()) => receipt.taken += 1,
                Err(problem) => receipt.refused.push(RefusedChange {
                    index,
                    code: Code::InvalidArgument,
                    problem,
                }),
            }
        }
        Ok(receipt)
    }

    async fn rules(&self, _deadline: Instant) -> Result<Rules, ServiceError> {
        Ok(self.rules.lock().unwrap().clone())
    }

    async fn describe(&self, _deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        let variant = VariantDescription {
            name: self.name.clone(),
            weight: 1,
            bundles: self.bundles.clone(),
            summary: Some(summary()),
        };
        Ok(PipelineDescription {
            pipeline: "shop".to_owned(),
            control: self.name.clone(),
            variants: vec![variant],
        })
    }
}

fn refused(code: Code, message: String) -> ServiceError {
    ServiceError::Refused { code, message }
}

fn summary() -> VariantSummary {
    VariantSummary {
        as_of: "2026-01-01".to_owned(),
        users: 1,
        items: MAX_ITEMS,
        texts: 0,
        workflow: "sha256:00".to_owned(),
        inputs: vec!["user.age".to_owned()],
        candidates: MAX_ITEMS,
        limit: 3,
    }
}

/// A variant, and what holds its answers back.
pub fn variant(name: &str) -> (Arc<dyn Recommender>, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let bundle = BundleDescription {
        reference: "scorer@stable".to_owned(),
        version: "v1".to_owned(),
        digest: format!("sha256:{name}"),
    };
    let stand_in = StandIn {
        name: name.to_owned(),
        bundles: BTreeMap::from([("scorer".to_owned(), bundle)]),
        users: Mutex::default(),
        rules: Mutex::default(),
        gate: Arc::clone(&gate),
    };
    (Arc::new(stand_in), gate)
}

/// A server that was started.
pub struct Running {
    /// Where it listens.
    pub address: String,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Running {
    /// Serves at a free port.
    pub async fn start(front: Front, destination: Destination) -> Self {
        let server = Server::bind("127.0.0.1:0", front).await.unwrap();
        Self::open(server, destination, Drain::default()).await
    }

    /// Serves what is there already.
    pub async fn open(server: Server, destination: Destination, drain: Drain) -> Self {
        server.opening().open(destination).await;
        Self::serve(server, drain)
    }

    /// Serves, not ready until somebody opens it.
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

    /// A client of gRPC.
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

/// A variant behind a server with ample time, and what holds its answers back.
pub async fn one_variant() -> (Running, Arc<Gate>) {
    one_variant_within(Duration::from_secs(30)).await
}

/// The same of another name, with the usual time.
pub async fn one_variant_named(name: &str) -> (Running, Arc<Gate>) {
    let (variant, gate) = variant(name);
    (
        Running::start(Front::new(Deadlines::default()), Destination::variant(variant)).await,
        gate,
    )
}

/// The same with `ask` for a question.
pub async fn one_variant_within(ask: Duration) -> (Running, Arc<Gate>) {
    let front = Front::new(Deadlines {
        ask,
        ..Deadlines::default()
    });
    let (variant, gate) = variant("dlrm");
    (Running::start(front, Destination::variant(variant)).await, gate)
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(so: impl Fn() -> F) {
    while !so().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
