//! The fence: no write leaves this process unless it leads.
//!
//! It stands between the client and the network, so that a process that was frozen for a minute and wakes up in the
//! middle of a pass can't continue it.

use std::task::{Context, Poll};

use http::{Method, Request};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

use crate::lease::Leadership;

/// A write without leadership.
#[derive(Debug, thiserror::Error)]
#[error("this operator is not the leader and must not write")]
pub struct NotLeading;

/// Puts a [`Fence`] around a client's transport.
#[derive(Clone, Debug)]
pub struct FenceLayer {
    leadership: Leadership,
}

impl FenceLayer {
    /// A fence that is open while `leadership` holds.
    pub fn new(leadership: Leadership) -> Self {
        Self { leadership }
    }
}

impl<S> Layer<S> for FenceLayer {
    type Service = Fence<S>;

    fn layer(&self, transport: S) -> Fence<S> {
        Fence {
            transport,
            leadership: self.leadership.clone(),
        }
    }
}

/// A transport that refuses to write while this process does not lead.
#[derive(Clone, Debug)]
pub struct Fence<S> {
    transport: S,
    leadership: Leadership,
}

impl<S> Service<Request<Body>> for Fence<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.transport.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.method() != Method::GET && !self.leadership.holds() {
            return Box::pin(async { Err(NotLeading.into()) });
        }
        let answer = self.transport.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}
