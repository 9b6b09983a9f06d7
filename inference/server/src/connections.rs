//! Connections: accepted, bounded, and ended without a request being lost.
//!
//! Each listener is a [`Door`]; each connection has a task that drives it, looks after it ([`activity`] says whether it is idle or too
//! slow) and follows the [`Stage`] of the server's end:
//!
//! 1. `Leaving`: every answer over HTTP/1.1 says that the connection closes, so that its client makes the next one, elsewhere as soon
//!    as load balancers know;
//! 2. `GoingAway`: HTTP/2 connections announce that they accept no new request, so clients send theirs elsewhere;
//! 3. `Stopping`: nothing new is accepted, what was begun is finished, and what only half came is not waited for.
//!
//! Until the last stage, new connections are served as ever.

mod activity;
mod stream;
mod timed;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;
use tower::ServiceExt as _;

use crate::access::Peer;
use crate::tls::Acceptor;
use activity::{Activity, Care, Watched};
use stream::Stream;
use timed::Timed;

/// Pings find out a client that is gone without a word.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);
/// How often a connection is looked after, at most.
const PATROL: Duration = Duration::from_secs(1);
/// When a server stops, a connection on which nothing was begun, or nothing more comes, is not waited for any longer than this.
const LINGER: Duration = Duration::from_millis(300);
/// After the system could not accept a connection, because too many files are open say.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many may be open on a port at once; others wait until one is closed.
    pub most: usize,
    /// How long a client may take for the head of a request, also for its first.
    pub head: Duration,
    /// How long the body of a request may take, from its head to its last byte.
    pub body: Duration,
    /// How long a connection may be idle: longer than the ten minutes that load balancers keep theirs.
    pub idle: Duration,
    /// The age after which a client is asked to reconnect, plus or minus a fifth, so that new servers get their share of
    /// clients that keep theirs; never where it is left out.
    pub age: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: 10_000,
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(660),
            age: None,
        }
    }
}

/// Serves `app` for as long as it is polled, within bounds of its own: pages and health checks next to a server.
pub async fn serve_beside(listener: TcpListener, app: axum::Router) {
    let limits = Limits {
        most: 256,
        idle: Duration::from_secs(60),
        ..Limits::default()
    };
    let (_stage, stages) = watch::channel(Stage::Serving);
    let door = Door {
        listener,
        app,
        tls: None,
    };
    door.serve(limits, stages).await;
}

/// How far a server's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Serving,
    Leaving,
    GoingAway,
    Stopping,
}

/// A listener and what answers there.
pub(super) struct Door {
    pub(super) listener: TcpListener,
    pub(super) app: axum::Router,
    /// How clients shake hands, where they don't connect in plain text.
    pub(super) tls: Option<Acceptor>,
}

impl Door {
    /// Serves until the last connection has ended after the server stopped. If the sender of stages is dropped, it stops waiting.
    pub(super) async fn serve(self, limits: Limits, mut stage: watch::Receiver<Stage>) {
        let places = Arc::new(Semaphore::new(limits.most));
        let followed = stage.clone();
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((accept(&self.listener).await, place))
            };
            tokio::select! {
                Some(((stream, peer), place)) = accepted => {
                    let (app, tls, stage) = (self.app.clone(), self.tls.clone(), followed.clone());
                    tokio::spawn(async move {
                        if let Some(stream) = stream::secure(stream, tls, limits.head, stage.clone()).await {
                            attend(stream, peer, app, limits, stage, place).await;
                        }
                    });
                }
                _ = stage.wait_for(|stage| *stage == Stage::Stopping) => break,
            }
        }
        drop(self.listener);
        let all = u32::try_from(limits.most).unwrap_or(u32::MAX);
        // Every place is free again when the last connection has ended.
        let _ = places.acquire_many(all).await;
    }
}

/// The next connection. Those that break before they are made are passed over.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small answers must not wait for more of them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Serves one connection to its end, which frees its place.
async fn attend(
    stream: Stream,
    peer: SocketAddr,
    app: axum::Router,
    limits: Limits,
    mut stage: watch::Receiver<Stage>,
    place: OwnedSemaphorePermit,
) {
    let activity = Arc::new(Activity::new());
    let protocol = protocol();
    let service = {
        let (activity, stage) = (Arc::clone(&activity), stage.clone());
        let body = limits.body;
        service_fn(move |mut request| {
            request.extensions_mut().insert(Peer(peer));
            answer(app.clone(), Arc::clone(&activity), body, stage.clone(), request)
        })
    };
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
    let connection = protocol.serve_connection(io, service);
    tokio::pin!(connection);
    let mut patrol = tokio::time::interval(PATROL.min(limits.head / 4));
    patrol.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let retire = retire_after(limits.age);
    tokio::pin!(retire);
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = &mut retire, if !activity.is_retired() => {
                activity.retire();
                if activity.is_http2() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            _ = patrol.tick() => match activity.care(&limits, is_crowded(&place, &limits)) {
                Care::Keep => {}
                Care::Close => connection.as_mut().graceful_shutdown(),
                Care::Cut => return,
            },
            changed = stage.changed() => match changed.map(|()| *stage.borrow_and_update()) {
                Ok(Stage::Serving | Stage::Leaving) => {}
                Ok(Stage::GoingAway) => {
                    if activity.is_http2() {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                Ok(Stage::Stopping) => break,
                Err(_) => return,
            },
        }
    }
    connection.as_mut().graceful_shutdown();
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = tokio::time::sleep(LINGER) => if activity.nothing_moves(LINGER) {
                return;
            },
            _ = stage.changed() => return,
        }
    }
}

/// Whether less than a tenth of all places is free.
fn is_crowded(place: &OwnedSemaphorePermit, limits: &Limits) -> bool {
    place.semaphore().available_permits() < limits.most.div_ceil(10)
}

fn protocol() -> auto::Builder<TokioExecutor> {
    let mut protocol = auto::Builder::new(TokioExecutor::new());
    // The time of hyper for a head runs while a kept connection is idle, too; ours doesn't.
    protocol.http1().header_read_timeout(None);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    protocol
}

/// Ends after the age, plus or minus a fifth: connections that were made together must not reconnect together.
async fn retire_after(age: Option<Duration>) {
    match age {
        Some(age) => tokio::time::sleep(age.mul_f64(0.8 + 0.4 * rand::random::<f64>())).await,
        None => pending().await,
    }
}

/// Answers one request, and counts it for as long as any of it or of its answer is under way.
async fn answer(
    app: axum::Router,
    activity: Arc<Activity>,
    body_within: Duration,
    stage: watch::Receiver<Stage>,
    request: Request<Incoming>,
) -> Result<Response<Guarded<Body, activity::Answering>>, Infallible> {
    let mut answering = activity.begin();
    let http1 = request.version() < Version::HTTP_2;
    let request = request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(Guarded {
            body: Timed::new(body, body_within),
            _guard: activity.read_body(),
        }),
    });
    let Ok(mut response) = app.oneshot(request).await;
    if http1 && (activity.is_retired() || *stage.borrow() != Stage::Serving) {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answering.send();
    Ok(response.map(|body| Guarded {
        body,
        _guard: answering,
    }))
}

/// A body that holds a guard until it was sent or read.
struct Guarded<B, G> {
    body: B,
    _guard: G,
}

impl<B: HttpBody + Unpin, G: Unpin> HttpBody for Guarded<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Since when something counts, in milliseconds of a connection's life.
fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
