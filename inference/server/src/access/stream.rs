//! The messages of a stream: each is a request like any other, so that one call is no way around limits, nor a key that was taken back
//! good for as long as a call lasts.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderMap;

use super::limits::Admission;
use super::{Asking, Denial, Guard, Port};
use crate::front::Front;

/// The one path that takes streams.
pub(super) const PATH: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// What lets the messages of one stream in.
#[derive(Clone)]
pub(crate) struct Turnstile {
    guard: Arc<Guard>,
    port: Port,
    headers: HeaderMap,
    address: Option<IpAddr>,
}

impl Turnstile {
    pub(super) fn of(guard: &Arc<Guard>, request: &Request, port: Port) -> Self {
        let asking = Asking::of(request);
        Self {
            guard: Arc::clone(guard),
            port,
            headers: asking.headers.clone(),
            address: asking.address,
        }
    }

    /// Lets one message in, which is under way until what is given back is dropped; or says why not, and counts that.
    pub(crate) fn admit(&self, front: &Front) -> Result<Option<Admission>, impl std::error::Error + use<>> {
        let asking = Asking {
            path: PATH,
            headers: &self.headers,
            address: self.address,
        };
        let admitted = self.guard.admit(&asking, self.port);
        admitted.inspect_err(|denial: &Denial| front.metrics().denied(denial.reason()))
    }
}
