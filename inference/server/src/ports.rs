//! What is served on which port.
//!
//! By itself a server has one port for everything. Where it has an admin port too, that one serves everything, and what a cluster
//! exposes need only answer questions: its clients can then neither change features, nor forge outcomes, nor read what the
//! experiment came to.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tonic::Status;

use gondola_protocol::Code;

use crate::access::forced_arm::ARM_SIGNATURE;
use crate::access::is_grpc;
use crate::access::scope::{Need, need};
use crate::front::Front;
use crate::http::ARM_HEADER;
use crate::http_error;
use crate::openapi::{self, View};

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
    /// It may if somebody who has the key signed it; without a signature the header is as if it were not there.
    Signed,
    /// The header is as if it were not there.
    Ignored,
}

/// Clients of the Open Inference Protocol ask questions alone: it has no changes.
const OPEN_INFERENCE: [&str; 3] = ["/v2", "/v2/", "/inference.GRPCInferenceService/"];

/// What is a question: everything else is on the admin port.
pub(crate) const QUESTIONS: [&str; 5] = [
    openapi::PATH,
    "/v1/recommend",
    "/v1/similar",
    "/gondola.v1.Recommender/Recommend",
    "/gondola.v1.Recommender/Similar",
];

fn is_question(path: &str) -> bool {
    let [all, below, grpc] = OPEN_INFERENCE;
    QUESTIONS.contains(&path) || path == all || path.starts_with(below) || path.starts_with(grpc)
}

/// What `port` serves of everything.
pub(super) fn main_port(everything: axum::Router, port: MainPort, front: &Front) -> axum::Router {
    match port {
        MainPort::Everything => only_port(everything, front),
        MainPort::Questions(arm_header) => {
            everything.layer(from_fn(move |mut request: Request, next: Next| {
                arm_header.apply(request.headers_mut());
                if let Some(view) = request.extensions_mut().get_mut::<View>() {
                    view.questions_alone = true;
                }
                async move {
                    if is_question(request.uri().path()) {
                        next.run(request).await
                    } else {
                        refused(&request)
                    }
                }
            }))
        }
    }
}

/// What a port serves that has no other beside it for more: everything. Where arms have a key, they are signed here too.
pub(super) fn only_port(everything: axum::Router, front: &Front) -> axum::Router {
    let arm_header = match front.arm_key().is_some() {
        true => ArmHeader::Signed,
        false => ArmHeader::Honored,
    };
    everything.layer(from_fn(move |mut request: Request, next: Next| {
        arm_header.apply(request.headers_mut());
        next.run(request)
    }))
}

/// What an admin port serves: everything; or where clients of the main port show certificates, which nobody does here, only what needs
/// nothing: health and metrics.
pub(super) fn admin_port(everything: axum::Router, clients_show_certificates: bool) -> axum::Router {
    everything.layer(from_fn(move |mut request: Request, next: Next| {
        ArmHeader::Honored.apply(request.headers_mut());
        async move {
            if clients_show_certificates && need(request.uri().path()) != Need::Nothing {
                watched_alone(&request)
            } else {
                next.run(request).await
            }
        }
    }))
}

impl ArmHeader {
    /// Leaves what may be read of a request's headers: where both are left, the signature is checked.
    fn apply(self, headers: &mut HeaderMap) {
        match self {
            Self::Honored => {
                headers.remove(ARM_SIGNATURE);
            }
            Self::Signed if headers.contains_key(ARM_SIGNATURE) => {}
            Self::Signed | Self::Ignored => {
                headers.remove(ARM_HEADER);
                headers.remove(ARM_SIGNATURE);
            }
        }
    }
}

fn watched_alone(request: &Request) -> Response {
    let message = "clients of this server show certificates, on the main port; this port serves health and metrics alone";
    match is_grpc(request.headers()) {
        true => Status::permission_denied(message).into_http::<Body>(),
        false => http_error::error(StatusCode::FORBIDDEN, Code::PermissionDenied, message),
    }
}

fn refused(request: &Request) -> Response {
    if is_grpc(request.headers()) {
        let method = request.uri().path().trim_start_matches('/');
        let message = format!("{method} is served on the admin port");
        return Status::permission_denied(message).into_http::<Body>();
    }
    let message = "this port serves GET /v1/recommend, /v1/similar, /openapi.json and /v2 alone; everything else is on the admin port";
    http_error::error(StatusCode::NOT_FOUND, Code::NotFound, message)
}
