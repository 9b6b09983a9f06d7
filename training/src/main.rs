//! `gondola-train`: from a shop's transactions to published bundles and a report.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use gondola_causes::with_causes;
use gondola_models::scoring::check::inputs;
use gondola_training::check;
use gondola_training::dataset::training::Scorer;
use gondola_training::report::Summary;
use gondola_training::run::{self, Inputs, RunConfig};
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
    /// Fits one scorer and leaves its bundle's files in a folder.
    Fit(FitArgs),
    /// Fits scorers, compares them on the test window, prints a table and writes the report; publishes nothing.
    Evaluate(EvaluateArgs),
    /// Says whether a scorer, one of your own for example, fits a workflow; without a scorer, which inputs it must read.
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct InputArgs {
    /// Configuration of the data set (YAML).
    #[arg(long, env = "GONDOLA_DATASET", visible_alias = "dataset")]
    config: PathBuf,
    /// Folder or URL of the data set's files; what an object store needs to know comes from the environment, as for --store.
    #[arg(long, env = "GONDOLA_DATA_FOLDER")]
    data: String,
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Folder of the sentence encoder: config.json, model.safetensors, tokenizer.json, and what modules.json names.
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
struct FitArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Which scorer.
    #[arg(long)]
    scorer: Scorer,
    /// Folder of the bundle's files, which must not be there yet.
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
struct EvaluateArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Which scorer; may be given several times.
    #[arg(long, required_unless_present = "all")]
    scorer: Vec<Scorer>,
    /// Every scorer.
    #[arg(long, conflicts_with = "scorer")]
    all: bool,
    /// Folder of the report: index.html and summary.json.
    #[arg(long, env = "GONDOLA_REPORT")]
    report: PathBuf,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// Folder of the scorer: scorer.json and the model.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Folder of a features bundle: schema.json, workflow.json and the vocabularies.
    #[arg(long)]
    features: PathBuf,
    /// Rows with the predictions of the model's own library, which the scorer must give too: CSV or Parquet with a column for
    /// each input and a column `prediction`.
    #[arg(long, requires = "bundle")]
    expect: Option<PathBuf>,
    /// How far a score may be from the prediction; where predictions are above 1, how far as a part of them.
    #[arg(long, default_value_t = 1e-5, requires = "expect")]
    tolerance: f64,
}

impl TryFrom<InputArgs> for Inputs {
    type Error = anyhow::Error;

    fn try_from(args: InputArgs) -> anyhow::Result<Self> {
        let data = if args.data.contains("://") {
            Url::parse(&args.data).with_context(|| format!("--data {} is no URL", args.data))?
        } else {
            let folder = std::path::absolute(&args.data).context("--data is no folder")?;
            Url::from_directory_path(&folder)
                .map_err(|()| anyhow::anyhow!("--data {} is no folder", args.data))?
        };
        let dataset = args.config;
        Ok(Self { dataset, data })
    }
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = anyhow::Error;

    fn try_from(args: RunArgs) -> anyhow::Result<Self> {
        let RunArgs {
            inputs,
            encoder,
            store,
            report,
            reuse,
        } = args;
        Ok(Self {
            inputs: inputs.try_into()?,
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
    match execute(Args::parse_from(typed(std::env::args_os().collect()))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// What was typed, with `run` where no command was named.
fn typed(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.get(1).map(|argument| argument.to_string_lossy());
    let named = first
        .is_some_and(|first| !first.starts_with("--") || ["--help", "--version"].contains(&first.as_ref()));
    if !named {
        arguments.insert(1.min(arguments.len()), "run".into());
    }
    arguments
}

async fn execute(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Run(args) => run(args).await,
        Command::Fit(args) => fit(args).await,
        Command::Evaluate(args) => evaluate(args).await,
        Command::Check(args) => check_scorer(&args).await,
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = RunConfig::try_from(args)?;
    let summary = run::run(&config).await?;
    tell(&summary, &config.report);
    Ok(())
}

async fn fit(args: FitArgs) -> anyhow::Result<()> {
    let fitted = run::fit(&args.inputs.try_into()?, args.scorer, &args.out).await?;
    let (scorer, rounds, out) = (args.scorer, fitted.rounds, args.out.display());
    println!("{scorer}: trained for {rounds} passes or trees, left in {out}");
    Ok(())
}

async fn evaluate(args: EvaluateArgs) -> anyhow::Result<()> {
    let scorers = if args.all {
        Scorer::ALL.to_vec()
    } else {
        args.scorer
    };
    let summary = run::evaluate(&args.inputs.try_into()?, &scorers, &args.report).await?;
    tell(&summary, &args.report);
    Ok(())
}

fn tell(summary: &Summary, report: &Path) {
    println!("{}", summary.table());
    println!("report: {}", report.join("index.html").display());
}

async fn check_scorer(args: &CheckArgs) -> anyhow::Result<()> {
    let Some(bundle) = &args.bundle else {
        print!("{}", inputs(&args.features)?);
        return Ok(());
    };
    let tolerance = args.tolerance;
    let expected = args
        .expect
        .as_deref()
        .map(|file| check::Expected { file, tolerance });
    print!("{}", check::check(bundle, &args.features, expected).await?);
    Ok(())
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_is_what_is_done_where_no_command_is_named() {
        let typed = |arguments: &[&str]| typed(arguments.iter().map(OsString::from).collect());
        assert_eq!(
            typed(&["gondola-train", "--data", "x"]),
            ["gondola-train", "run", "--data", "x"]
        );
        assert_eq!(typed(&["gondola-train"]), ["gondola-train", "run"]);
        for named in [
            ["gondola-train", "fit"],
            ["gondola-train", "--help"],
            ["gondola-train", "-h"],
        ] {
            assert_eq!(typed(&named), named);
        }
    }

    #[test]
    fn every_command_is_read() {
        Args::try_parse_from([
            "gondola-train",
            "evaluate",
            "--all",
            "--dataset",
            "d",
            "--data",
            "x",
            "--report",
            "r",
        ])
        .unwrap();
        let fit = [
            "gondola-train",
            "fit",
            "--scorer",
            "wide_deep",
            "--config",
            "d",
            "--data",
            "x",
            "--out",
            "o",
        ];
        Args::try_parse_from(fit).unwrap();
        assert!(Args::try_parse_from(["gondola-train", "evaluate", "--data", "x", "--report", "r"]).is_err());
        let check = [
            "gondola-train",
            "check",
            "--features",
            "f",
            "--expect",
            "rows.csv",
        ];
        assert!(
            Args::try_parse_from(check).is_err(),
            "there is no scorer to compare"
        );
        Args::try_parse_from(check.into_iter().chain(["--bundle", "b", "--tolerance", "0.001"])).unwrap();
    }
}
