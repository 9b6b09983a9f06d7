//! The proxy between clients and the server: renames, records, spoils.
//!
//! It runs on a thread of its own, so that it outlives the runtime of the test that started it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::service::service_fn;
use hyper::{Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::rename::Renaming;
use crate::traffic::{Action, Request, Traffic, WatchGate};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A running proxy; it ends with this value.
pub(crate) struct Proxy {
    address: SocketAddr,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy for the server on a free port of the loopback interface.
    pub(crate) fn start(server: &str, traffic: Traffic) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("the proxy finds no port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let way = Arc::new(Way {
            server: server.to_owned(),
            client: client(),
            traffic,
        });
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("test-api-proxy".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! { () = accept(listener, way) => {}, _ = stopped => {} }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where clients reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn accept(listener: std::net::TcpListener, way: Arc<Way>) {
    let listener = TcpListener::from_std(listener).expect("the listener does not block");
    loop {
        // An error here is of one connection (reset before it was accepted), not of the listener.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, way.clone()));
        }
    }
}

async fn serve(stream: TcpStream, way: Arc<Way>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| way.clone().pass(request));
    // An error ends the connection, which is what is wanted when a request was cut.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("cut, as a test wanted it")]
    Wanted,
    #[error("the request's body did not arrive")]
    Request(#[source] hyper::Error),
    #[error("the server can't be asked")]
    Server(#[source] hyper_util::client::legacy::Error),
    #[error("the server's answer did not arrive")]
    Answer(#[source] hyper::Error),
    #[error("the request makes no request to the server")]
    Form(#[source] hyper::http::Error),
}

/// The way of every request.
struct Way {
    server: String,
    client: Client<HttpConnector, Full<Bytes>>,
    traffic: Traffic,
}

impl Way {
    async fn pass(self: Arc<Self>, request: hyper::Request<Incoming>) -> Result<Response<Body>, Cut> {
        let asked = read(&request);
        let watches = asked.is_watch().then(|| self.traffic.watch_gate());
        let turn = self.traffic.arrive(asked.clone());
        match turn.action {
            Some(Action::CutBefore) => {
                turn.done(None);
                return Err(Cut::Wanted);
            }
            Some(Action::Answer(status)) => {
                turn.done(Some(status));
                return Ok(refusal(status));
            }
            Some(Action::CutAfter | Action::UnplugAfter) | None => {}
        }
        if let Some(body) = self.traffic.past_answer(&asked) {
            turn.done(Some(StatusCode::OK));
            return Ok(json_answer(body));
        }
        let (answer, renaming) = self.ask(&asked, request).await?;
        let cut = turn.action.is_some();
        turn.done((!cut).then_some(answer.status()));
        if cut {
            return Err(Cut::Wanted);
        }
        let (mut parts, body) = answer.into_parts();
        parts.headers.remove(CONTENT_LENGTH);
        if let Some(gate) = watches.filter(|_| parts.status.is_success()) {
            return Ok(Response::from_parts(parts, lines(body, renaming, gate)));
        }
        let body = renamed(body, renaming).await?;
        if parts.status.is_success() {
            self.traffic.remember(&asked, &body);
        }
        Ok(Response::from_parts(parts, whole(body)))
    }

    /// Asks the server.
    async fn ask(
        &self,
        asked: &Request,
        request: hyper::Request<Incoming>,
    ) -> Result<(Response<Incoming>, Option<Renaming>), Cut> {
        let (mut parts, body) = request.into_parts();
        let path = path_of(&parts.uri);
        let (path, renaming) =
            Renaming::of_path(path).map_or((path.to_owned(), None), |(path, how)| (path, Some(how)));
        let mut body = body.collect().await.map_err(Cut::Request)?.to_bytes();
        if asked.is_write() {
            body = rewritten(body, |value| self.traffic.admitted(asked, value));
        }
        if let Some(renaming) = &renaming {
            body = rewritten(body, |value| renaming.to_server(value));
        }
        parts.uri = format!("{}{path}", self.server)
            .parse::<Uri>()
            .map_err(|error| Cut::Form(error.into()))?;
        // Compressed answers could not be renamed; the length may have changed.
        for header in [ACCEPT_ENCODING, CONTENT_LENGTH, HOST] {
            parts.headers.remove(header);
        }
        let request = hyper::Request::from_parts(parts, Full::new(body));
        let answer = self.client.request(request).await.map_err(Cut::Server)?;
        Ok((answer, renaming))
    }
}

fn read(request: &hyper::Request<Incoming>) -> Request {
    let user_agent = request
        .headers()
        .get(USER_AGENT)
        .and_then(|name| name.to_str().ok());
    Request {
        method: request.method().clone(),
        path: path_of(request.uri()).to_owned(),
        user_agent: user_agent.map(str::to_owned),
    }
}

fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |path| path.as_str())
}

/// The whole body of an answer, with the names that the client knows.
async fn renamed(body: Incoming, renaming: Option<Renaming>) -> Result<Bytes, Cut> {
    let body = body.collect().await.map_err(Cut::Answer)?.to_bytes();
    Ok(match renaming {
        Some(renaming) => rewritten(body, |value| renaming.to_client(value)),
        None => body,
    })
}

/// The lines of a watch, each renamed and let through the gate.
fn lines(body: Incoming, renaming: Option<Renaming>, gate: WatchGate) -> Body {
    let lines = Lines {
        body,
        rest: BytesMut::new(),
        renaming,
        gate,
    };
    let frames = stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        Some((line.map(Frame::data), lines))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// A watch on its way to the client.
struct Lines {
    body: Incoming,
    rest: BytesMut,
    renaming: Option<Renaming>,
    gate: WatchGate,
}

impl Lines {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        let Self {
            body,
            rest,
            renaming,
            gate: WatchGate { held, ended, traffic },
        } = self;
        let told = async {
            loop {
                let line = match next_line(body, rest).await? {
                    Ok(line) => line,
                    Err(error) => return Some(Err(io::Error::other(error))),
                };
                // The sender lives as long as the proxy.
                let _ = held.wait_for(|held| !held).await;
                let line = match renaming {
                    Some(renaming) => with_newline(rewritten(line, |value| renaming.to_client(value))),
                    None => line,
                };
                if !traffic.loses(&line) {
                    return Some(Ok(line));
                }
            }
        };
        tokio::select! { line = told => line, _ = ended.changed() => None }
    }
}

/// The next line with its end, or what is left when the body ends.
async fn next_line(body: &mut Incoming, rest: &mut BytesMut) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            return Some(Ok(rest.split_to(end + 1).freeze()));
        }
        match body.frame().await {
            Some(Ok(frame)) => rest.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Some(Err(error)) => return Some(Err(error)),
            None => return (!rest.is_empty()).then(|| Ok(rest.split().freeze())),
        }
    }
}

fn with_newline(line: Bytes) -> Bytes {
    let mut line = BytesMut::from(line);
    line.extend_from_slice(b"\n");
    line.freeze()
}

/// Changes a body that is JSON, and leaves any other as it is.
fn rewritten(body: Bytes, change: impl FnOnce(&mut Value)) -> Bytes {
    match serde_json::from_slice::<Value>(&body) {
        Ok(mut value) if value.is_object() => {
            change(&mut value);
            value.to_string().into()
        }
        _ => body,
    }
}

/// An answer as the server itself would give it.
fn refusal(status: StatusCode) -> Response<Body> {
    let reason = match status {
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::GONE => "Expired",
        StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::INTERNAL_SERVER_ERROR => "InternalError",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "Timeout",
        _ => "Unknown",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": "refused, as a test wanted it", "code": status.as_u16(),
    });
    let mut answer = json_answer(body.to_string().into());
    *answer.status_mut() = status;
    if status == StatusCode::TOO_MANY_REQUESTS {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

fn json_answer(body: Bytes) -> Response<Body> {
    let mut answer = Response::new(whole(body));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}

fn whole(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}
