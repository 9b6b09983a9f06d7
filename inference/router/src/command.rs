//! What can be typed: `route`, `resolve`, `analyze`.

mod analyze;
mod resolve;
mod route;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gondola_causes::with_causes;
use gondola_server::program::LogArguments;

/// Splits users between the variants of a pipeline, resolves its bundles and analyzes its experiment.
#[derive(Debug, Parser)]
#[command(name = "gondola-router", version)]
struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Assigns every user to a variant, and forwards requests to it.
    Route(route::Arguments),
    /// Turns the events of a pipeline's experiment into statistics, and reports them to the operator.
    Analyze(analyze::Arguments),
    /// Looks up what a pipeline's channels point to, and reports it to the operator.
    Resolve(resolve::Arguments),
}

/// Runs the command.
pub(crate) fn run() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gondola-router: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(Arguments { log, command }: Arguments) -> anyhow::Result<()> {
    log.start()?;
    tokio::runtime::Runtime::new()?.block_on(async {
        match command {
            Command::Route(arguments) => route::run(arguments).await,
            Command::Analyze(arguments) => analyze::run(arguments).await,
            Command::Resolve(arguments) => resolve::run(arguments).await,
        }
    })
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
