//! The single entry point for HTTP and gRPC: checks what was asked, sets deadlines, counts, and knows whether anything is loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gondola_events::intake::{MAX_OUTCOMES, RawOutcome};
use gondola_open_inference::{Model, Statistics};
use gondola_protocol::{
    ChangeReceipt, Explained, Inquiry, PipelineDescription, Recommender, RefusedChange, Served, ServiceError,
    Visit,
};
use gondola_request::{Change, ExplainRequest, Question, Rules, SimilarTo};
use gondola_wire::router_report::RouterReport;

use crate::access::forced_arm::ArmKey;
use crate::changes::{Checked, MAX_CHANGES, check_change};
use crate::experimenter::{Experimenter, Receipt};
use crate::metrics::{Method, Metrics};
use crate::room::{NoPlace, Place, Room};
use crate::traces;

/// Longest id of a user or item, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Longest text to find neighbors of, in bytes; encoders read far less.
pub const MAX_TEXT_BYTES: usize = 8192;
/// Most items of which one request may ask what became of them.
pub const MAX_EXPLAINED: usize = 1_000;
/// Most items whose scores one request gets in parts: each takes as many scores as there are inputs.
pub const MAX_IN_PARTS: usize = 100;
/// Largest body of a request, in bytes.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The longest time that a client may give a request.
const MAX_TIME: Duration = Duration::from_secs(60);

/// How long requests may take that bring no deadline of their own.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// A question.
    pub ask: Duration,
    /// A change, which nobody waits for in front of a page.
    pub put: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            ask: Duration::from_millis(200),
            put: Duration::from_secs(10),
        }
    }
}

/// What answers behind a server.
#[derive(Clone)]
pub struct Destination {
    recommender: Arc<dyn Recommender>,
    experimenter: Option<Arc<dyn Experimenter>>,
}

impl Destination {
    /// One variant, which knows of no experiment.
    pub fn variant(variant: Arc<dyn Recommender>) -> Self {
        Self {
            recommender: variant,
            experimenter: None,
        }
    }

    /// A router, which may run an experiment.
    pub fn router(router: Arc<impl Recommender + Experimenter>) -> Self {
        Self {
            recommender: Arc::clone(&router) as Arc<dyn Recommender>,
            experimenter: Some(router),
        }
    }
}

/// The entry point of a server's requests.
pub struct Front {
    destination: OnceLock<Destination>,
    draining: AtomicBool,
    deadlines: Deadlines,
    arm_key: Option<ArmKey>,
    /// Places for questions that are being answered, where they are bounded.
    room: Option<Arc<Room>>,
    metrics: Metrics,
    statistics: Statistics,
}

impl Front {
    /// An entry point with nothing behind it yet.
    pub fn new(deadlines: Deadlines) -> Self {
        Self {
            destination: OnceLock::new(),
            draining: AtomicBool::new(false),
            deadlines,
            arm_key: None,
            room: None,
            metrics: Metrics::default(),
            statistics: Statistics::default(),
        }
    }

    /// Arms that clients ask for must be signed with `key`, where there is one.
    pub fn with_arm_key(mut self, key: Option<ArmKey>) -> Self {
        self.arm_key = key;
        self
    }

    /// Answers at most so many questions at once, and fewer while they are not answered in good time.
    pub fn with_room_for(mut self, most: usize) -> Self {
        self.room = Some(Arc::new(Room::new(most, self.metrics.of_room())));
        self
    }

    /// What arms must be signed with.
    pub(crate) fn arm_key(&self) -> Option<&ArmKey> {
        self.arm_key.as_ref()
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is counted for clients of the Open Inference Protocol.
    pub(crate) fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How long requests may take that bring no deadline of their own.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// From now on requests are answered by `destination`. The first one stays.
    pub fn open(&self, destination: Destination) {
        let _ = self.destination.set(destination);
        self.metrics.set_ready(self.ready());
    }

    /// From now on the server reports that it is not ready, and keeps answering.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.set_ready(false);
    }

    /// Whether new requests should come here.
    pub fn ready(&self) -> bool {
        self.destination.get().is_some() && !self.draining.load(Ordering::Relaxed)
    }

    /// Takes a place for a question, where places are bounded: before any of it is read, so that a refusal costs next to nothing.
    pub(crate) fn enter(&self, method: Method) -> Result<Option<Place>, NoPlace> {
        let Some(room) = &self.room else {
            return Ok(None);
        };
        room.enter()
            .map(Some)
            .inspect_err(|_| self.metrics.refused(method))
    }

