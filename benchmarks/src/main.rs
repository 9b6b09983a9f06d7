//! `gondola-bench`: how fast a request is answered.
//!
//! - `synthetic`: each stage and the whole request in process, on generated data of the size of a fashion chain's;
//! - `recommend`: the same as JSON, on any bundles, for a comparison with another product (`peers/compare.py`);
//! - `scorers`: scoring alone, on given bundles and requests, for the same (`peers/scorers.py`);
//! - `grpc`: clients over the network against a server that runs already;
//! - `experiments`: whether simulated experiments come to true verdicts, and what the analyzer costs.
//!
//! Data is seeded and made outside what is timed; every table names the machine, its load and the commit.

mod experiments;
mod grpc;
mod in_process;
mod machine;
mod measure;
mod recommend;
mod scorers;
mod synthetic;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Measures how fast requests are answered.
#[derive(Debug, Parser)]
#[command(name = "gondola-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Generates data of the size of a fashion chain's once, and prints the speed of each stage in process.
    Synthetic(SyntheticArguments),
    /// Prints the speed of each stage on given bundles, or what is recommended, as JSON.
    Recommend(RecommendArguments),
    /// Prints the speed of scoring alone, and the scores, as JSON.
    Scorers(ScorersArguments),
    /// Prints the speed of a running server, over gRPC.
    Grpc(GrpcArguments),
    /// Simulates experiments through assignment, analysis and decisions, and checks the results.
    Experiments {
        /// Exposures that the analyzer is measured on.
        #[arg(long, default_value_t = 10_000_000)]
        exposures: u64,
    },
}

#[derive(Debug, Args)]
struct SyntheticArguments {
    /// Number of items.
    #[arg(long, default_value_t = 105_542)]
    items: usize,
    /// Number of users in the snapshot; the vocabulary of users' ids holds 1.37 million however many these are.
    #[arg(long, default_value_t = 200_000)]
    users: usize,
    /// Folder for what is generated; made once for each size.
    #[arg(long, env = "GONDOLA_BENCH_DATA", default_value = ".bench")]
    data: PathBuf,
    /// Lists of the index that a search visits.
    #[arg(long, default_value_t = synthetic::NPROBE)]
    nprobe: u32,
    /// Number of requests timed for each scorer.
    #[arg(long, default_value_t = 3_000)]
    requests: usize,
    /// Generate, publish for `gondola-inference up`, and time nothing.
    #[arg(long)]
    make_only: bool,
}

#[derive(Debug, Args)]
struct RecommendArguments {
    /// Folder with `features/`, `two-tower/`, `dlrm/` and `forest/`.
    #[arg(long)]
    bundles: PathBuf,
    /// Lists of the index that a search visits.
    #[arg(long, default_value_t = synthetic::NPROBE)]
    nprobe: u32,
    /// Number of users to ask for, drawn at random from the snapshot.
    #[arg(long, default_value_t = 500)]
    users: usize,
    /// Print what the first users are recommended, and time nothing.
    #[arg(long)]
    answers: Option<usize>,
}

#[derive(Debug, Args)]
struct ScorersArguments {
    /// Folder with `features/` and a folder for each scorer.
    #[arg(long)]
    bundles: PathBuf,
    /// The scorers' folders.
    #[arg(long, value_delimiter = ',', required = true)]
    scorers: Vec<String>,
    /// JSON: a list of requests, each a user's row and a list of items' rows, counted from 0.
    #[arg(long)]
    requests: PathBuf,
}

#[derive(Debug, Args)]
struct GrpcArguments {
    /// Where the server is.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Numbers of concurrent clients; each sends its next request as soon as it is answered.
    #[arg(long, value_delimiter = ',', default_value = "1,8,32")]
    clients: Vec<usize>,
    /// Seconds to measure for each number of clients.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// The server's process, if it is on this machine: its CPU time per request is printed too.
    #[arg(long)]
    pid: Option<u32>,
    /// Users are numbered: their ids are 64 hexadecimal digits, from 0.
    #[arg(long, default_value_t = 200_000)]
    users: usize,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Synthetic(arguments) => in_process::run(&arguments),
        Command::Recommend(arguments) => recommend::run(&arguments),
        Command::Scorers(arguments) => scorers::run(&arguments),
        Command::Grpc(arguments) => grpc::run(&arguments),
        Command::Experiments { exposures } => experiments::run(exposures),
    }
}

/// The id of a generated user.
fn user_id(number: usize) -> String {
    format!("{number:064x}")
}
