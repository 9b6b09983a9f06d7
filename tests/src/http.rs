//! HTTP as clients speak it: [`get`] and [`put`] ask as `curl` does, one request a connection; [`Kept`] keeps its connection,
//! as every client library does.

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Response {
    /// The body of a request that went well, as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        if self.status != 200 {
            bail!("status {}: {}", self.status, self.body);
        }
        serde_json::from_str(&self.body).with_context(|| format!("no JSON: {}", self.body))
    }
}

/// Asks for a path.
pub async fn get(address: &str, path: &str) -> anyhow::Result<Response> {
    send(address, "GET", path, "", "").await
}

/// The same with a header, such as `authorization: Bearer abc`.
pub async fn get_with(address: &str, path: &str, header: &str) -> anyhow::Result<Response> {
    send(address, "GET", path, &format!("{header}\r\n"), "").await
}

/// Puts a JSON body to a path.
pub async fn put(address: &str, path: &str, body: &Value) -> anyhow::Result<Response> {
    send(address, "PUT", path, "", &body.to_string()).await
}

/// Posts a JSON body to a path.
pub async fn post(address: &str, path: &str, body: &Value) -> anyhow::Result<Response> {
    send(address, "POST", path, "", &body.to_string()).await
}

/// Patches a path with a JSON body.
pub async fn patch(address: &str, path: &str, body: &Value) -> anyhow::Result<Response> {
    send(address, "PATCH", path, "", &body.to_string()).await
}

async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> anyhow::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    parse(&answer).with_context(|| format!("{method} {path}: no HTTP answer: {answer:?}"))
}

/// The protocol of a kept connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, known beforehand.
    Http2,
}

/// A client that keeps one connection, and makes a new one when the server says that it goes away.
pub struct Kept {
    client: Client<HttpConnector, Empty<Bytes>>,
    address: String,
}

impl Kept {
    /// A client of an address; it connects when it asks.
    pub fn new(address: &str, version: Version) -> Self {
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_max_idle_per_host(1)
            .http2_only(version == Version::Http2);
        Self {
            client: client.build_http(),
            address: address.to_owned(),
        }
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        let url = format!("http://{}{path}", self.address).parse()?;
        let answer = self.client.get(url).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Response {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Response { status, body })
}

fn unchunk(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..length)?);
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_answer_and_a_chunked_one_read_the_same() {
        let plain = parse("HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello").unwrap();
        let chunked = parse(
            "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        )
        .unwrap();
        assert_eq!((plain.status, plain.body), (404, "hello".to_owned()));
        assert_eq!((chunked.status, chunked.body), (404, "hello".to_owned()));
    }
}