    /// Answers a question that has its place. `within` is the client's own time.
    pub(crate) async fn answer(
        &self,
        place: Option<Place>,
        inquiry: Inquiry,
        within: Option<Duration>,
    ) -> Result<Served, ServiceError> {
        let (method, model) = match inquiry.question {
            Question::Recommend(_) => (Method::Recommend, Model::Recommend),
            Question::Similar(_) => (Method::Similar, Model::Similar),
        };
        let started = Instant::now();
        let time = time(within, self.deadlines.ask);
        let answer = async {
            check_question(&inquiry.question)?;
            let deadline = Instant::now() + time;
            self.recommender()?.answer(inquiry, deadline).await
        };
        let outcome = self.measure(method, answer).await;
        if let Some(place) = place {
            // A client in a hurry finds the same crowd as everybody else.
            place.answered(&outcome, time.max(self.deadlines.ask));
        }
        let took = started.elapsed();
        let served = outcome.inspect_err(|_| self.statistics.failed(model, took))?;
        self.metrics.answered(&served);
        traces::note_answer(&served);
        self.statistics.answered(model, took, &served.answer.timing);
        Ok(served)
    }

    /// Says what becomes of items in the answer for a user.
    pub async fn explain(
        &self,
        request: ExplainRequest,
        visit: Visit,
        within: Option<Duration>,
    ) -> Result<Explained, ServiceError> {
        let started = Instant::now();
        let explain = async {
            check_items(&request)?;
            let deadline = deadline(within, self.deadlines.ask);
            self.recommender()?.explain(request, visit, deadline).await
        };
        let outcome = self.measure(Method::Explain, explain).await;
        let took = started.elapsed();
        match &outcome {
            Ok(explained) => {
                let timing = &explained.explanations.timing;
                self.statistics.answered(Model::Score, took, timing);
            }
            Err(_) => self.statistics.failed(Model::Score, took),
        }
        outcome
    }

    /// Makes a change.
    pub async fn change(&self, change: Change, within: Option<Duration>) -> Result<(), ServiceError> {
        let method = Method::of(&change);
        let checked = check_change(&change);
        let make = async {
            checked?;
            let deadline = deadline(within, self.deadlines.put);
            let receipt = self.recommender()?.change(vec![change], deadline).await?;
            match receipt.refused.into_iter().next() {
                None => Ok(()),
                Some(RefusedChange { code, problem, .. }) => Err(ServiceError::Refused {
                    code,
                    message: problem,
                }),
            }
        };
        self.measure(method, make).await
    }

    /// Makes some changes, each for itself; what could not be read says why.
    pub async fn apply(
        &self,
        read: Vec<Result<Change, String>>,
        within: Option<Duration>,
    ) -> Result<ChangeReceipt, ServiceError> {
        let apply = async {
            if read.len() > MAX_CHANGES {
                let problem = format!("has {} changes; send at most {MAX_CHANGES} at once", read.len());
                return Err(ServiceError::Argument {
                    argument: "the request",
                    problem,
                });
            }
            let recommender = self.recommender()?;
            let checked = Checked::of(read);
            let mut receipt = match checked.changes.is_empty() {
                true => ChangeReceipt::default(),
                false => {
                    let deadline = deadline(within, self.deadlines.put);
                    recommender.change(checked.changes, deadline).await?
                }
            };
            for refused in &mut receipt.refused {
                refused.index = checked
                    .places
                    .get(refused.index)
                    .copied()
                    .unwrap_or(refused.index);
            }
            receipt.refused.extend(checked.refused);
            receipt.refused.sort_by_key(|refused| refused.index);
            Ok(receipt)
        };
        self.measure(Method::ApplyChanges, apply).await
    }

    /// The rules that stand over those of the manifest.
    pub async fn rules(&self, within: Option<Duration>) -> Result<Rules, ServiceError> {
        let ask = async {
            let deadline = deadline(within, self.deadlines.put);
            self.recommender()?.rules(deadline).await
        };
        self.measure(Method::GetRules, ask).await
    }

    /// Describes what is loaded.
    pub async fn describe(&self, within: Option<Duration>) -> Result<PipelineDescription, ServiceError> {
        let ask = async {
            self.recommender()?
                .describe(deadline(within, self.deadlines.put))
                .await
        };
        self.measure(Method::Describe, ask).await
    }

    /// The header that holds the id of an experiment's unit.
    pub fn unit_header(&self) -> Option<Arc<str>> {
        self.experimenter()?.unit_header()
    }

