//! `gondola-train`: from a shop's transactions to published bundles and a report.

use std::io::IsTerminal as _;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgMatches, Args as _, FromArgMatches as _, Subcommand};
use gondola_causes::with_causes;
use gondola_models::scoring::check::inputs;
use gondola_training::access::AccessArguments;
use gondola_training::check;
use gondola_training::dataset::engine::Engine;
use gondola_training::dataset::queries::{QueryMemory, QuerySettings};
use gondola_training::dataset::training::Scorer;
use gondola_training::evaluate::ranking::ListMetric;
use gondola_training::publish::CHANNEL;
use gondola_training::report::Summary;
use gondola_training::run::{self, Inputs, PromotionRule, RunConfig};
use gondola_training::scoreboard::task::Seen;
use gondola_training::scoreboard::{self, ComparisonSettings, Scoreboard};
use url::Url;

#[derive(Subcommand)]
enum Command {
    /// Computes features, fits every model, evaluates, publishes and writes the report.
    Run(RunArgs),
    /// Fits one scorer and leaves its bundle's files in a folder.
    Fit(FitArgs),
    /// Fits scorers, compares them on the test window, prints a table and writes the report; publishes
    /// nothing. With --against: models of who buys what, towers and pipelines, beside other people's packages.
    Evaluate(EvaluateArgs),
    /// Counts over the scoreboards of several data sets: on each, a model has a point for every model that it stands above.
    Borda(BordaArgs),
    /// Says whether a scorer, one of your own for example, fits a workflow; without a scorer, which inputs it
    /// must read.
    Check(CheckArgs),
}

#[derive(clap::Args)]
struct InputArgs {
    /// Configuration of the data set (YAML).
    #[arg(long, env = "GONDOLA_DATASET", visible_alias = "dataset")]
    config: PathBuf,
    /// Folder or URL of the data set's files; what an object store needs to know comes from the environment,
    /// as for --store.
    #[arg(long, env = "GONDOLA_DATA_FOLDER")]
    data: String,
    /// MiB of memory that queries may take before they spill to disk (below TMPDIR). Default: an eighth of what
    /// this process may have.
    #[arg(long, env = "GONDOLA_QUERY_MEMORY_MIB")]
    query_memory_mib: Option<NonZeroU32>,
    /// Tests on the last window that the data fill, whatever windows.test_start says: for data that grow.
    #[arg(long, env = "GONDOLA_TEST_LATEST")]
    test_latest: bool,
    #[command(flatten)]
    access: AccessArguments,
    /// Parts that queries are computed in at once. Default: one a core of this machine, 16 on a cluster.
    #[arg(long, env = "GONDOLA_QUERY_PARTITIONS")]
    query_partitions: Option<NonZeroUsize>,
    /// What runs queries: local, or ballista://HOST:PORT for the executors of a scheduler (`gondola-ballista`).
    #[arg(long, env = "GONDOLA_ENGINE", default_value = "local")]
    engine: String,
    /// Folder or URL of a store through which tables get to executors: the same for all machines of the cluster, and for
    /// this run alone.
    #[arg(long, env = "GONDOLA_SHARED_FOLDER")]
    shared_folder: Option<String>,
    /// Seconds that it waits for the scheduler and for an executor of it.
    #[arg(long, env = "GONDOLA_CLUSTER_WAIT_SECONDS", default_value_t = 60)]
    cluster_wait_seconds: u64,
}

#[derive(clap::Args)]
struct RunArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Folder or URL of the sentence encoder: config.json, model.safetensors or model.onnx, tokenizer.json, and what
    /// modules.json names.
    #[arg(long, env = "GONDOLA_ENCODER")]
    encoder: String,
    /// URL of the store that bundles are published into, for example file:///models.
    #[arg(long, env = "GONDOLA_STORE")]
    store: String,
    /// The channel that points to the bundles.
    #[arg(long, default_value = CHANNEL)]
    channel: String,
    #[command(flatten)]
    promotion: PromotionArgs,
    /// A file for a line that says what the run came to.
    #[arg(long)]
    last_words: Option<PathBuf>,
    /// Folder of the report: index.html and summary.json.
    #[arg(long, env = "GONDOLA_REPORT")]
    report: PathBuf,
    /// Does nothing if an earlier run with the same inputs left its bundles and its report.
    #[arg(long, env = "GONDOLA_REUSE")]
    reuse: bool,
}

#[derive(clap::Args)]
struct PromotionArgs {
    /// Another channel, which takes the bundles if their lists are better than those of the bundles that it points
    /// to, for the same buyers of the test window and by more than chance.
    #[arg(long, requires = "if_better")]
    promote_to: Option<String>,
    /// What has to be better, of lists of 12 items.
    #[arg(long, requires = "promote_to")]
    if_better: Option<ListMetric>,
    /// What the lower end of the 95 % interval of the relative difference has to be above, for example 0.5%.
    #[arg(long, requires = "promote_to", default_value = "0%", value_parser = share)]
    min_lift: f64,
}

