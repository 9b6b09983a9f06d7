//! A life of a pipeline on a real Kubernetes, from the chart to the last object: what is promised, step by step.
//!
//! `scripts/e2e.sh` brings a cluster up (`tests/cluster/`), puts bundles into an S3-compatible server, and runs this where the
//! cluster lives: what it does is what people do with kubectl and helm, and what clients ask is asked through the Service. Each
//! step ends where it began, so that any of them can be run alone (`--only`). A table at the end says of each step how
//! long it took, how many requests were sent meanwhile, and how many of those failed: none may, unless the step says why.

mod api;
mod install;
mod kubectl;
mod lists;
mod load;
mod manifest;
mod node;
mod processes;
mod redis;
mod step;
mod store;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Checks the operator on a real Kubernetes.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// What the cluster can do.
    #[arg(long, value_enum)]
    level: Level,
    /// The helm to install the chart with.
    #[arg(long)]
    helm: PathBuf,
    /// The operator, run beside a cluster without pods.
    #[arg(long)]
    operator: PathBuf,
    /// The manifest to apply.
    #[arg(long, default_value = "examples/complete-journey/pipeline.yaml")]
    manifest: PathBuf,
    /// The S3-compatible server, as pods reach it.
    #[arg(long, default_value = "http://192.168.250.1:9000")]
    endpoint: String,
    /// The folder with the bundles of the demo.
    #[arg(long)]
    bundles: PathBuf,
    /// Sets up, and then runs only those steps whose names contain this; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Where to write the table, as Markdown.
    #[arg(long)]
    table: Option<PathBuf>,
}

/// What the cluster can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    /// API server and controllers: objects come and go, no pod runs.
    Api,
    /// Pods run.
    Node,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut table = table::Table::default();
    let outcome = match arguments.level {
        Level::Api => api::run_all(&arguments, &mut table).await,
        Level::Node => node::run_all(&arguments, &mut table).await,
    };
    println!("\n{table}");
    if let Some(file) = &arguments.table
        && let Err(error) = std::fs::write(file, table.to_string())
    {
        eprintln!("cannot write {}: {error}", file.display());
    }
    if let Err(error) = &outcome {
        eprintln!("ended early: {error:#}");
    }
    for step in table.broken() {
        eprintln!("FAILED: {step}");
    }
    if outcome.is_err() || table.broken().next().is_some() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
