//! The one way in for HTTP and gRPC: checks what was asked, sets deadlines, counts, and knows whether anything is loaded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use gondola_crds::router_report::RouterReport;
use gondola_events::intake::{MOST_OUTCOMES, ToldOutcome};

use super::metrics::{Method, Metrics};
use super::service::{PipelineDescription, Receipt, Recommender, Served, ServiceError};
use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{RecommendRequest, SimilarRequest, SimilarTo, UserUpdate};

/// Longest id of a user or item, in bytes.
pub const LONGEST_ID: usize = 256;
/// Longest text to find neighbours of, in bytes; encoders read far less.
pub const LONGEST_TEXT: usize = 8192;
/// Largest body of a request, in bytes.
pub const LARGEST_BODY: usize = 1 << 20;
/// The longest time that a client may give a request.
const LONGEST_TIME: Duration = Duration::from_secs(60);

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

/// The way in.
pub struct Front {
    recommender: OnceLock<Arc<dyn Recommender>>,
    draining: AtomicBool,
    deadlines: Deadlines,
    metrics: Metrics,
}

impl Front {
    /// A way in with nothing behind it yet.
    pub fn new(deadlines: Deadlines) -> Self {
        Self {
            recommender: OnceLock::new(),
            draining: AtomicBool::new(false),
            deadlines,
            metrics: Metrics::default(),
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How long requests may take that bring no deadline of their own.
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// From now on requests are answered by `recommender`. The first one stays.
    pub fn open(&self, recommender: Arc<dyn Recommender>) {
        let _ = self.recommender.set(recommender);
        self.metrics.set_ready(self.ready());
    }

    /// From now on the server says that it is not ready, and goes on answering.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.set_ready(false);
    }

    /// Whether new requests should come here.
    pub fn ready(&self) -> bool {
        self.recommender.get().is_some() && !self.draining.load(Ordering::Relaxed)
    }

    /// What a user should see. `within` is the client's own time.
    pub async fn recommend(
        &self,
        request: RecommendRequest,
        within: Option<Duration>,
    ) -> Result<Served, ServiceError> {
        let ask = async {
            check_length("user", request.user.as_str(), LONGEST_ID)?;
            self.recommender()?
                .recommend(request, deadline(within, self.deadlines.ask))
                .await
        };
        let served = self.measure(Method::Recommend, ask).await?;
        self.metrics.answered(&served);
        Ok(served)
    }

    /// What is like an item.
    pub async fn similar(
        &self,
        request: SimilarRequest,
        within: Option<Duration>,
    ) -> Result<Served, ServiceError> {
        let ask = async {
            match &request.to {
                SimilarTo::Item(item) => check_id("item", item.as_str())?,
                SimilarTo::Text(text) => {
                    check_present("text", text)?;
                    check_length("text", text, LONGEST_TEXT)?;
                }
            }
            self.recommender()?
                .similar(request, deadline(within, self.deadlines.ask))
                .await
        };
        let served = self.measure(Method::Similar, ask).await?;
        self.metrics.answered(&served);
        Ok(served)
    }

    /// Adds a user or changes one.
    pub async fn put_user(
        &self,
        user: UserId,
        update: UserUpdate,
        within: Option<Duration>,
    ) -> Result<(), ServiceError> {
        let put = async {
            check_id("user", user.as_str())?;
            self.recommender()?
                .put_user(user, update, deadline(within, self.deadlines.put))
                .await
        };
        self.measure(Method::PutUser, put).await
    }

    /// Adds an item or changes one.
    pub async fn put_item(
        &self,
        item: ItemId,
        features: RawRow,
        within: Option<Duration>,
    ) -> Result<(), ServiceError> {
        let put = async {
            check_id("item", item.as_str())?;
            self.recommender()?
                .put_item(item, features, deadline(within, self.deadlines.put))
                .await
        };
        self.measure(Method::PutItem, put).await
    }

    /// What is loaded.
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
        self.recommender.get()?.unit_header()
    }

    /// How the experiment goes.
    pub fn report(&self) -> Option<RouterReport> {
        self.recommender.get()?.report()
    }

    /// What is counted here, and what the experiment's arms did, as OpenMetrics text.
    pub fn metrics_text(&self) -> String {
        self.metrics.text(self.report().as_ref())
    }

    /// Takes what units did; what could not be read says why.
    pub async fn record_outcomes(
        &self,
        told: Vec<Result<ToldOutcome, String>>,
    ) -> Result<Receipt, ServiceError> {
        let record = async {
            if told.len() > MOST_OUTCOMES {
                let problem = format!(
                    "has {} outcomes; send at most {MOST_OUTCOMES} at once",
                    told.len()
                );
                return Err(ServiceError::Argument {
                    argument: "the request",
                    problem,
                });
            }
            match self.recommender()?.record_outcomes(told) {
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
        self.recommender
            .get()
            .map(Arc::as_ref)
            .ok_or(ServiceError::Loading)
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
fn deadline(within: Option<Duration>, default: Duration) -> Instant {
    let within = within.map(|within| within - within / 10);
    Instant::now() + within.unwrap_or(default).min(LONGEST_TIME)
}

fn check_id(argument: &'static str, id: &str) -> Result<(), ServiceError> {
    check_present(argument, id)?;
    check_length(argument, id, LONGEST_ID)
}

fn check_present(argument: &'static str, value: &str) -> Result<(), ServiceError> {
    if value.is_empty() {
        return Err(ServiceError::Argument {
            argument,
            problem: "is empty; give one".to_owned(),
        });
    }
    Ok(())
}

fn check_length(argument: &'static str, value: &str, most: usize) -> Result<(), ServiceError> {
    if value.len() > most {
        let problem = format!("has {} bytes; give at most {most}", value.len());
        return Err(ServiceError::Argument { argument, problem });
    }
    Ok(())
}
