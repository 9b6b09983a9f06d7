//! A client that costs little, for floods: it keeps connections, writes the same few bytes, and reads of an answer what it must.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Ending, PATIENCE, recommend_path};

/// Connections to one server, as many as there are requests under way.
pub(crate) struct Sockets {
    address: String,
    idle: Mutex<Vec<TcpStream>>,
}

impl Sockets {
    pub(crate) fn to(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Asks for recommendations, and gives how that ended.
    pub(crate) async fn ending(&self, user: &str) -> Ending {
        let asked = tokio::time::timeout(PATIENCE, self.ask(user)).await;
        match asked.with_context(|| format!("no answer within {PATIENCE:?}")) {
            Ok(Ok(ending)) => ending,
            Ok(Err(error)) | Err(error) => Ending::Failed(format!("{error:#}")),
        }
    }

    async fn ask(&self, user: &str) -> anyhow::Result<Ending> {
        let (path, address) = (recommend_path(user), &self.address);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        // A connection that was kept may have been closed meanwhile.
        if let Some(kept) = self.kept()
            && let Ok(ending) = self.ask_over(kept, &request).await
        {
            return Ok(ending);
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        self.ask_over(stream, &request).await
    }

    async fn ask_over(&self, mut stream: TcpStream, request: &str) -> anyhow::Result<Ending> {
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(4096);
        let (head, length) = loop {
            ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "the connection was closed before the answer"
            );
            if let Some(parts) = parts(&answer) {
                break parts;
            }
        };
        while answer.len() < head + length {
            ensure!(
                stream.read_buf(&mut answer).await? > 0,
                "the connection was closed within the answer"
            );
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        if !answer[..head].contains("connection: close") {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stream);
        }
        Ok(Ending::of(status.context("no status")?, &answer[head..]))
    }

    fn kept(&self) -> Option<TcpStream> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// How long the head of an answer is, and its body; nothing while the head is not whole.
fn parts(answer: &[u8]) -> Option<(usize, usize)> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(answer.get(..head)?).ok()?;
    let (_, rest) = text.split_once("content-length: ")?;
    Some((head, rest.split_once("\r\n")?.0.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_head_and_a_body() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parts(answer), Some((answer.len() - 2, 2)));
        assert_eq!(parts(&answer[..20]), None);
    }
}