impl PromotionArgs {
    fn rule(self, published: &str) -> anyhow::Result<Option<PromotionRule>> {
        let (Some(channel), Some(metric)) = (self.promote_to, self.if_better) else {
            return Ok(None);
        };
        anyhow::ensure!(
            channel != published,
            "--promote-to {channel} is the channel that every run publishes to; set --channel to another, for example candidate"
        );
        Ok(Some(PromotionRule {
            channel,
            metric,
            min_lift: self.min_lift,
        }))
    }
}

/// A percentage as a share.
fn share(text: &str) -> Result<f64, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("is not a percentage from 0% to 100%; write for example 0.5%".to_owned()),
    }
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
    #[arg(long, required_unless_present_any = ["all", "against"])]
    scorer: Vec<Scorer>,
    /// Every scorer.
    #[arg(long, conflicts_with = "scorer")]
    all: bool,
    #[command(flatten)]
    scoreboard: ScoreboardArgs,
    /// Folder of the report: index.html and summary.json; with --against scoreboard.html and scoreboard.json.
    #[arg(long, env = "GONDOLA_REPORT")]
    report: PathBuf,
}

#[derive(clap::Args)]
struct ScoreboardArgs {
    /// Compares our models of who buys what, the two towers and whole pipelines with other people's packages: implicit, rectools, sansa,
    /// recpack, rectools-transformer, separated by commas; or `nobody`, which compares ours with each other.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["scorer", "all"])]
    against: Vec<String>,
    /// The Python in which these packages are installed.
    #[arg(long, default_value = "python3", requires = "against")]
    python: PathBuf,
    /// Whether lists may have what their users had bought before.
    #[arg(long, value_enum, default_value = "remove", requires = "against")]
    seen: Seen,
    /// How many settings of each model are tried on the tuning window, at most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..), requires = "against")]
    trials: u16,
    /// How many seeds a model with chance in it is fitted with.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..), requires = "against")]
    seeds: u8,
    /// Which of our models take part, by the names of their bundles, separated by commas: ease, sasrec, two-tower, boosting (a pipeline with
    /// that scorer), ..; without it all models of who buys what, the towers, and pipelines with the scorers that a run trains.
    #[arg(long, value_delimiter = ',', requires = "against")]
    models: Vec<String>,
}

impl From<ScoreboardArgs> for ComparisonSettings {
    fn from(args: ScoreboardArgs) -> Self {
        let ScoreboardArgs {
            mut against,
            python,
            seen,
            trials,
            seeds,
            models,
        } = args;
        against.retain(|package| package != NOBODY);
        Self {
            against,
            python,
            seen,
            trials: trials.into(),
            seeds: seeds.into(),
            models,
        }
    }
}

/// What is compared with no package.
const NOBODY: &str = "nobody";

#[derive(clap::Args)]
struct BordaArgs {
    /// Folders that `evaluate --against` left scoreboards in.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
}

#[derive(clap::Args)]
struct CheckArgs {
    /// Folder of the scorer: scorer.json and the model.
    #[arg(long)]
    bundle: Option<PathBuf>,
    /// Folder of a features bundle: schema.json, workflow.json and the vocabularies.
    #[arg(long)]
    features: PathBuf,
    /// Rows with the predictions of the model's own library, which the scorer must reproduce: CSV or Parquet with a
    /// column for each input and a column `prediction`.
    #[arg(long, requires = "bundle")]
    expect: Option<PathBuf>,
    /// Maximum difference between a score and the prediction; relative for predictions above 1.
    #[arg(long, default_value_t = 1e-5, requires = "expect")]
    tolerance: f64,
}

impl TryFrom<InputArgs> for Inputs {
    type Error = anyhow::Error;

    fn try_from(args: InputArgs) -> anyhow::Result<Self> {
        let data = if args.data.contains("://") {
            Url::parse(&args.data).with_context(|| format!("--data {} is not a valid URL", args.data))?
        } else {
            let folder = std::path::absolute(&args.data).context("--data is not a folder")?;
            Url::from_directory_path(&folder)
                .map_err(|()| anyhow::anyhow!("--data {} is not a folder", args.data))?
        };
        let queries = queries(&args)?;
        Ok(Self {
            access: args.access.access(),
            dataset: args.config,
            data,
            test_latest: args.test_latest,
            queries,
        })
    }
}

fn queries(args: &InputArgs) -> anyhow::Result<QuerySettings> {
    let wait = Duration::from_secs(args.cluster_wait_seconds);
    let engine = Engine::of(
        &args.engine,
        args.shared_folder.as_deref(),
        &args.access.access(),
        wait,
    )?;
    let mut queries = QuerySettings::on(engine);
    if let Some(memory) = args.query_memory_mib {
        queries.memory = QueryMemory::mebibytes(memory);
    }
    if let Some(partitions) = args.query_partitions {
        queries.partitions = partitions;
    }
    Ok(queries)
}

