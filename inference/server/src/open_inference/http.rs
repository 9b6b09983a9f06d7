//! The paths of the protocol.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use gondola_causes::with_causes;
use gondola_open_inference::{Model, UnknownModel, json as bodies};
use gondola_protocol::Code;
use serde_json::{Value, json};

use super::{EXTENSIONS, InferError, NAME, NOT_LOADED_HERE, infer, state};
use crate::front::Front;
use crate::http_error::{ASK_AGAIN, HttpError, status};

/// All of them; a model may be named with its version.
pub(crate) fn routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(|| async { Json(json!({"live": true})) }))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/stats", get(statistics_of_all))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/{what}", get(about).post(ask))
        .route("/v2/models/{model}/versions/{version}", get(metadata_of_version))
        .route(
            "/v2/models/{model}/versions/{version}/{what}",
            get(about_version).post(ask_version),
        )
        .route("/v2/repository/index", post(index))
        .route("/v2/repository/models/{model}/{what}", post(not_loaded))
}

/// An error as clients of the protocol read it.
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: status(code),
            message: message.into(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.message}))).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, ASK_AGAIN);
        }
        response
    }
}

impl From<InferError> for Refusal {
    fn from(error: InferError) -> Self {
        Self::new(error.code(), with_causes(&error))
    }
}

impl From<UnknownModel> for Refusal {
    fn from(error: UnknownModel) -> Self {
        Self::new(Code::NotFound, error.to_string())
    }
}

async fn server() -> Json<Value> {
    Json(json!({"name": NAME, "version": env!("CARGO_PKG_VERSION"), "extensions": EXTENSIONS}))
}

async fn ready(State(front): State<Arc<Front>>) -> Response {
    readiness(&front, json!({"ready": front.ready()}))
}

/// Triton's clients read the status, KServe's the body.
fn readiness(front: &Front, body: Value) -> Response {
    let status = match front.ready() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(body)).into_response()
}

async fn metadata(Path(model): Path<String>) -> Result<Json<Value>, Refusal> {
    Ok(Json(bodies::metadata(Model::find(&model, "")?)))
}

async fn metadata_of_version(Path((model, version)): Path<(String, String)>) -> Result<Json<Value>, Refusal> {
    Ok(Json(bodies::metadata(Model::find(&model, &version)?)))
}

async fn about(
    State(front): State<Arc<Front>>,
    Path((model, what)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    about_model(&front, &model, "", &what)
}

async fn about_version(
    State(front): State<Arc<Front>>,
    Path((model, version, what)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    about_model(&front, &model, &version, &what)
}

fn about_model(front: &Front, model: &str, version: &str, what: &str) -> Result<Response, Refusal> {
    let model = Model::find(model, version)?;
    match what {
        "ready" => {
            let body = json!({"name": model.name(), "ready": front.ready()});
            Ok(readiness(front, body))
        }
        "config" => Ok(Json(bodies::config(model)).into_response()),
        "stats" => Ok(statistics(front, [model]).into_response()),
        _ => Err(nothing_like(what)),
    }
}

fn nothing_like(what: &str) -> Refusal {
    let message = format!(
        "there is nothing called {what:?} of a model; there are GET ready, config and stats, and POST infer"
    );
    Refusal::new(Code::NotFound, message)
}

async fn statistics_of_all(State(front): State<Arc<Front>>) -> Json<Value> {
    statistics(&front, Model::all())
}

fn statistics(front: &Front, models: impl IntoIterator<Item = Model>) -> Json<Value> {
    let statistics = models.into_iter().map(|model| front.statistics().json(model));
    Json(json!({"model_stats": statistics.collect::<Vec<Value>>()}))
}

async fn ask(
    State(front): State<Arc<Front>>,
    Path((model, what)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    ask_model(&front, (&model, "", &what), &headers, body).await
}

async fn ask_version(
    State(front): State<Arc<Front>>,
    Path((model, version, what)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    ask_model(&front, (&model, &version, &what), &headers, body).await
}

async fn ask_model(
    front: &Front,
    (model, version, what): (&str, &str, &str),
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Response> {
    if what != "infer" {
        return Err(nothing_like(what).into_response());
    }
    let model = Model::find(model, version).map_err(|error| Refusal::from(error).into_response())?;
    if headers.contains_key(header::CONTENT_ENCODING) {
        let message = "the body is compressed; send it as it is".to_owned();
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Refusal { status, message }.into_response());
    }
    let body = crate::http::read(front, headers, body);
    let body = body.await.map_err(HttpError::into_response)?;
    let asked = inferred(front, model, headers, &body).await;
    asked.map_err(Refusal::into_response)
}

async fn inferred(
    front: &Front,
    model: Model,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Refusal> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let json_length = match header(bodies::JSON_LENGTH) {
        None => None,
        Some(length) => Some(length.parse().map_err(|_| {
            let message = format!("Inference-Header-Content-Length is {length:?}; give a number of bytes");
            Refusal::new(Code::InvalidArgument, message)
        })?),
    };
    let (inference, as_bytes) = bodies::read(model, body, json_length)
        .map_err(|error| Refusal::new(Code::InvalidArgument, error.to_string()))?;
    let result = infer(front, inference, None, header).await?;
    let written = bodies::write(&result, &as_bytes);
    let mut response = written.body.into_response();
    let kind = match written.json_length {
        None => "application/json",
        Some(length) => {
            let name = HeaderName::from_static(bodies::JSON_LENGTH);
            response.headers_mut().insert(name, length.into());
            "application/octet-stream"
        }
    };
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn index(State(front): State<Arc<Front>>) -> Json<Value> {
    let (state, reason) = state(&front);
    let models = Model::all().map(|model| {
        json!({
            "name": model.name(), "version": gondola_open_inference::VERSION,
            "state": state, "reason": reason,
        })
    });
    Json(Value::Array(models.collect()))
}

async fn not_loaded() -> Refusal {
    Refusal::new(Code::InvalidArgument, NOT_LOADED_HERE)
}
