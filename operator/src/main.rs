//! `gondola-operator`: runs recommender pipelines on Kubernetes.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Parser;
use gondola_operator::config::{Arguments, Config, LogFormat};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::from(Arguments::parse());
    start_log(&config)?;
    let kube = kube::Config::infer()
        .await
        .context("no cluster to connect to: found neither a pod's service account nor a kubeconfig")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        server = %kube.cluster_url,
        watches = ?config.watches,
        images = ?config.images,
        "starting"
    );
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    gondola_operator::run(config, kube, stop).await
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).with_context(|| {
        format!(
            "--log {:?} is not a valid filter; write for example info",
            config.log
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}
