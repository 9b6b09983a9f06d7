//! The server's process, which ends with the value that stands for it.
//!
//! The server ends itself, and etcd, when its standard input is closed. So a test that panics, is killed or forgets
//! leaves no process behind: whatever happens to this process, its end of the pipe is closed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::binaries::Binaries;

/// How long the server may take to end etcd and itself before it is killed.
const END: Duration = Duration::from_secs(5);
/// How many lines of a log an error shows.
const LOG_LINES: usize = 15;

/// A running server with its etcd, and the folder of their data and logs.
pub(crate) struct Process {
    child: Child,
    folder: TempDir,
    url: String,
}

impl Process {
    /// Starts both and returns when the server has an address. Blocks for about half a second.
    pub(crate) fn start(binaries: &Binaries) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gondola-api-server-").tempdir()?;
        let mut child = Command::new(&binaries.server)
            .arg(&binaries.etcd)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("server.log"))?)
            .spawn()
            .with_context(|| format!("cannot start {}", binaries.server.display()))?;
        let output = child.stdout.take().context("the server's output was piped")?;
        let mut process = Self {
            child,
            folder,
            url: String::new(),
        };
        BufReader::new(output).read_line(&mut process.url)?;
        process.url.truncate(process.url.trim_end().len());
        if process.url.is_empty() {
            bail!(
                "the API server ended before it had an address\n{}",
                process.logs()
            );
        }
        Ok(process)
    }

    /// The server's address, `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Data and logs; gone when this value is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The last lines of both logs.
    pub(crate) fn logs(&self) -> String {
        let tails = ["server.log", "etcd.log"].map(|name| {
            let text = std::fs::read_to_string(self.folder().join(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!(
                "{name}:\n{}",
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            )
        });
        tails.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // etcd follows: the kernel kills it when the server's main thread is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