    /// How the experiment goes.
    pub fn report(&self) -> Option<RouterReport> {
        self.experimenter()?.report()
    }

    /// What is counted here, and what the experiment's arms did, as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        self.metrics.text(self.report().as_ref())
    }

    /// Takes what units did; what could not be read says why.
    pub async fn record_outcomes(
        &self,
        reported: Vec<Result<RawOutcome, String>>,
    ) -> Result<Receipt, ServiceError> {
        let record = async {
            if reported.len() > MAX_OUTCOMES {
                let problem = format!(
                    "has {} outcomes; send at most {MAX_OUTCOMES} at once",
                    reported.len()
                );
                return Err(ServiceError::Argument {
                    argument: "the request",
                    problem,
                });
            }
            // Before anything is loaded nobody knows whether there is an experiment.
            self.recommender()?;
            let receipt = match self.experimenter() {
                Some(experimenter) => experimenter.record_outcomes(reported),
                None => Err(ServiceError::NoExperiment),
            };
            match receipt {
                // Whoever takes this router's place may know of one.
                Err(ServiceError::NoExperiment) if self.draining.load(Ordering::Relaxed) => {
                    Err(ServiceError::Stopping)
                }
                receipt => receipt,
            }
        };
        self.measure(Method::RecordOutcomes, record).await
    }

    fn recommender(&self) -> Result<&dyn Recommender, ServiceError> {
        self.destination
            .get()
            .map(|destination| destination.recommender.as_ref())
            .ok_or(ServiceError::Loading)
    }

    fn experimenter(&self) -> Option<&dyn Experimenter> {
        self.destination.get()?.experimenter.as_deref()
    }

    async fn measure<T>(
        &self,
        method: Method,
        ask: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, ServiceError> {
        let started = Instant::now();
        let outcome = ask.await;
        self.metrics.ended(method, started.elapsed(), &outcome);
        outcome
    }
}

/// A tenth of a client's own time is left for the way back: an answer that comes after the client gave up helps nobody.
fn time(within: Option<Duration>, default: Duration) -> Duration {
    let within = within.map(|within| within - within / 10);
    within.unwrap_or(default).min(MAX_TIME)
}

fn deadline(within: Option<Duration>, default: Duration) -> Instant {
    Instant::now() + time(within, default)
}

fn check_question(question: &Question) -> Result<(), ServiceError> {
    match question {
        // Nobody's recommendations are those of a user whom nobody knows.
        Question::Recommend(request) => check_length("user", request.user.as_str(), MAX_ID_BYTES),
        Question::Similar(request) => match &request.to {
            SimilarTo::Item(item) => check_id("item", item.as_str()),
            SimilarTo::BoughtWith(item) => check_id("bought_with", item.as_str()),
            SimilarTo::Text(text) => {
                check_present("text", text)?;
                check_length("text", text, MAX_TEXT_BYTES)
            }
        },
    }
}

fn check_items(request: &ExplainRequest) -> Result<(), ServiceError> {
    check_length("user", request.user.as_str(), MAX_ID_BYTES)?;
    let many = request.items.len();
    if !(1..=MAX_EXPLAINED).contains(&many) {
        return Err(ServiceError::Argument {
            argument: "the request",
            problem: format!("has {many} items; ask for 1 to {MAX_EXPLAINED} at once"),
        });
    }
    if request.parts && many > MAX_IN_PARTS {
        return Err(ServiceError::Argument {
            argument: "the request",
            problem: format!(
                "wants the scores of {many} items in parts; ask for those of {MAX_IN_PARTS} at once"
            ),
        });
    }
    let mut ids = request.items.iter();
    ids.try_for_each(|item| check_id("item", item.as_str()))
}

pub(crate) fn check_id(argument: &'static str, id: &str) -> Result<(), ServiceError> {
    check_present(argument, id)?;
    check_length(argument, id, MAX_ID_BYTES)
}

pub(crate) fn check_present(argument: &'static str, value: &str) -> Result<(), ServiceError> {
    if value.is_empty() {
        return Err(ServiceError::Argument {
            argument,
            problem: "is empty; give one".to_owned(),
        });
    }
    Ok(())
}

pub(crate) fn check_length(argument: &'static str, value: &str, max: usize) -> Result<(), ServiceError> {
    if value.len() > max {
        let problem = format!("has {} bytes; give at most {max}", value.len());
        return Err(ServiceError::Argument { argument, problem });
    }
    Ok(())
}
