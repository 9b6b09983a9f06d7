//! `gondola`: the command line for people.
//!
//! - `gondola inputs`: what a model must read, in order;
//! - `gondola import-workflow`: a workflow of NVTabular, exported, becomes one of ours;
//! - `gondola publish`: a folder becomes a bundle, checked against the features that it will serve with;
//! - `gondola batch`: the recommendations of all users, as Parquet;
//! - `gondola replay`: answers that were logged, made again from the bundles that they name;
//! - `gondola experiment plan`: how many users it takes and how long, before it begins;
//! - `gondola experiment preview`: what a new variant would bring, by traffic that is logged already;
//! - `gondola experiment status`: where it is in a cluster;
//! - `gondola experiment audit`: whether the logged arms are those that the rule gives.

mod audit;
mod bundles;
mod import_workflow;
mod inference;
mod inputs;
mod plan;
mod publish;
mod status;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gondola_causes::with_causes;
use gondola_crds::RecommenderPipeline;
use gondola_crds::experiment::Experiment;

/// Publishes models and inspects experiments.
#[derive(Debug, Parser)]
#[command(name = "gondola", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes the recommendations of all users, or of a list of them, as Parquet.
    Batch(inference::Arguments),
    /// A/B experiments.
    #[command(subcommand)]
    Experiment(ExperimentCommand),
    /// Makes the workflow of a features bundle from one of NVIDIA Merlin's NVTabular, exported by examples/merlin/export_workflow.py.
    ImportWorkflow(import_workflow::Arguments),
    /// Lists the inputs that a model must read, in order, to serve with a features bundle.
    Inputs(inputs::Arguments),
    /// Publishes a model's folder as a bundle, checked against the features that it will serve with.
    Publish(publish::Arguments),
    /// Makes answers again that were logged, by the bundles that they name, and says whether they come out the same.
    Replay(inference::Arguments),
}

#[derive(Debug, Subcommand)]
enum ExperimentCommand {
    /// Shows how many users an experiment needs, how long that takes, and what effect it can detect.
    Plan(plan::Arguments),
    /// Estimates from logged traffic what a variant would bring that nobody was shown.
    Preview(inference::Arguments),
    /// Shows the state of an experiment in a cluster.
    Status(status::Arguments),
    /// Recomputes the arms of logged exposures: any difference is a bug, never chance.
    Audit(audit::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gondola: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Batch(arguments) => match inference::become_it("batch", &arguments)? {},
        Command::Experiment(command) => run_experiment(command),
        Command::ImportWorkflow(arguments) => {
            print!("{}", import_workflow::run(arguments)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Inputs(arguments) => {
            let inputs = tokio::runtime::Runtime::new()?.block_on(inputs::run(&arguments))?;
            print!("{inputs}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Publish(arguments) => {
            let said = tokio::runtime::Runtime::new()?.block_on(publish::run(&arguments))?;
            print!("{said}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Replay(arguments) => match inference::become_it("replay", &arguments)? {},
    }
}

fn run_experiment(command: ExperimentCommand) -> anyhow::Result<ExitCode> {
    match command {
        ExperimentCommand::Plan(arguments) => {
            print!("{}", plan::run(&arguments)?);
            Ok(ExitCode::SUCCESS)
        }
        ExperimentCommand::Preview(arguments) => match inference::become_it("preview", &arguments)? {},
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
                .with_context(|| format!("{} has no spec.experiment; add one", file.display()))?,
        })
    }
}
