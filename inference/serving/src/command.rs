//! What can be typed: `up`, `serve`, `fetch`, `batch`, `preview`, `replay`.

mod batch;
mod bundles;
mod contracts;
mod device;
mod fetch;
mod loading;
mod local_experiment;
mod manifest;
mod online;
mod preview;
mod replay;
mod serving;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gondola_causes::with_causes;
use gondola_models::trial;
use gondola_server::program::{LogArguments, runtime_beside_models};
use tokio::runtime::Runtime;

/// Serves recommendations from bundles of models and indexes.
#[derive(Debug, Parser)]
#[command(name = "gondola-inference", version)]
struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a whole pipeline on this machine: every variant, and the router in front of them.
    Up(up::Arguments),
    /// Serves one variant of a pipeline.
    Serve(serving::Arguments),
    /// Fetches and checks a pipeline's bundles without serving them.
    Fetch(fetch::Arguments),
    /// Writes the recommendations of all users, or of a list of them, as Parquet.
    Batch(batch::Arguments),
    /// Estimates from logged traffic what a variant would bring that nobody was shown.
    Preview(preview::Arguments),
    /// Makes answers again that were logged, by the bundles that they name, and says whether they come out the same.
    Replay(replay::Arguments),
    /// Loads and uses the file of an index or of a network: what a server does in a child process before it trusts the file.
    #[command(hide = true)]
    TryFile { path: PathBuf },
}

/// Runs the command.
pub(crate) fn run() -> ExitCode {
    let Arguments { log, command } = Arguments::parse();
    // Its limits on memory leave no room for a runtime's threads.
    if let Command::TryFile { path } = command {
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
    log.start()?;
    check_processor()?;
    let runtime = match command {
        Command::Up(_) | Command::Serve(_) => runtime_beside_models()?,
        _ => Runtime::new()?,
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Up(arguments) => up::run(arguments).await,
            Command::Serve(arguments) => serving::run(arguments).await,
            Command::Fetch(arguments) => fetch::run(arguments).await,
            Command::Batch(arguments) => batch::run(arguments).await,
            Command::Preview(arguments) => preview::run(arguments).await,
            Command::Replay(arguments) => replay::run(arguments).await,
            Command::TryFile { .. } => unreachable!("handled before any runtime starts"),
        }
    });
    // Bundles that are still being loaded when a signal comes are not waited for.
    runtime.shutdown_background();
    outcome
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use gondola_test_stand_in::check_variables;

    use super::*;

    #[test]
    fn every_variable_is_on_the_list_that_the_operator_writes_from() {
        check_variables(&Arguments::command());
    }
}
