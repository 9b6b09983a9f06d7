//! A Redis beside the node, as pods reach it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The Secret with its connection string.
const SECRET: &str = "shop-redis";
const PORT: u16 = 6390;
const PASSWORD: &str = "a-password-of-tests";

/// A Redis that keeps an append-only file; it ends with this value.
pub(crate) struct Redis {
    host: String,
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts one on the host of a URL that pods reach.
    pub(crate) async fn start(endpoint: &str) -> anyhow::Result<Self> {
        let host = endpoint.trim_start_matches("http://");
        let host = host
            .split(':')
            .next()
            .context("the endpoint has no host")?
            .to_owned();
        let folder = tempfile::tempdir()?;
        let mut redis = Self {
            child: spawn(&host, &folder)?,
            host,
            folder,
        };
        redis.listens().await?;
        Ok(redis)
    }

    /// The Secret that names it.
    pub(crate) fn secret(&self) -> Value {
        let connection = format!("{}:{PORT},password={PASSWORD}", self.host);
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET},
            "stringData": {"connection_string": connection},
        })
    }

    /// What a manifest says of it.
    pub(crate) fn online() -> Value {
        json!({"redis": {"secretRef": {"name": SECRET}}})
    }

    /// It ends without a word.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// It is back, with what its file holds.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.host, &self.folder)?;
        self.listens().await
    }

    async fn listens(&mut self) -> anyhow::Result<()> {
        for _ in 0..100 {
            if TcpStream::connect((self.host.as_str(), PORT)).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("redis-server ended: {status}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("redis-server does not listen at {}:{PORT}", self.host)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(host: &str, folder: &TempDir) -> anyhow::Result<Child> {
    let named = std::env::var_os("GONDOLA_REDIS_SERVER").map(PathBuf::from);
    let program = named.unwrap_or_else(|| "redis-server".into());
    Command::new(program)
        .args([
            "--port",
            &PORT.to_string(),
            "--bind",
            host,
            "--requirepass",
            PASSWORD,
        ])
        .args(["--appendonly", "yes", "--save", ""])
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run redis-server; install it, or name it with GONDOLA_REDIS_SERVER")
}
