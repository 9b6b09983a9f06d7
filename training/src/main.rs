//! `gondola-train`: from a shop's transactions to published bundles and a report.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gondola_training::check;
use gondola_training::run::{self, RunConfig};
use url::Url;

/// Makes recommender bundles out of a shop's transactions.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Computes features, fits every model, evaluates, publishes and writes the report.
    Run(RunArgs),
    /// Says whether a scorer, one of your own for example, fits a workflow; without a scorer, which inputs it must read.
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    /// Configuration of the data set (YAML).
    #[arg(long, env = "GONDOLA_DATASET")]
    config: PathBuf,
    /// Folder or URL of the data set's files.
    #[arg(long, env = "GONDOLA_DATA_FOLDER")]
    data: String,
    /// Folder of the sentence encoder: config.json, model.safetensors, tokenizer.json.
    #[arg(long, env = "GONDOLA_ENCODER")]
    encoder: PathBuf,
    /// URL of the store that bundles are published into, for example file:///models.
    #[arg(long, env = "GONDOLA_STORE")]
    store: String,
    /// Folder of the report: index.html and summary.json.
    #[arg(long, env = "GONDOLA_REPORT")]
    report: PathBuf,
    /// Does nothing where an earlier run with the same inputs left its bundles and its report.
    #[arg(long, env = "GONDOLA_REUSE")]
    reuse: bool,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// Folder of the scorer: scorer.json and the model.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Folder of a features bundle: schema.json, workflow.json and the vocabularies.
    #[arg(long)]
    features: PathBuf,
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = anyhow::Error;

    fn try_from(args: RunArgs) -> anyhow::Result<Self> {
        let data = if args.data.contains("://") {
            Url::parse(&args.data).with_context(|| format!("--data {} is no URL", args.data))?
        } else {
            let folder = std::path::absolute(&args.data).context("--data is no folder")?;
            Url::from_directory_path(&folder)
                .map_err(|()| anyhow::anyhow!("--data {} is no folder", args.data))?
        };
        let RunArgs {
            config: dataset,
            encoder,
            store,
            report,
            reuse,
            ..
        } = args;
        Ok(Self {
            dataset,
            data,
            encoder,
            store,
            report,
            reuse,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter())
        .init();
    let done = match Args::parse().command {
        Command::Run(args) => train(args).await,
        Command::Check(args) => check_scorer(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn train(args: RunArgs) -> anyhow::Result<()> {
    let config = RunConfig::try_from(args)?;
    let summary = run::run(&config).await?;
    println!("{}", summary.table());
    println!("report: {}", config.report.join("index.html").display());
    Ok(())
}

fn check_scorer(args: &CheckArgs) -> anyhow::Result<()> {
    match &args.bundle {
        Some(bundle) => print!("{}", check::check(bundle, &args.features)?),
        None => print!("{}", check::inputs(&args.features)?),
    }
    Ok(())
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into())
}
