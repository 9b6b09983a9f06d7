//! The pipeline under check: a child process that is started, waited for and asked to stop.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::http;

/// Loading and warming up on a busy machine takes seconds; this is when we stop hoping.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// The drain waits for requests that are being answered, and there are none.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A pipeline that serves. It is killed if this value is dropped.
pub struct Server {
    /// Where it listens.
    pub address: String,
    child: Child,
}

impl Server {
    /// Runs `command` with a free port as `--listen` and waits until it is ready.
    pub async fn start(command: &[String]) -> anyhow::Result<Self> {
        let [program, arguments @ ..] = command else {
            bail!("no command to run")
        };
        let address = free_address().await?;
        let child = Command::new(program)
            .args(arguments)
            .args(["--listen", &address])
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let mut server = Self { address, child };
        server.ready().await?;
        Ok(server)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the pipeline ended before it was ready: {status}");
            }
            if let Ok(answer) = http::get(&self.address, "/readyz").await
                && answer.status == 200
            {
                return Ok(());
            }
            if Instant::now() > give_up {
                bail!("the pipeline was not ready within {READY_WITHIN:?}");
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Asks the server to stop as Kubernetes does, and waits for its end.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        let id = self.child.id().to_string();
        if !Command::new("sh")
            .args(["-c", "kill -TERM $0", &id])
            .status()?
            .success()
        {
            bail!("cannot send SIGTERM to process {id}");
        }
        let give_up = Instant::now() + STOPPED_WITHIN;
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(BETWEEN_LOOKS).await;
        }
        bail!("the pipeline did not stop within {STOPPED_WITHIN:?}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already if all went well; then neither call does anything.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn free_address() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(listener.local_addr()?.to_string())
}