impl TryFrom<RunArgs> for RunConfig {
    type Error = anyhow::Error;

    fn try_from(args: RunArgs) -> anyhow::Result<Self> {
        let RunArgs {
            inputs,
            encoder,
            store,
            channel,
            promotion,
            last_words,
            report,
            reuse,
        } = args;
        Ok(Self {
            inputs: inputs.try_into()?,
            encoder,
            store,
            promotion: promotion.rule(&channel)?,
            channel,
            last_words,
            report,
            reuse,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter())
        .init();
    let command = named(&program().get_matches()).unwrap_or_else(|error| error.exit());
    match execute(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The program's arguments: those of a command, or those of `run` where none is named.
fn program() -> clap::Command {
    let program = clap::Command::new(env!("CARGO_PKG_NAME"))
        .version(env!("CARGO_PKG_VERSION"))
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true);
    Command::augment_subcommands(RunArgs::augment_args(program))
        .about("Trains recommender models from a shop's transactions, and publishes them as bundles")
}

/// The command that was named, or `run`.
fn named(matches: &ArgMatches) -> Result<Command, clap::Error> {
    match matches.subcommand_name() {
        Some(_) => Command::from_arg_matches(matches),
        None => RunArgs::from_arg_matches(matches).map(Command::Run),
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => run(args).await,
        Command::Fit(args) => fit(args).await,
        Command::Evaluate(args) => evaluate(args).await,
        Command::Borda(args) => borda(&args),
        Command::Check(args) => check_scorer(&args).await,
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let config = RunConfig::try_from(args)?;
    let summary = run::run(&config).await?;
    print(&summary, &config.report);
    Ok(())
}

async fn fit(args: FitArgs) -> anyhow::Result<()> {
    let rounds = run::fit(&args.inputs.try_into()?, args.scorer, &args.out).await?;
    let (scorer, out) = (args.scorer, args.out.display());
    println!("{scorer}: trained for {rounds} passes or trees, left in {out}");
    Ok(())
}

async fn evaluate(args: EvaluateArgs) -> anyhow::Result<()> {
    if !args.scoreboard.against.is_empty() {
        let settings = args.scoreboard.into();
        let board = run::compare_with_others(&args.inputs.try_into()?, &settings, &args.report).await?;
        println!("{}", board.text());
        println!("scoreboard: {}", args.report.join("scoreboard.html").display());
        return Ok(());
    }
    let scorers = if args.all {
        Scorer::ALL.to_vec()
    } else {
        args.scorer
    };
    let summary = run::evaluate(&args.inputs.try_into()?, &scorers, &args.report).await?;
    print(&summary, &args.report);
    Ok(())
}

fn borda(args: &BordaArgs) -> anyhow::Result<()> {
    let boards = args.reports.iter().map(|report| Scoreboard::read(report));
    println!(
        "{}",
        scoreboard::borda::text(&boards.collect::<anyhow::Result<Vec<_>>>()?)
    );
    Ok(())
}

fn print(summary: &Summary, report: &Path) {
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

/// Ballista logs what it returns as an error as well, which is told once, at the end.
fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,ballista_core=off".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Command, clap::Error> {
        let arguments = ["gondola-train"].into_iter().chain(arguments.split_whitespace());
        program()
            .try_get_matches_from(arguments)
            .and_then(|matches| named(&matches))
    }

    #[test]
    fn run_is_what_is_done_where_no_command_is_named() {
        let arguments = "--dataset d --data x --encoder e --store s --report r --reuse";
        for command in [arguments.to_owned(), format!("run {arguments}")] {
            let Ok(Command::Run(args)) = parse(&command) else {
                panic!("{command} is another command");
            };
            assert!(args.reuse && args.store == "s", "{command}");
        }
        let missing = parse("--dataset d --data x").err().unwrap().to_string();
        assert!(missing.contains("--encoder"), "{missing}");
    }

    #[test]
    fn every_command_is_read() {
        let evaluate = parse("evaluate --all --dataset d --data x --report r");
        assert!(matches!(evaluate, Ok(Command::Evaluate(_))));
        let fit = parse("fit --scorer wide_deep --config d --data x --out o");
        assert!(matches!(fit, Ok(Command::Fit(_))));
        assert!(parse("evaluate --data x --report r").is_err());
        let check = "check --features f --expect rows.csv";
        assert!(parse(check).is_err(), "there is no scorer to compare");
        let check = parse(&format!("{check} --bundle b --tolerance 0.001"));
        assert!(matches!(check, Ok(Command::Check(_))));
        program().debug_assert();
    }
}
