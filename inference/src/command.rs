//! What can be typed: `up`, `serve`, `route`, `resolve`, `analyze`, `fetch`.

mod analyze;
mod bundles;
mod events;
mod fetch;
mod loading;
mod local_experiment;
mod manifest;
mod resolve;
mod route;
mod serving;
mod up;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use gondola_inference::causes::with_causes;
use gondola_inference::retrieval::index::trial;
use tracing_subscriber::EnvFilter;

/// Serves recommendations from bundles of models and indexes.
#[derive(Debug, Parser)]
#[command(name = "gondola-inference", version)]
struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct LogArguments {
    /// What is logged to stderr, for example `info` or `warn,gondola_inference=debug`.
    #[arg(long, env = "GONDOLA_LOG", default_value = "info", global = true)]
    log: String,
    /// How log lines look.
    #[arg(long, env = "GONDOLA_LOG_FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a whole pipeline on this machine: every variant, and the router in front of them.
    Up(up::Arguments),
    /// Serves one variant of a pipeline.
    Serve(serving::Arguments),
    /// Gives every user a variant, and asks it at its addresses.
    Route(route::Arguments),
    /// Turns the events of a pipeline's experiment into statistics, and reports them to the operator.
    Analyze(analyze::Arguments),
    /// Looks up what a pipeline's channels point to, and reports it to the operator.
    Resolve(resolve::Arguments),
    /// Brings a pipeline's bundles here, checked, without serving them.
    Fetch(fetch::Arguments),
    /// Loads and searches an index file: what a server does in a child process before it trusts the file.
    #[command(hide = true)]
    TryIndex { path: PathBuf },
}

/// Runs what was typed.
pub(crate) fn run() -> ExitCode {
    let Arguments { log, command } = Arguments::parse();
    // Its limits on memory leave no room for a runtime's threads.
    if let Command::TryIndex { path } = command {
        return trial::run(&path);
    }
    match start(&log, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gondola-inference: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(log: &LogArguments, command: Command) -> anyhow::Result<()> {
    start_log(log)?;
    check_processor()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Up(arguments) => up::run(arguments).await,
            Command::Serve(arguments) => serving::run(arguments).await,
            Command::Route(arguments) => route::run(arguments).await,
            Command::Analyze(arguments) => analyze::run(arguments).await,
            Command::Resolve(arguments) => resolve::run(arguments).await,
            Command::Fetch(arguments) => fetch::run(arguments).await,
            Command::TryIndex { .. } => unreachable!("handled before any runtime starts"),
        }
    });
    // Bundles that are still being loaded when a signal comes are not waited for.
    runtime.shutdown_background();
    outcome
}

fn start_log(log: &LogArguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.log).map_err(|error| {
        anyhow::anyhow!(
            "--log {:?} is no filter: {error}; write for example info",
            log.log
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match log.log_format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
    Ok(())
}

/// FAISS is compiled for AVX2, and would end the process with an illegal instruction.
#[cfg(target_arch = "x86_64")]
fn check_processor() -> anyhow::Result<()> {
    if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
        return Ok(());
    }
    anyhow::bail!(
        "this processor has no AVX2 and FMA, which the index library needs; use one made since 2013"
    )
}

#[cfg(not(target_arch = "x86_64"))]
fn check_processor() -> anyhow::Result<()> {
    Ok(())
}
