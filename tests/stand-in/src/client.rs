//! As little HTTP/1.1 as it takes to ask.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The whole body.
    pub body: String,
}

impl Response {
    /// The body, which must be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The code of an error.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .expect("an error has a code")
            .to_owned()
    }

    /// The message of an error.
    #[track_caller]
    pub fn message(&self) -> String {
        self.json()["error"]["message"]
            .as_str()
            .expect("an error has a message")
            .to_owned()
    }
}

/// Asks with GET.
pub async fn get(address: &str, path: &str) -> Response {
    send(address, "GET", path, "").await
}

/// Sends a body with PUT.
pub async fn put(address: &str, path: &str, body: &str) -> Response {
    send(address, "PUT", path, body).await
}

/// Sends a request.
pub async fn send(address: &str, method: &str, path: &str, body: &str) -> Response {
    send_with(address, method, path, &[], body).await
}

/// Sends a request with headers of its own.
pub async fn send_with(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    exchange(address, method, path, headers, body.len(), body).await
}

/// Sends a request that promises a body of `length` and brings none.
pub async fn declare(address: &str, method: &str, path: &str, length: usize) -> Response {
    exchange(address, method, path, &[], length, "").await
}

async fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    length: usize,
    body: &str,
) -> Response {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    send_over(stream, &request).await.unwrap()
}

/// Asks over a connection that was made, of any kind.
pub async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    host: &str,
    method: &str,
    path: &str,
) -> io::Result<Response> {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    send_over(stream, &request).await
}

async fn send_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> io::Result<Response> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let parts = answer.split_once("\r\n\r\n");
    let (head, body) = parts.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
