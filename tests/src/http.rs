//! As little HTTP/1.1 as it takes to ask as `curl` does: one request a connection, the whole answer as text.

use anyhow::{Context, bail};
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
    send(address, "GET", path, "").await
}

/// Puts a JSON body to a path.
pub async fn put(address: &str, path: &str, body: &Value) -> anyhow::Result<Response> {
    send(address, "PUT", path, &body.to_string()).await
}

async fn send(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<Response> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    parse(&answer).with_context(|| format!("{method} {path}: no HTTP answer: {answer:?}"))
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
