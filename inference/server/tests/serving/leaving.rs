//! Servers that stop, and connections that are kept: no request is lost, and nobody who is silent holds up the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::http::{Request, Uri};
use futures::future::{BoxFuture, join_all};
use gondola_protocol::proto::RecommendRequest;
use gondola_protocol::proto::recommender_client::RecommenderClient;
use gondola_server::connections::Limits;
use gondola_server::front::{Deadlines, Destination, Front};
use gondola_server::{Drain, Server};
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tower::service_fn;

use gondola_test_stand_in::client::{send, send_with};
use gondola_test_stand_in::{Running, variant};

async fn server(limits: Limits, drain: Drain) -> Running {
    let front = Front::new(Deadlines {
        ask: Duration::from_secs(30),
        ..Deadlines::default()
    });
    let variant = variant("dlrm").0;
    let server = Server::bind("127.0.0.1:0", front)
        .await
        .unwrap()
        .with_limits(limits);
    Running::open(server, Destination::variant(variant), drain).await
}

/// A connection of HTTP/1.1 that is kept.
struct Kept(TcpStream);

/// What came over it.
#[derive(Debug)]
struct Answer {
    status: String,
    closes: bool,
}

impl Kept {
    async fn to(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Sends a request and reads the answer; `None` where the connection was closed first.
    async fn ask(&mut self) -> Option<Answer> {
        let request = b"GET /v1/recommend?user=anna HTTP/1.1\r\nhost: shop\r\n\r\n";
        self.0.write_all(request).await.ok()?;
        let mut text = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            match self.0.read(&mut bytes).await {
                Ok(length @ 1..) => text.extend_from_slice(&bytes[..length]),
                Ok(0) | Err(_) => return None,
            }
            let text = String::from_utf8_lossy(&text);
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let head = head.to_ascii_lowercase();
            let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
            let length: usize = header("content-length: ").unwrap().parse().unwrap();
            if body.len() == length {
                return Some(Answer {
                    status: head.split(' ').nth(1).unwrap().to_owned(),
                    closes: header("connection: ") == Some("close"),
                });
            }
        }
    }
}

/// Where new connections go, as behind a Service: to a server, and to another after that one said that it stops.
type Service = Arc<ArcSwap<String>>;

async fn connect(service: Service) -> std::io::Result<TokioIo<TcpStream>> {
    Ok(TokioIo::new(TcpStream::connect(service.load().as_str()).await?))
}

/// Asks once after the other until it is over; counts what was answered and what failed.
#[derive(Default)]
struct Tally {
    answered: AtomicUsize,
    failed: AtomicUsize,
}

