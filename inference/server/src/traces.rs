//! Traces, as OpenTelemetry has them: a span for a request, for each pod that a router asks, and for each stage of an answer.
//!
//! `traceparent` (W3C Trace Context) is read from what comes in and written on what goes out, over HTTP and gRPC, also where nothing
//! is exported: a variant's spans belong to the router's, and those to the client's. Whether a trace is kept the client says; for
//! those who say nothing, [`arguments`] do. The span that a future works in is OpenTelemetry's current one, so that no function has
//! to hand it on.
//!
//! Without an exporter and without `traceparent` a request costs one look at its headers.

pub mod arguments;
mod headers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use gondola_protocol::Served;
use gondola_request::StageTiming;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{
    FutureExt as _, Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use prometheus_client::encoding::EncodeLabelSet;
use tonic::metadata::MetadataMap;
use tracing::Instrument as _;

use headers::{ReadHeaders, WriteMetadata};

/// The scope of our spans.
const SCOPE: &str = "gondola";
const TRACEPARENT: &str = "traceparent";
/// What is worth a span: questions and changes, in each protocol. Health checks and scrapes would drown them.
const TRACED: [&str; 3] = ["/v1/", "/v2/models/", "/gondola."];
/// The questions of the Open Inference Protocol over gRPC.
const INFERENCE: &str = "/inference.GRPCInferenceService/ModelInfer";

/// Whether spans are exported.
static EXPORTED: AtomicBool = AtomicBool::new(false);

/// A span under way, which ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    context: Context,
    /// Whether lines of the log name its trace: those within are within one that does.
    names_lines: bool,
}

/// The trace of a time in a histogram, by which people find what took so long.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Exemplar {
    trace_id: String,
}

impl Span {
    /// The span of a request that came in; nothing where nobody would see it.
    pub(crate) fn of_request(method: &str, uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let path = uri.path();
        let traced = TRACED.iter().any(|prefix| path.starts_with(prefix)) || path == INFERENCE;
        if !traced || !(EXPORTED.load(Ordering::Relaxed) || headers.contains_key(TRACEPARENT)) {
            return None;
        }
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &ReadHeaders(headers));
        let route = named(path).to_owned();
        let span = SpanBuilder::from_name(format!("{method} {route}"))
            .with_kind(SpanKind::Server)
            .with_attributes([KeyValue::new("http.route", route)]);
        Some(Self::begin(span, &parent, true))
    }

    /// A span of what a router asks one of a variant's pods, within the current one; nothing where there is none.
    pub fn of_question(pod: &str) -> Option<Self> {
        let parent = Context::current();
        if !parent.span().span_context().is_valid() {
            return None;
        }
        let span = SpanBuilder::from_name("ask a pod")
            .with_kind(SpanKind::Client)
            .with_attributes([KeyValue::new("server.address", pod.to_owned())]);
        Some(Self::begin(span, &parent, false))
    }

    fn begin(span: SpanBuilder, parent: &Context, names_lines: bool) -> Self {
        let span = global::tracer(SCOPE).build_with_context(span, parent);
        Self {
            context: parent.with_span(span),
            names_lines,
        }
    }

    /// Does `work` within the span, whose trace all lines of the log name.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        let lines = match self.trace_id() {
            Some(trace_id) if self.names_lines => tracing::info_span!("request", trace_id),
            _ => tracing::Span::none(),
        };
        work.with_context(self.context.clone()).instrument(lines).await
    }

    /// Notes that it did not go well.
    pub fn failed(&self, why: impl Into<std::borrow::Cow<'static, str>>) {
        self.context.span().set_status(Status::error(why));
    }

    /// Notes how a request that came in was answered.
    pub(crate) fn came_out(&self, id: &HeaderValue, status: StatusCode) {
        let span = self.context.span();
        let id = id.to_str().unwrap_or_default().to_owned();
        span.set_attribute(KeyValue::new("gondola.request_id", id));
        span.set_attribute(KeyValue::new(
            "http.response.status_code",
            i64::from(status.as_u16()),
        ));
        if status.is_server_error() {
            self.failed(status.as_str().to_owned());
        }
    }

    /// The id of the trace, if it is kept.
    pub(crate) fn trace_id(&self) -> Option<String> {
        trace_id(&self.context)
    }
}

/// Does `work` within a span, if there is one.
pub async fn within<F: Future>(span: Option<&Span>, work: F) -> F::Output {
    match span {
        Some(span) => span.around(work).await,
        None => work.await,
    }
}

/// Work that stays within the current span wherever it goes on.
pub fn here<F: Future>(work: F) -> impl Future<Output = F::Output> {
    work.with_context(Context::current())
}

/// Writes the current span on what goes out.
pub fn write(metadata: &mut MetadataMap) {
    let context = Context::current();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut WriteMetadata(metadata));
    }
}

/// Notes in the current span what answered.
pub(crate) fn note_answer(served: &Served) {
    let context = Context::current();
    let span = context.span();
    if !span.is_recording() {
        return;
    }
    span.set_attribute(KeyValue::new("gondola.variant", served.variant.to_string()));
    for degradation in &served.answer.degraded {
        let reason = KeyValue::new("reason", degradation.as_str());
        span.add_event("degraded", vec![reason]);
    }
}

/// Adds spans of stages to the current one: one after the other, until `end`.
pub fn add_stages(stages: &[StageTiming], end: SystemTime) {
    let context = Context::current();
    if !context.span().is_recording() {
        return;
    }
    let tracer = global::tracer(SCOPE);
    let all = stages.iter().map(|stage| stage.took).sum();
    let mut at = end.checked_sub(all).unwrap_or(end);
    for stage in stages {
        let span = SpanBuilder::from_name(stage.stage.as_str()).with_start_time(at);
        let mut span = tracer.build_with_context(span, &context);
        at += stage.took;
        span.end_with_timestamp(at);
    }
}

/// The trace of what is timed now, if it is kept.
pub(crate) fn exemplar() -> Option<Exemplar> {
    let trace_id = trace_id(&Context::current())?;
    Some(Exemplar { trace_id })
}

fn trace_id(context: &Context) -> Option<String> {
    let span = context.span();
    let context = span.span_context();
    context.is_sampled().then(|| context.trace_id().to_string())
}

/// A path without ids, of which there are as many as users.
fn named(path: &str) -> &str {
    let within = ["/v1/users/", "/v1/items/"];
    let cut = within.iter().find(|prefix| path.starts_with(**prefix));
    cut.map_or(path, |prefix| prefix.trim_end_matches('/'))
}
