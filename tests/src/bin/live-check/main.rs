//! Checks what an online store promises, on this machine: with a real Redis, and with real pods and a router as processes of their own.
//!
//! Each check opens a shop of its own, [`shop::Shop`], does something to it, and says in [`table::Row`]s what it measured. A promise
//! that does not hold ends the program with 1, after everything else was measured as well.
//!
//! - [`effects`]: how soon another replica's answers show what was done here;
//! - [`reads`]: what a round trip to the store takes;
//! - [`kills`]: what is left of acknowledged writes when pods and Redis are killed;
//! - [`writes`]: answers while ten thousand interactions a second come;
//! - [`goodput`]: answers while five times more requests come than can be answered;
//! - [`hang`]: answers while Redis hangs; [`slow_clients`]: while clients send byte by byte.

mod client;
mod effects;
mod goodput;
mod hang;
mod kills;
mod load;
mod orders;
mod processors;
mod program;
mod reads;
mod redis;
mod shop;
mod slow_clients;
mod sockets;
mod table;
mod times;
mod writers;
mod writes;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Parser;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

use shop::Premises;
use table::{Row, Table};

/// The checks, in the order in which they run.
const CHECKS: [&str; 7] = [
    "effects",
    "reads",
    "kills",
    "writes",
    "goodput",
    "hang",
    "slow-clients",
];

/// Checks what an online store promises, with a real Redis and real processes.
#[derive(Debug, Parser)]
struct Args {
    /// Folder of the programs gondola-inference and gondola-router.
    #[arg(long)]
    programs: PathBuf,
    /// Folder of the store of bundles that `make demo` trains.
    #[arg(long)]
    store: PathBuf,
    /// Folder for Redis's data and the logs of all programs; what an earlier run left there is removed.
    #[arg(long)]
    work: PathBuf,
    /// The program of Redis.
    #[arg(long, env = "GONDOLA_REDIS_SERVER", default_value = "redis-server")]
    redis_server: PathBuf,
    /// Further arguments of Redis, for example `--redis=--appendfsync --redis=always`.
    #[arg(long, allow_hyphen_values = true)]
    redis: Vec<String>,
    /// Only these checks: effects, reads, kills, writes, goodput, hang, slow-clients.
    #[arg(long)]
    only: Vec<String>,
    /// How much of everything is done: 0.1 is a tenth of the trials, rounds, users and seconds.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Scale(f64);

impl Scale {
    /// That part of `whole`, and 1 at least.
    fn of(self, whole: u32) -> u32 {
        ((f64::from(whole) * self.0).round() as u32).max(1)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    // Processes end with the shop that started them, which a signal would leave no time for.
    tokio::select! {
        checked = check(&args) => checked,
        _ = ctrl_c() => bail!("interrupted"),
        _ = asked_to_stop.recv() => bail!("asked to stop"),
    }
}

async fn check(args: &Args) -> anyhow::Result<()> {
    let unknown: Vec<&String> = args
        .only
        .iter()
        .filter(|name| !CHECKS.contains(&name.as_str()))
        .collect();
    ensure!(unknown.is_empty(), "no checks {unknown:?}; there are {CHECKS:?}");
    let premises = Premises::new(args)?;
    let mut table = Table::new();
    for name in CHECKS {
        if !args.only.is_empty() && !args.only.iter().any(|only| only == name) {
            continue;
        }
        let started = Instant::now();
        eprintln!("{name} ..");
        match run(name, &premises, Scale(args.scale)).await {
            Ok(rows) => rows.into_iter().for_each(|row| table.add(row)),
            Err(error) => table.add(Row::failed(name, &error)),
        }
        eprintln!("{name}: {:.0} s", started.elapsed().as_secs_f64());
    }
    println!("{table}");
    ensure!(table.holds(), "a promise does not hold");
    Ok(())
}

async fn run(name: &str, premises: &Premises, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let work = premises.folder(name)?;
    match name {
        "effects" => effects::check(premises, &work, scale).await,
        "reads" => reads::check(premises, &work, scale).await,
        "kills" => kills::check(premises, &work, scale).await,
        "writes" => writes::check(premises, &work, scale).await,
        "goodput" => goodput::check(premises, &work, scale).await,
        "hang" => hang::check(premises, &work, scale).await,
        "slow-clients" => slow_clients::check(premises, &work, scale).await,
        other => bail!("no check {other:?}"),
    }
}
