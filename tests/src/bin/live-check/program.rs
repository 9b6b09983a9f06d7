//! A program that is started, killed, stopped for a while, and started again where it was.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use tokio::net::TcpListener;

use crate::client::Client;

/// Loading and warming up on a busy machine takes seconds; this is when we stop hoping.
const READY_WITHIN: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A program at an address that it keeps. It is killed if this value is dropped.
pub(crate) struct Program {
    pub(crate) address: String,
    command: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Runs a command that will listen at `address`; what it says goes to a log.
    pub(crate) fn start(address: String, command: Vec<String>, log: PathBuf) -> anyhow::Result<Self> {
        let child = spawn(&command, &log)?;
        Ok(Self {
            address,
            command,
            log,
            child,
        })
    }

    /// It ends without a word, and nothing of it is left.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Runs the same again, after it ended.
    pub(crate) fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.command, &self.log)?;
        Ok(())
    }

    /// Waits until `/readyz` says that it is.
    pub(crate) async fn ready(&mut self, client: &Client) -> anyhow::Result<()> {
        let address = self.address.clone();
        let is_ready = async || {
            let answer = client.get(&address, "/readyz").await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        self.wait_until(is_ready).await
    }

    /// Waits until it is so, and fails if the program ends before.
    pub(crate) async fn wait_until(&mut self, is_so: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        while !is_so().await {
            let log = self.log.display();
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended before it was ready: {status}; see {log}",
                    self.command.join(" ")
                );
            }
            ensure!(
                Instant::now() < give_up,
                "{} was not ready within {READY_WITHIN:?}; see {log}",
                self.command.join(" ")
            );
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    /// It neither runs nor ends, as on a machine that hangs, until [`Program::thaw`].
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        self.signal("-STOP")
    }

    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status()?;
        ensure!(status.success(), "kill {signal} {id}: {status}");
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already; then neither call does anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(command: &[String], log: &Path) -> anyhow::Result<Child> {
    let [program, arguments @ ..] = command else {
        bail!("no command to run")
    };
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run {program}"))
}

/// An address of this machine that nobody listens at.
pub(crate) async fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.to_string())
}