impl Tally {
    fn count(&self, answered: bool) {
        let counter = if answered { &self.answered } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

async fn keep_asking_http1(service: Service, tally: Arc<Tally>, over: Instant) {
    let mut kept = Kept::to(&service.load()).await;
    while Instant::now() < over {
        let answer = kept.ask().await;
        tally.count(answer.as_ref().is_some_and(|answer| answer.status == "200"));
        if answer.is_none_or(|answer| answer.closes) {
            kept = Kept::to(&service.load()).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether a request came to the client's connection just behind the server's word that it takes no new one. It was never sent, and
/// clients that keep connections make it again, as RFC 9113 (8.7) says; those of this test leave that to whoever asks.
fn was_told_to_go_away(error: &impl std::fmt::Debug) -> bool {
    format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)")
}

async fn keep_asking_http2(service: Service, tally: Arc<Tally>, over: Instant) {
    let connector = service_fn(move |_: Uri| Box::pin(connect(Arc::clone(&service))));
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build::<_, Empty<bytes::Bytes>>(connector);
    let ask = || {
        let request = Request::get("http://shop/v1/recommend?user=anna").body(Empty::new());
        client.request(request.unwrap())
    };
    while Instant::now() < over {
        let mut answer = ask().await;
        if answer.as_ref().is_err_and(was_told_to_go_away) {
            answer = ask().await;
        }
        tally.count(answer.is_ok_and(|answer| answer.status() == 200));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn keep_asking_grpc(service: Service, tally: Arc<Tally>, over: Instant) {
    let connector = service_fn(move |_: Uri| Box::pin(connect(Arc::clone(&service))));
    let channel = Endpoint::from_static("http://shop")
        .connect_with_connector(connector)
        .await;
    let mut client = RecommenderClient::new(channel.unwrap());
    while Instant::now() < over {
        let mut answer = client.recommend(RecommendRequest::default()).await;
        if answer.as_ref().is_err_and(was_told_to_go_away) {
            answer = client.recommend(RecommendRequest::default()).await;
        }
        tally.count(answer.is_ok());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_connections_lose_no_request_when_their_server_stops() {
    let drain = Drain {
        notice: Duration::from_secs(3),
        patience: Duration::from_secs(10),
    };
    let mut first = server(Limits::default(), drain).await;
    let second = server(Limits::default(), drain).await;
    let service: Service = Arc::new(ArcSwap::from_pointee(first.address.clone()));
    let over = Instant::now() + Duration::from_secs(5);
    let tallies: [Arc<Tally>; 3] = Default::default();
    let mut clients: Vec<BoxFuture<'static, ()>> = Vec::new();
    for _ in 0..4 {
        let [http1, http2, grpc] = tallies.clone();
        clients.push(Box::pin(keep_asking_http1(Arc::clone(&service), http1, over)));
        clients.push(Box::pin(keep_asking_http2(Arc::clone(&service), http2, over)));
        clients.push(Box::pin(keep_asking_grpc(Arc::clone(&service), grpc, over)));
    }
    let clients: Vec<_> = clients.into_iter().map(tokio::spawn).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    first.stop();
    // As long as it takes until nobody is sent to it any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    service.store(Arc::new(second.address.clone()));
    let began = Instant::now();
    first.ended().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(2900),
        "{:?}",
        began.elapsed()
    );
    for client in join_all(clients).await {
        client.unwrap();
    }
    for (tally, protocol) in tallies.iter().zip(["HTTP/1.1", "HTTP/2", "gRPC"]) {
        let (answered, failed) = (&tally.answered, &tally.failed);
        assert_eq!(failed.load(Ordering::Relaxed), 0, "{protocol}");
        assert!(answered.load(Ordering::Relaxed) > 100, "{protocol}: {answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_half_open_connections_do_not_hold_up_the_end() {
    let mut server = server(Limits::default(), Drain::default()).await;
    let mut open = Vec::new();
    for number in 0..500 {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let half: &[u8] = match number % 4 {
            0 => b"",
            1 => b"GET /v1/recommend?user=a HTTP/1.1\r\nhos",
            2 => b"PUT /v1/users/a HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n{",
            _ => b"PRI * HT",
        };
        stream.write_all(half).await.unwrap();
        open.push(stream);
    }
    let mut kept = Kept::to(&server.address).await;
    assert_eq!(kept.ask().await.unwrap().status, "200");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    server.stop();
    server.ended().await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    drop(open);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for_and_a_kept_connection_may_rest() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = server(limits, Drain::default()).await;
    let mut kept = Kept::to(&server.address).await;
    kept.ask().await.unwrap();
    for half in ["", "GET /v1/recommend HTTP/1.1\r\nhos"] {
        let mut slow = TcpStream::connect(&server.address).await.unwrap();
        slow.write_all(half.as_bytes()).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(10), slow.read(&mut [0; 64])).await;
        assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{half:?}: {closed:?}");
    }
    assert_eq!(
        kept.ask().await.unwrap().status,
        "200",
        "it was idle, and not slow"
    );
}

/// A frame of HTTP/2: its length, type, flags and stream, and what it holds.
fn frame(kind: u8, flags: u8, stream: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, content.len() as u8, kind, flags, 0, 0, 0, stream];
    frame.extend_from_slice(content);
    frame
}

/// A connection of HTTP/2 with a gRPC request of which only the head came: POST, http, and the path, without Huffman.
fn half_a_grpc_request() -> Vec<u8> {
    let path = b"/gondola.v1.Recommender/Recommend";
    let kind = b"application/grpc";
    let mut head = vec![0x83, 0x86, 0x04, path.len() as u8];
    head.extend_from_slice(path);
    head.extend_from_slice(&[0x0f, 0x10, kind.len() as u8]);
    head.extend_from_slice(kind);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(1, 4, 1, &head));
    bytes
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits {
        body: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = server(limits, Drain::default()).await;
    let put = b"PUT /v1/users/a HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\n{";
    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(put).await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(8), slow.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection is closed");

    let mut slow = TcpStream::connect(&server.address).await.unwrap();
    slow.write_all(&half_a_grpc_request()).await.unwrap();
    // An answer on stream 1, of whatever kind, ends the request.
    let ended = async {
        let mut head = [0; 9];
        loop {
            slow.read_exact(&mut head).await.unwrap();
            if head[8] == 1 {
                return head[3];
            }
            let length = usize::from(head[1]) << 8 | usize::from(head[2]);
            slow.read_exact(&mut vec![0; length]).await.unwrap();
        }
    };
    let kind = tokio::time::timeout(Duration::from_secs(8), ended).await;
    assert!(kind.is_ok(), "the request is ended");
}

#[tokio::test]
async fn idle_connections_make_room_for_others_and_connections_in_use_stay() {
    let limits = Limits {
        most: 20,
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = server(limits, Drain::default()).await;
    let mut client = server.grpc().await;
    client.recommend(RecommendRequest::default()).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..19 {
        let mut kept = Kept::to(&server.address).await;
        kept.ask().await.unwrap();
        idle.push(kept);
    }
    let mut next = Kept::to(&server.address).await;
    let asked = next.ask();
    tokio::pin!(asked);
    let answer = loop {
        tokio::select! {
            answer = &mut asked => break answer,
            () = tokio::time::sleep(Duration::from_millis(50)) => {
                client.recommend(RecommendRequest::default()).await.unwrap();
            }
        }
    };
    assert_eq!(answer.unwrap().status, "200");
    client.recommend(RecommendRequest::default()).await.unwrap();
}

#[tokio::test]
async fn whoever_watches_the_health_does_not_hold_up_the_end() {
    let mut server = server(Limits::default(), Drain::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest::default();
    let mut watch = client.watch(request).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let began = Instant::now();
    server.stop();
    server.ended().await.unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}

#[tokio::test]
async fn a_connection_of_a_certain_age_is_made_anew() {
    let limits = Limits {
        age: Some(Duration::from_millis(200)),
        ..Limits::default()
    };
    let server = server(limits, Drain::default()).await;
    let mut kept = Kept::to(&server.address).await;
    assert!(!kept.ask().await.unwrap().closes);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(kept.ask().await.unwrap().closes);
    assert!(kept.ask().await.is_none());
}

#[tokio::test]
async fn connections_above_the_most_wait_until_one_is_closed() {
    let limits = Limits {
        most: 1,
        ..Limits::default()
    };
    let server = server(limits, Drain::default()).await;
    let mut first = Kept::to(&server.address).await;
    first.ask().await.unwrap();
    let mut second = Kept::to(&server.address).await;
    let waits = tokio::time::timeout(Duration::from_millis(200), second.ask()).await;
    assert!(waits.is_err(), "{waits:?}");
    drop(first);
    let mut third = Kept::to(&server.address).await;
    drop(second);
    assert_eq!(third.ask().await.unwrap().status, "200");
}

#[tokio::test]
async fn outcomes_that_reach_a_router_that_stops_are_to_be_sent_again() {
    let drain = Drain {
        notice: Duration::from_secs(1),
        ..Drain::default()
    };
    let mut server = server(Limits::default(), drain).await;
    let outcomes = r#"{"outcomes": []}"#;
    let told = send(&server.address, "POST", "/v1/outcomes", outcomes).await;
    assert_eq!((told.status, &*told.code()), (501, "UNIMPLEMENTED"));
    let mut client = server.grpc().await;
    server.stop();
    gondola_test_stand_in::until(|| async {
        let answer = send_with(&server.address, "GET", "/readyz", &[], "").await;
        answer.status == 503
    })
    .await;
    let told = send(&server.address, "POST", "/v1/outcomes", outcomes).await;
    assert_eq!((told.status, &*told.code()), (503, "UNAVAILABLE"));
    assert_eq!(told.message(), "this router is stopping; send them again");
    let told = client.record_outcomes(gondola_protocol::proto::RecordOutcomesRequest::default());
    assert_eq!(told.await.unwrap_err().code(), tonic::Code::Unavailable);
    server.ended().await.unwrap();
}
