//! Connections to the operator's own pages: bounded in number, in time for a head and in age.
//!
//! Clients are the kubelet, Prometheus and people with a browser. A client that is slow, or holds connections that it does not use, must
//! not block the health checks, by which the kubelet decides whether the operator is alive.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

/// Pause after the system could not accept a connection, for example because too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// What Linux says where it was built or started without IPv6 (EAFNOSUPPORT).
const NO_SUCH_FAMILY: i32 = 97;

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many may be open at once; the next one waits until one is closed.
    pub most: usize,
    /// How long a client may take for the head of a request, and how long a connection may be idle before that: a tenth of it
    /// where less than half of all places is free, so that the kubelet does not wait long for one.
    pub head: Duration,
    /// The age at which a connection is cut, whatever happens on it: a client that takes its answer by the byte.
    pub age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            most: 256,
            head: Duration::from_secs(10),
            age: Duration::from_secs(300),
        }
    }
}

/// Listens at an address. `[::]` is every address of both kinds; where the kernel has no IPv6 at all, it is every one of IPv4.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED && error.raw_os_error() == Some(NO_SUCH_FAMILY) =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        outcome => outcome,
    }
}

/// Serves `pages` for as long as it is polled.
pub async fn serve(listener: TcpListener, pages: Router, limits: Limits) {
    let places = Arc::new(Semaphore::new(limits.most));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let head = match places.available_permits() < limits.most / 2 {
                    true => limits.head / 10,
                    false => limits.head,
                };
                tokio::spawn(attend(stream, pages.clone(), Limits { head, ..limits }, place));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Serves one connection to its end, which frees its place.
async fn attend(stream: TcpStream, pages: Router, limits: Limits, _place: OwnedSemaphorePermit) {
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let answer = service_fn(move |request: Request<Incoming>| pages.clone().oneshot(request.map(Body::new)));
    let connection = protocol.serve_connection(TokioIo::new(stream), answer);
    // How it ended doesn't matter: the client is gone, was slow, or has its answers.
    let _ = tokio::time::timeout(limits.age, connection).await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const QUICK: Limits = Limits {
        most: 8,
        head: Duration::from_millis(100),
        age: Duration::from_millis(600),
    };

    async fn pages(limits: Limits) -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/healthz", get(|| async { "alive\n" }))
            .route("/large", get(|| async { "x".repeat(64 << 20) }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    /// All that comes before the connection is closed, which has to be soon.
    async fn until_closed(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        // A reset is an end too.
        let _ = tokio::time::timeout(Duration::from_secs(20), read)
            .await
            .expect("the connection is closed");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[track_caller]
    fn check_alive(answer: &str) {
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("alive"),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn what_only_half_came_and_what_lies_idle_is_closed() {
        let address = pages(QUICK).await;
        for sent in [
            "",
            "GET /healthz HTTP/1.1\r\nHost: a\r\n",
            "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf",
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            let answer = until_closed(&mut stream).await;
            if sent.contains("\r\n\r\n") {
                check_alive(&answer);
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_is_cut() {
        let address = pages(QUICK).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(QUICK.age * 2).await;
        assert!(until_closed(&mut stream).await.len() < 64 << 20);
    }

    #[tokio::test]
    async fn however_many_connect_health_is_answered() {
        let address = pages(QUICK).await;
        let mut idle = Vec::new();
        for _ in 0..40 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        check_alive(&until_closed(&mut stream).await);
    }
}
