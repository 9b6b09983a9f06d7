//! Errors on their way out over HTTP: a status, and JSON with a code and a message.

use std::sync::LazyLock;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use gondola_causes::with_causes;
use gondola_protocol::{Code, ServiceError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::room::NoPlace;

/// When to ask again, in seconds, where there is too much to do: by then other questions are answered.
pub(super) const ASK_AGAIN: HeaderValue = HeaderValue::from_static("1");

/// What every error is.
#[derive(Serialize, JsonSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

/// Why there is no answer.
#[derive(Serialize, JsonSchema)]
struct ErrorDetail {
    /// The name of a code of gRPC, such as `INVALID_ARGUMENT`.
    code: &'static str,
    /// What is wrong, and what to do.
    message: String,
}

/// An error on its way out.
pub(super) enum HttpError {
    Service(ServiceError),
    NoPlace,
    Rejected { status: StatusCode, message: String },
}

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<NoPlace> for HttpError {
    fn from(_: NoPlace) -> Self {
        Self::NoPlace
    }
}

impl From<PathRejection> for HttpError {
    fn from(rejection: PathRejection) -> Self {
        Self::rejected(rejection.status(), rejection.body_text())
    }
}

impl HttpError {
    /// An error of the request's own.
    pub(super) fn rejected(status: StatusCode, message: String) -> Self {
        Self::Rejected { status, message }
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        match self {
            Self::Service(service) => {
                let code = service.code();
                let mut response = error(status(code), code, &with_causes(&service));
                if code == Code::ResourceExhausted {
                    response.headers_mut().insert(header::RETRY_AFTER, ASK_AGAIN);
                }
                response
            }
            Self::NoPlace => no_place(),
            Self::Rejected { status, message } => error(status, Code::InvalidArgument, &message),
        }
    }
}

pub(super) fn error(status: StatusCode, code: Code, message: &str) -> Response {
    (status, Json(body(code, message))).into_response()
}

fn body(code: Code, message: &str) -> ErrorBody {
    let error = ErrorDetail {
        code: code.as_str(),
        message: message.to_owned(),
    };
    ErrorBody { error }
}

/// Nearly all that a server says in a flood: written once.
fn no_place() -> Response {
    static BODY: LazyLock<Bytes> = LazyLock::new(|| {
        let body = body(Code::ResourceExhausted, &NoPlace.to_string());
        serde_json::to_vec(&body).expect("two texts are JSON").into()
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::RETRY_AFTER, ASK_AGAIN),
    ];
    (status(Code::ResourceExhausted), headers, BODY.clone()).into_response()
}

/// The status of a code.
pub(super) fn status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
