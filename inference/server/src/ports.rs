//! What is served on which port.
//!
//! By itself a server has one port for everything. Where it has an admin port too, that one serves everything, and what a cluster
//! exposes need only answer questions: its clients can then neither change features, nor forge outcomes, nor read what the
//! experiment came to.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tonic::Status;

use gondola_protocol::Code;

use crate::http::ARM_HEADER;
use crate::http_error;

/// What the main port serves if there is an admin port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MainPort {
    /// Everything, as without an admin port.
    Everything,
    /// Questions alone.
    Questions(ArmHeader),
}

/// Whether a client may choose an arm of the experiment by header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmHeader {
    /// It may.
    Honored,
    /// The header is as if it were not there.
    Ignored,
}

/// What is a question: everything else is on the admin port.
const QUESTIONS: [&str; 4] = [
    "/v1/recommend",
    "/v1/similar",
    "/gondola.v1.Recommender/Recommend",
    "/gondola.v1.Recommender/Similar",
];

/// What `port` serves of everything.
pub(super) fn main_port(everything: axum::Router, port: MainPort) -> axum::Router {
    match port {
        MainPort::Everything => everything,
        MainPort::Questions(arm_header) => {
            everything.layer(from_fn(move |mut request: Request, next: Next| {
                if arm_header == ArmHeader::Ignored {
                    request.headers_mut().remove(ARM_HEADER);
                }
                async move {
                    if QUESTIONS.contains(&request.uri().path()) {
                        next.run(request).await
                    } else {
                        refused(&request)
                    }
                }
            }))
        }
    }
}

fn refused(request: &Request) -> Response {
    let grpc = |kind: &axum::http::HeaderValue| kind.as_bytes().starts_with(b"application/grpc");
    if request.headers().get(header::CONTENT_TYPE).is_some_and(grpc) {
        let method = request.uri().path().trim_start_matches('/');
        let message = format!("{method} is served on the admin port");
        return Status::permission_denied(message).into_http::<Body>();
    }
    let message =
        "this port serves GET /v1/recommend and GET /v1/similar alone; everything else is on the admin port";
    http_error::error(StatusCode::NOT_FOUND, Code::NotFound, message)
}
