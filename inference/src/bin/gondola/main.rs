//! `gondola`: what a person asks of an experiment on the command line.
//!
//! - `gondola experiment plan`: how many users it takes and how long, before it begins;
//! - `gondola experiment status`: where it stands in a cluster;
//! - `gondola experiment audit`: whether the logged arms are those that the rule gives.

mod audit;
mod plan;
mod status;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gondola_crds::RecommenderPipeline;
use gondola_crds::experiment::Experiment;
use gondola_inference::causes::with_causes;

/// Looks at Gondola's pipelines.
#[derive(Debug, Parser)]
#[command(name = "gondola", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A/B experiments.
    #[command(subcommand)]
    Experiment(ExperimentCommand),
}

#[derive(Debug, Subcommand)]
enum ExperimentCommand {
    /// Says how many users an experiment takes, how long that is, and what can be found.
    Plan(plan::Arguments),
    /// Says where an experiment stands in a cluster.
    Status(status::Arguments),
    /// Computes the arms of logged exposures anew: a difference is a fault, never chance.
    Audit(audit::Arguments),
}

fn main() -> ExitCode {
    let Arguments {
        command: Command::Experiment(command),
    } = Arguments::parse();
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gondola: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: ExperimentCommand) -> anyhow::Result<ExitCode> {
    match command {
        ExperimentCommand::Plan(arguments) => {
            print!("{}", plan::run(&arguments)?);
            Ok(ExitCode::SUCCESS)
        }
        ExperimentCommand::Status(arguments) => {
            let text = tokio::runtime::Runtime::new()?.block_on(status::run(&arguments))?;
            print!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        ExperimentCommand::Audit(arguments) => {
            tokio::runtime::Runtime::new()?.block_on(audit::run(&arguments))
        }
    }
}

/// A manifest that has an experiment.
struct Manifest {
    /// `namespace/name`.
    pipeline: String,
    experiment: Experiment,
}

impl Manifest {
    fn read(file: &Path) -> anyhow::Result<Self> {
        let yaml =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let pipeline: RecommenderPipeline =
            gondola_crds::from_yaml(&yaml).with_context(|| format!("cannot use {}", file.display()))?;
        let name = pipeline.metadata.name.unwrap_or_default();
        let namespace = pipeline
            .metadata
            .namespace
            .unwrap_or_else(|| "default".to_owned());
        Ok(Self {
            pipeline: format!("{namespace}/{name}"),
            experiment: pipeline
                .spec
                .experiment
                .with_context(|| format!("{} has no spec.experiment; give it one", file.display()))?,
        })
    }
}
