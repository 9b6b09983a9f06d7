//! A client that keeps its connections, as many as it has requests under way.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use gondola_tests::http::Response;

/// Why an answer to a user whom nobody knows is degraded: through no fault of whoever answers.
const UNKNOWN: &str = "unknown_user";
/// Whoever waits longer than that for an answer has met a server that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A client of any number of servers.
#[derive(Clone)]
pub(crate) struct Client(Pool<HttpConnector, Full<Bytes>>);

/// What was recommended, or found to be similar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// Items with their scores, the best first.
    pub(crate) items: Vec<(String, f64)>,
    pub(crate) degraded: Vec<String>,
}

/// How a request for recommendations ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With everything that there is.
    Whole,
    /// With less, for these reasons.
    Degraded(String),
    /// With a status that says no.
    Refused(u16),
    /// Without any.
    Failed(String),
}

impl Answer {
    pub(crate) fn has(&self, item: &str) -> bool {
        self.items.iter().any(|(id, _)| id == item)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.degraded.is_empty()
    }

    fn read(answer: &Value) -> anyhow::Result<Self> {
        let list = |name: &str| {
            answer[name]
                .as_array()
                .with_context(|| format!("no {name}: {answer}"))
        };
        let item = |item: &Value| Some((item["item"].as_str()?.to_owned(), item["score"].as_f64()?));
        let items: Option<Vec<(String, f64)>> = list("items")?.iter().map(item).collect();
        let degraded = list("degraded")?.iter().filter_map(|reason| reason.as_str());
        Ok(Self {
            items: items.with_context(|| format!("an item without id or score: {answer}"))?,
            degraded: degraded
                .filter(|reason| *reason != UNKNOWN)
                .map(str::to_owned)
                .collect(),
        })
    }
}

impl Ending {
    /// The end that an answer is.
    pub(crate) fn of(status: u16, body: &str) -> Self {
        match (status, reasons(body)) {
            (200, Some(reasons)) if reasons.is_empty() => Self::Whole,
            (200, Some(reasons)) => Self::Degraded(reasons.join(", ")),
            (200, None) => Self::Failed(body.to_owned()),
            (status, _) => Self::Refused(status),
        }
    }
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self(Pool::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a request, and waits for its answer as long as [`PATIENCE`] lasts.
    pub(crate) async fn send(
        &self,
        method: &str,
        address: &str,
        path: &str,
        body: String,
    ) -> anyhow::Result<Response> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        let answer = async {
            let answer = self.0.request(request).await?;
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await?.to_bytes();
            anyhow::Ok(Response {
                status,
                body: String::from_utf8_lossy(&body).into_owned(),
            })
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .with_context(|| format!("{method} {path}: no answer within {PATIENCE:?}"))?
    }

    pub(crate) async fn get(&self, address: &str, path: &str) -> anyhow::Result<Response> {
        self.send("GET", address, path, String::new()).await
    }

    /// Makes a change that must be acknowledged.
    pub(crate) async fn change(
        &self,
        method: &str,
        address: &str,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<()> {
        let answer = self.send(method, address, path, body.to_string()).await?;
        match answer.status {
            204 => Ok(()),
            200 => {
                let receipt = answer.json()?;
                let refused = receipt["refused"].as_array().is_some_and(Vec::is_empty);
                ensure!(refused, "{method} {path}: {receipt}");
                Ok(())
            }
            status => bail!("{method} {path}: status {status}: {}", answer.body),
        }
    }

    pub(crate) async fn recommend(&self, address: &str, user: &str) -> anyhow::Result<Answer> {
        let answer = self.get(address, &recommend_path(user)).await?;
        Answer::read(&answer.json()?)
    }

    /// Like [`Client::recommend`], but for how that ends alone.
    pub(crate) async fn ending(&self, address: &str, user: &str) -> Ending {
        match self.get(address, &recommend_path(user)).await {
            Ok(answer) => Ending::of(answer.status, &answer.body),
            Err(error) => Ending::Failed(format!("{error:#}")),
        }
    }

    /// What is similar, or nothing where the item is not known.
    pub(crate) async fn similar(&self, address: &str, query: &str) -> anyhow::Result<Option<Answer>> {
        let answer = self
            .get(address, &format!("/v1/similar?{}", query.replace(' ', "%20")))
            .await?;
        match answer.status {
            404 => Ok(None),
            _ => Ok(Some(Answer::read(&answer.json()?)?)),
        }
    }
}

/// Where recommendations are.
pub(crate) fn recommend_path(user: &str) -> String {
    format!("/v1/recommend?user={user}&k=12")
}

/// Why an answer is degraded; reading all of it would cost the machine more than this.
fn reasons(body: &str) -> Option<Vec<&str>> {
    let (_, rest) = body.split_once("\"degraded\":[")?;
    let (reasons, _) = rest.split_once(']')?;
    let reasons = reasons.split(',').map(|reason| reason.trim_matches('"'));
    Some(
        reasons
            .filter(|reason| !reason.is_empty() && *reason != UNKNOWN)
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_without_reading_all_of_an_answer() {
        let whole = r#"{"items":[{"item":"a"}],"degraded":[]}"#;
        assert_eq!(reasons(whole), Some(vec![]));
        let degraded = r#"{"items":[],"degraded":["unknown_user","online_store"],"timing":null}"#;
        assert_eq!(reasons(degraded), Some(vec!["online_store"]));
        assert_eq!(reasons("{}"), None);
    }
}
