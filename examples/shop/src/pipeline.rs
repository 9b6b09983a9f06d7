//! The pipeline, over HTTP.
//!
//! A [`Question`] says what is asked, an [`Answer`] what came of it. What fails is a value beside its question, so that a page can show
//! the rest. Each request has one deadline, the shop's patience, and one bound on what it reads.

pub mod answer;
pub mod question;

use std::time::Duration;

use bytes::Bytes;
use gondola_causes::with_causes;
use gondola_request::{Explanation, Interaction, ItemId, UserId};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use answer::{Answer, Explained, Failure, Loaded, Receipt};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use question::Question;

/// The header that chooses a variant.
const ARM: &str = "x-gondola-arm";
/// The header with the request's id, which interactions repeat.
const REQUEST_ID: &str = "x-request-id";
/// Most bytes of an answer: twelve items take one or two kilobytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A question, and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What was asked.
    pub question: Question,
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there.
    #[error("cannot reach the pipeline at {0}; is it running?")]
    Unreachable(Url, #[source] hyper_util::client::legacy::Error),
    /// It took too long.
    #[error("the pipeline did not answer within {0:?}")]
    Late(Duration),
    /// What was sent makes no request.
    #[error("this makes no request")]
    Request(#[source] axum::http::Error),
    /// The answer ended early, or has too many bytes.
    #[error("the pipeline's answer cannot be read: {0}")]
    Body(String),
    /// The answer is not what it should be.
    #[error("the pipeline's answer is not such JSON")]
    Json(#[source] serde_json::Error),
    /// The pipeline refused.
    #[error("{message} ({status})")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What it said.
        message: String,
    },
}

/// A client of one pipeline.
#[derive(Debug)]
pub struct Pipeline {
    questions: Url,
    changes: Url,
    patience: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Pipeline {
    /// A client that connects when it asks: questions to one address, interactions to another.
    pub fn new(questions: Url, changes: Url, patience: Duration) -> Self {
        Self {
            questions,
            changes,
            patience,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Asks. Where an arm is chosen, the admin port is asked: it alone lets everybody choose.
    pub async fn ask(&self, question: Question, arm: Option<&str>) -> Asked {
        let base = match arm {
            Some(_) => &self.changes,
            None => &self.questions,
        };
        let answer = self.get::<Answer>(question.url(base), arm).await;
        Asked {
            question,
            answer: answer
                .map(|(headers, answer)| Answer {
                    request: text(&headers, REQUEST_ID),
                    ..answer
                })
                .map_err(|error| with_causes(&error)),
        }
    }

    /// Tells what customers did.
    pub async fn tell(&self, interactions: &[Interaction]) -> Result<Receipt, String> {
        let body = json!({"interactions": interactions});
        let told = self
            .change(Method::POST, &["v1", "interactions"], &body, None)
            .await;
        let read = told.and_then(|body| serde_json::from_slice(&body).map_err(AskError::Json));
        read.map_err(|error| with_causes(&error))
    }

    /// Asks why products are in a list of `k` for a customer, or where they were lost.
    pub async fn explain(
        &self,
        user: &UserId,
        items: &[ItemId],
        k: usize,
        arm: Option<&str>,
    ) -> Result<Vec<Explanation>, String> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let body = json!({"user": user, "items": items, "k": k, "parts": true});
        let explained = self.change(Method::POST, &["v1", "explain"], &body, arm).await;
        let read =
            explained.and_then(|body| serde_json::from_slice::<Explained>(&body).map_err(AskError::Json));
        read.map(|explained| explained.items)
            .map_err(|error| with_causes(&error))
    }

    /// Says what a column of a customer is from now on.
    pub async fn set(&self, user: &UserId, column: &str, value: &Value) -> Result<(), String> {
        let body = json!({"features": {column: value}});
        let path = ["v1", "users", user.as_str()];
        let set = self.change(Method::PATCH, &path, &body, None).await;
        set.map(drop).map_err(|error| with_causes(&error))
    }

    /// Tells which variants there are.
    pub async fn variants(&self) -> Result<Loaded, String> {
        let mut url = self.changes.clone();
        url.set_path("/v1/pipeline");
        let loaded = self.get::<Loaded>(url, None).await;
        loaded
            .map(|(_, loaded)| loaded)
            .map_err(|error| with_causes(&error))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        url: Url,
        arm: Option<&str>,
    ) -> Result<(HeaderMap, T), AskError> {
        let mut request = Request::builder().uri(url.as_str());
        if let Some(arm) = arm {
            request = request.header(ARM, arm);
        }
        let request = request.body(Full::default()).map_err(AskError::Request)?;
        let (headers, body) = self.send(request, &url).await?;
        let read = serde_json::from_slice(&body).map_err(AskError::Json)?;
        Ok((headers, read))
    }

    /// Sends JSON to the admin port, and gives what it answers.
    async fn change(
        &self,
        method: Method,
        path: &[&str],
        body: &Value,
        arm: Option<&str>,
    ) -> Result<Bytes, AskError> {
        let mut url = self.changes.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(arm) = arm {
            request = request.header(ARM, arm);
        }
        let request = request
            .body(Full::from(body.to_string()))
            .map_err(AskError::Request)?;
        let (_, body) = self.send(request, &url).await?;
        Ok(body)
    }

    async fn send(&self, request: Request<Full<Bytes>>, url: &Url) -> Result<(HeaderMap, Bytes), AskError> {
        let sent = tokio::time::timeout(self.patience, self.exchange(request, url)).await;
        let (status, headers, body) = sent.map_err(|_| AskError::Late(self.patience))??;
        if !status.is_success() {
            let message = Failure::read(&body);
            return Err(AskError::Refused { status, message });
        }
        Ok((headers, body))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        url: &Url,
    ) -> Result<(StatusCode, HeaderMap, Bytes), AskError> {
        let response = self.client.request(request).await;
        let response = response.map_err(|source| AskError::Unreachable(origin(url), source))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| AskError::Body(error.to_string()))?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

/// The address without what was asked there.
fn origin(url: &Url) -> Url {
    let mut origin = url.clone();
    origin.set_path("/");
    origin.set_query(None);
    origin
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
