//! Spans, as a collector gets them: the client's trace goes on in the router, in the pod that it asks, and in the stages of the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use gondola_router::remote::RemoteVariant;
use gondola_router::{Backend, Router};
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::traces::arguments::TraceArguments;
use gondola_test_stand_in::client::{get, send_with};
use gondola_test_stand_in::{Running, one_variant, until};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Keeps what it gets.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.spans.lock().unwrap().extend(spans);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        endpoint
    }

    fn of_trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let of_trace = spans.iter().filter(|span| hex(&span.trace_id) == trace_id);
        of_trace.cloned().collect()
    }
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    traces: TraceArguments,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.iter();
    attributes
        .filter_map(|attribute| {
            let value = attribute.value.as_ref()?.value.as_ref()?;
            Some((attribute.key.clone(), text(value)))
        })
        .collect()
}

async fn router_before(pod: &str) -> Running {
    let variant = RemoteVariant::new("dlrm", &[pod.to_owned()]).unwrap();
    let backend = Backend {
        name: "dlrm".to_owned(),
        weight: 100,
        buckets: Vec::new(),
        recommender: Arc::new(variant),
    };
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(30),
        put: Duration::from_secs(30),
    });
    let router = Router::new("demo", "shop", "dlrm", vec![backend]).unwrap();
    Running::start(front, Destination::router(Arc::new(router))).await
}

/// The export is the process's: one test tells all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_on_from_the_client_to_the_stages_of_its_answer() {
    let collector = Collector::default();
    let endpoint = collector.start().await;
    // Nothing is kept but what a client wants kept.
    let arguments = ["test", "--traces-endpoint", &endpoint, "--traces-sampling", "0%"];
    let export = Program::parse_from(arguments).traces.start().unwrap().unwrap();
    let (pod, _) = one_variant().await;
    let router = router_before(&pod.address).await;

    let kept = "0af7651916cd43dd8448eb211c80319c";
    let left = "1bf7651916cd43dd8448eb211c80319d";
    for (trace, flags) in [(kept, "01"), (left, "00")] {
        let traceparent = format!("00-{trace}-b7ad6b7169203331-{flags}");
        let headers = [("traceparent", traceparent.as_str()), ("x-request-id", "page-7")];
        let path = "/v1/recommend?user=anna&k=2";
        let answer = send_with(&router.address, "GET", path, &headers, "").await;
        assert_eq!(answer.status, 200);
    }
    let metrics = get(&router.address, "/metrics").await.body;
    let exemplar = format!("# {{trace_id=\"{kept}\"}}");
    let with_exemplars = metrics.lines().filter(|line| line.contains(&exemplar));
    let with_exemplars: Vec<&str> = with_exemplars.collect();
    assert!(
        with_exemplars
            .iter()
            .any(|line| line.starts_with("gondola_request_seconds_bucket")),
        "{metrics}"
    );
    assert!(!metrics.contains(left), "{metrics}");

    // What is left is sent at the end, which waits for it.
    tokio::task::spawn_blocking(move || drop(export)).await.unwrap();
    until(|| async { collector.of_trace(kept).len() == 4 }).await;
    assert_eq!(collector.of_trace(left), []);

    let spans = collector.of_trace(kept);
    let under = |parent: &[u8]| -> Vec<&Span> {
        spans
            .iter()
            .filter(|span| span.parent_span_id == parent)
            .collect()
    };
    let client = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    let [asked] = under(&client)[..] else {
        panic!("one request: {spans:?}");
    };
    assert_eq!(asked.name, "GET /v1/recommend");
    let said = attributes(asked);
    assert_eq!(said["gondola.request_id"], "page-7");
    assert_eq!(said["gondola.variant"], "dlrm");
    assert_eq!(asked.events[0].name, "degraded");
    let [hop] = under(&asked.span_id)[..] else {
        panic!("one pod is asked: {spans:?}");
    };
    assert_eq!(hop.name, "ask a pod");
    assert_eq!(attributes(hop)["server.address"], pod.address);
    let [answered] = under(&hop.span_id)[..] else {
        panic!("the pod answers: {spans:?}");
    };
    assert_eq!(answered.name, "POST /gondola.v1.Recommender/Recommend");
    let [stage] = under(&answered.span_id)[..] else {
        panic!("the answer has a stage: {spans:?}");
    };
    assert_eq!(stage.name, "scoring");
    assert_eq!(stage.end_time_unix_nano - stage.start_time_unix_nano, 250_000);
}
