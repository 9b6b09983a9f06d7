//! Errors on their way out over HTTP: a status, and JSON with a code and a message.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gondola_causes::with_causes;
use gondola_protocol::{Code, ServiceError};
use schemars::JsonSchema;
use serde::Serialize;

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
    Rejected { status: StatusCode, message: String },
}

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
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
                error(status(code), code, &with_causes(&service))
            }
            Self::Rejected { status, message } => error(status, Code::InvalidArgument, &message),
        }
    }
}

pub(super) fn error(status: StatusCode, code: Code, message: &str) -> Response {
    let error = ErrorDetail {
        code: code.as_str(),
        message: message.to_owned(),
    };
    (status, Json(ErrorBody { error })).into_response()
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
