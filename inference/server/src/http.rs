//! The HTTP and JSON interface. [`changes`] are users and items that are put, and what users do; [`explanations`] say what becomes of an
//! item in an answer.

pub(crate) mod changes;
pub(crate) mod explanations;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gondola_events::intake;
use gondola_protocol::{Code, Digests, Inquiry, Served, ServiceError, Visit};
use gondola_request::{
    Degradation, RecommendRequest, Recommendation, SimilarRequest, SimilarTo, StageTiming, UserId,
};
use gondola_wire::router_report::REPORT_PATH;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use crate::access::forced_arm::ARM_SIGNATURE;
use crate::experimenter::MAX_UNIT_BYTES;
use crate::front::{Front, MAX_BODY_BYTES, MAX_ID_BYTES, MAX_TEXT_BYTES};
use crate::http_error::{HttpError, error};
use crate::metrics::Method;
use crate::request_id::REQUEST_ID;
use crate::{open_inference, openapi, query};

/// The header with which a tester chooses an arm.
pub(super) const ARM_HEADER: &str = "x-gondola-arm";
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The paths.
pub fn routes(front: Arc<Front>) -> Router {
    Router::new()
        .route("/v1/recommend", get(recommend))
        .route("/v1/similar", get(similar))
        .merge(explanations::routes())
        .merge(changes::routes())
        .merge(open_inference::http::routes())
        .route("/v1/pipeline", get(describe))
        .route("/v1/outcomes", post(record_outcomes))
        .route(REPORT_PATH, get(report))
        .route(openapi::PATH, get(openapi::serve))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .with_state(front)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecommendQuery {
    /// The user; one that nobody knows, or none, gets what suits everybody.
    #[serde(default)]
    #[schemars(length(max = MAX_ID_BYTES))]
    user: String,
    /// Number of items; default and maximum are the pipeline's.
    #[schemars(range(min = 1))]
    k: Option<usize>,
    /// What is told beside the items.
    explain: Option<Explain>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimilarQuery {
    /// The item whose neighbors are wanted; give this, a text, or `bought_with`.
    #[schemars(length(min = 1, max = MAX_ID_BYTES))]
    item: Option<String>,
    /// The text whose neighbors are wanted.
    #[schemars(length(min = 1, max = MAX_TEXT_BYTES))]
    text: Option<String>,
    /// The item of which it is wanted what those buy who buy it.
    #[schemars(length(min = 1, max = MAX_ID_BYTES))]
    bought_with: Option<String>,
    /// Number of items; default and maximum are the pipeline's.
    #[schemars(range(min = 1))]
    k: Option<usize>,
    /// What is told beside the items.
    explain: Option<Explain>,
}

/// What an answer tells beside the items: how long each stage took.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Explain {
    Timing,
}

/// Items, and where they come from.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AnswerBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(serialize_with = "shared")]
    variant: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(serialize_with = "shared")]
    bundles: Digests,
    items: Vec<Recommendation>,
    degraded: Vec<Degradation>,
    /// Microseconds by stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    timing: Option<BTreeMap<&'static str, u64>>,
}

/// serde writes what others share only with a feature of its own, which it warns of for reading.
fn shared<T: Serialize + ?Sized, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

/// Microseconds by stage.
fn microseconds(timing: &[StageTiming]) -> BTreeMap<&'static str, u64> {
    let stages = timing.iter();
    stages
        .map(|timing| (timing.stage.as_str(), timing.took.as_micros() as u64))
        .collect()
}

impl AnswerBody {
    fn new(user: Option<UserId>, served: Served, explain: Option<Explain>) -> Self {
        let timing = explain.map(|Explain::Timing| microseconds(&served.answer.timing));
        Self {
            user,
            variant: served.variant,
            reason: served.reason.map(|reason| reason.as_str()),
            bundles: served.bundles,
            items: served.answer.items,
            degraded: served.answer.degraded,
            timing,
        }
    }
}

async fn recommend(State(front): State<Arc<Front>>, request: Request) -> Result<Json<AnswerBody>, HttpError> {
    let place = front.enter(Method::Recommend)?;
    let (head, _) = request.into_parts();
    let query: RecommendQuery = query::read(&head.uri)?;
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let user = UserId::from(query.user);
    let visit = visit(&front, user.as_str(), header)?;
    let request = RecommendRequest {
        user: user.clone(),
        k: query.k,
    };
    let inquiry = Inquiry {
        question: request.into(),
        visit,
    };
    let served = front.answer(place, inquiry, None).await?;
    Ok(Json(AnswerBody::new(Some(user), served, query.explain)))
}

