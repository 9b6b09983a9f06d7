//! What every program has in common: its log, its shutdown, and health checks during its work.

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use axum::routing::get;
use clap::{Args, ValueEnum};
use gondola_wire::variables;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::connections::serve_beside;

/// What is logged, and how.
#[derive(Debug, Args)]
pub struct LogArguments {
    /// Filter of the log lines on stderr, for example `info` or `warn,gondola_server=debug`.
    #[arg(long, env = variables::LOG, default_value = "info", global = true)]
    log: String,
    /// Format of the log lines.
    #[arg(long, env = variables::LOG_FORMAT, default_value = "text", global = true)]
    log_format: LogFormat,
}

/// Format of the log lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogArguments {
    /// Starts to log to stderr: in color only on a terminal.
    pub fn start(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log).map_err(|error| {
            anyhow::anyhow!(
                "--log {:?} is not a valid filter: {error}; write for example info",
                self.log
            )
        })?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        match self.log_format {
            LogFormat::Text => subscriber.init(),
            LogFormat::Json => subscriber.json().init(),
        }
        Ok(())
    }
}

/// A runtime for a program whose models have threads of their own: one thread for four cores does all input and output. More would
/// wake one another for what one of them has time for.
pub fn runtime_beside_models() -> std::io::Result<Runtime> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    Builder::new_multi_thread()
        .worker_threads(cores.div_ceil(4))
        .enable_all()
        .build()
}

/// Does `work`, and answers health checks in the meantime, until it ends or the process is asked to stop.
pub async fn beside_health_checks(
    listen: &str,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let listener = crate::listen(listen).await?;
    let alive = get(|| async { "alive\n" });
    let health = axum::Router::new()
        .route("/healthz", alive.clone())
        .route("/readyz", alive);
    tokio::select! {
        () = serve_beside(listener, health) => anyhow::bail!("the health checks stopped unexpectedly"),
        outcome = work => outcome,
        () = on_signal()? => Ok(()),
    }
}

/// Ends when the process is asked to stop.
pub fn on_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