/// What an experiment wants to know of a request: headers of HTTP, or metadata of gRPC. One that is too long is as if it were not
/// there: nobody goes without an answer because of a header that something on the way added. An arm that is signed must be signed for
/// this unit.
pub(super) fn visit<'a>(
    front: &Front,
    user: &str,
    header: impl Fn(&str) -> Option<&'a str>,
) -> Result<Visit, ServiceError> {
    let signature = header(ARM_SIGNATURE.as_str());
    let header = |name: &str, longest: usize| {
        let text = header(name).filter(|text| text.len() <= longest);
        text.map(str::to_owned)
    };
    let unit = |name: Arc<str>| header(&name, MAX_UNIT_BYTES);
    let visit = Visit {
        unit: front.unit_header().and_then(unit),
        arm: header(ARM_HEADER, MAX_UNIT_BYTES),
        request: header(REQUEST_ID.as_str(), usize::MAX),
    };
    if let (Some(arm), Some(signature), Some(key)) = (&visit.arm, signature, front.arm_key()) {
        let unit = visit.unit.as_deref().unwrap_or(user);
        key.check(arm, unit, signature, SystemTime::now())?;
    }
    Ok(visit)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcomes {
    /// Each is read for itself, so that one which is wrong costs the others nothing.
    outcomes: Vec<serde_json::Value>,
}

async fn record_outcomes(
    State(front): State<Arc<Front>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let Outcomes { outcomes } = parse(&read(&front, &headers, body).await?)?;
    let reported = outcomes.into_iter().map(intake::read).collect();
    Ok(Json(front.record_outcomes(reported).await?).into_response())
}

async fn report(State(front): State<Arc<Front>>) -> Result<Response, HttpError> {
    match front.report() {
        Some(report) => Ok(Json(report).into_response()),
        None => Err(ServiceError::NoExperiment.into()),
    }
}

async fn similar(State(front): State<Arc<Front>>, request: Request) -> Result<Json<AnswerBody>, HttpError> {
    let place = front.enter(Method::Similar)?;
    let (head, _) = request.into_parts();
    let SimilarQuery {
        item,
        text,
        bought_with,
        k,
        explain,
    } = query::read(&head.uri)?;
    let to = match (item, text, bought_with) {
        (Some(item), None, None) => SimilarTo::Item(item.into()),
        (None, Some(text), None) => SimilarTo::Text(text),
        (None, None, Some(item)) => SimilarTo::BoughtWith(item.into()),
        (None, None, None) => {
            return Err(argument(
                "the query",
                "asks for nothing; give item=, text= or bought_with=",
            ));
        }
        _ => {
            return Err(argument(
                "the query",
                "has more than one of item=, text= and bought_with=; give one of them",
            ));
        }
    };
    let served = front.answer(place, SimilarRequest { to, k }.into(), None).await?;
    Ok(Json(AnswerBody::new(None, served, explain)))
}

async fn describe(State(front): State<Arc<Front>>) -> Result<Response, HttpError> {
    Ok(Json(front.describe(None).await?).into_response())
}

async fn readyz(State(front): State<Arc<Front>>) -> Response {
    if front.ready() {
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: loading bundles, or stopping\n",
        )
            .into_response()
    }
}

async fn metrics(State(front): State<Arc<Front>>) -> Response {
    ([(header::CONTENT_TYPE, METRICS_TYPE)], front.metrics_text()).into_response()
}

async fn nothing_here() -> Response {
    let message = "there is nothing at this path; there are /v1/recommend, /v1/similar, /v1/users/ID, /v1/items/ID, \
                   /v1/items:batch, /v1/interactions, /v1/rules, /v1/pipeline, /v1/outcomes, /v1/experiment, /openapi.json, /healthz, /readyz and \
                   /metrics";
    error(StatusCode::NOT_FOUND, Code::NotFound, message)
}

async fn other_method() -> Response {
    let message = "this path takes another method: PUT, PATCH or DELETE for /v1/users/ID and /v1/items/ID, GET, PUT or DELETE for /v1/rules, POST for \
                   /v1/items:batch, /v1/interactions and /v1/outcomes, GET for all others";
    error(StatusCode::METHOD_NOT_ALLOWED, Code::InvalidArgument, message)
}

/// The whole body: refused by its declared length before any of it is read, and not waited for longer than for a change.
pub(super) async fn read(front: &Front, headers: &HeaderMap, body: Body) -> Result<Bytes, HttpError> {
    let too_large = || HttpError::Rejected {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        message: format!("the body is larger than {MAX_BODY_BYTES} bytes; send less"),
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(front.deadlines().put, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // What isn't too large was cut off, and then nobody reads this.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(HttpError::Rejected {
            status: StatusCode::REQUEST_TIMEOUT,
            message: "the body did not come in time; send it at once".to_owned(),
        }),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    // serde would take an array for a struct's fields in order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(argument(
            "the body",
            "is not a JSON object; give for example {\"features\": {...}}, or {\"interactions\": [...]}",
        ));
    }
    serde_json::from_slice(body).map_err(|error| argument("the body", &format!("is not such JSON: {error}")))
}

fn argument(argument: &'static str, problem: &str) -> HttpError {
    ServiceError::Argument {
        argument,
        problem: problem.to_owned(),
    }
    .into()
}
