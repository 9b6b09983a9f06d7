//! `gondola-ballista`: the scheduler and the executors of a cluster that runs the queries of `gondola-train`.

use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser};
use gondola_causes::with_causes;
use gondola_training::access::AccessArguments;
use gondola_training::ballista::release::Release;
use gondola_training::ballista::{ClusterError, executor, scheduler};
use gondola_training::dataset::engine::SchedulerAddress;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Of each thread: a plan is read by calls within calls, some for each of its joins.
const STACK_BYTES: usize = 16 << 20;

/// Runs the queries of gondola-train on many machines: one scheduler, and an executor on each. All are of one release and read the
/// same folder or store.
#[derive(Parser)]
#[command(version)]
enum Program {
    /// Plans queries and hands their tasks to executors.
    Scheduler(SchedulerArgs),
    /// Runs tasks.
    Executor(ExecutorArgs),
}

#[derive(Args)]
struct SchedulerArgs {
    /// Address and port that it listens on.
    #[arg(long, env = "GONDOLA_BALLISTA_LISTEN", default_value = "0.0.0.0:50050")]
    listen: SocketAddr,
    /// Name or address by which executors reach it.
    #[arg(long, env = "GONDOLA_BALLISTA_HOST", default_value = "localhost")]
    host: String,
    /// Seconds of silence after which an executor is taken for lost and its tasks go to others.
    #[arg(long, env = "GONDOLA_BALLISTA_EXECUTOR_TIMEOUT_SECONDS", default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(5..=3600))]
    executor_timeout_seconds: u64,
    #[command(flatten)]
    access: AccessArguments,
}

#[derive(Args)]
struct ExecutorArgs {
    /// Host and port of the scheduler.
    #[arg(long, env = "GONDOLA_BALLISTA_SCHEDULER")]
    scheduler: SchedulerAddress,
    /// Seconds that it waits for the scheduler to be there.
    #[arg(long, env = "GONDOLA_BALLISTA_SCHEDULER_WAIT_SECONDS", default_value_t = 120)]
    scheduler_wait_seconds: u64,
    /// Address that it listens on.
    #[arg(long, env = "GONDOLA_BALLISTA_LISTEN", default_value = "0.0.0.0")]
    listen: IpAddr,
    /// Name or address by which the scheduler, other executors and gondola-train reach it. Default: the address that its calls
    /// come from.
    #[arg(long, env = "GONDOLA_BALLISTA_HOST")]
    host: Option<String>,
    /// Port of rows, for other executors and gondola-train.
    #[arg(long, env = "GONDOLA_BALLISTA_PORT", default_value_t = 50051)]
    port: u16,
    /// Port of tasks, for the scheduler.
    #[arg(long, env = "GONDOLA_BALLISTA_TASK_PORT", default_value_t = 50052)]
    task_port: u16,
    /// Folder for the rows between two stages of a query, and for what does not fit into memory.
    #[arg(long, env = "GONDOLA_BALLISTA_WORK_FOLDER")]
    work_folder: PathBuf,
    /// Tasks at once. Default: one a core.
    #[arg(long, env = "GONDOLA_BALLISTA_SLOTS")]
    slots: Option<NonZeroU32>,
    /// MiB of memory that tasks may take before they spill to the work folder. Default: 70 % of what this process may have.
    #[arg(long, env = "GONDOLA_BALLISTA_MEMORY_MIB")]
    memory_mib: Option<NonZeroU32>,
    #[command(flatten)]
    access: AccessArguments,
}

impl From<SchedulerArgs> for scheduler::Settings {
    fn from(args: SchedulerArgs) -> Self {
        Self {
            listen: args.listen,
            host: args.host,
            executor_timeout: Duration::from_secs(args.executor_timeout_seconds),
            access: args.access.access(),
            release: Release::this(),
        }
    }
}

impl From<ExecutorArgs> for executor::Settings {
    fn from(args: ExecutorArgs) -> Self {
        Self {
            scheduler: args.scheduler,
            scheduler_wait: Duration::from_secs(args.scheduler_wait_seconds),
            listen: args.listen,
            host: args.host,
            port: args.port,
            task_port: args.task_port,
            work_folder: args.work_folder,
            slots: args.slots.map_or(0, |slots| slots.get() as usize),
            access: args.access.access(),
            memory: args.memory_mib.map(|memory| u64::from(memory.get()) << 20),
        }
    }
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filter())
        .init();
    let program = Program::parse();
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| Ok(runtime.block_on(run(program))?));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(program: Program) -> Result<(), ClusterError> {
    match program {
        Program::Scheduler(args) => scheduler::run(args.into(), Box::pin(terminated())).await,
        Program::Executor(args) => executor::run(args.into(), Box::pin(terminated())).await,
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn terminated() {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "cannot hear SIGTERM");
            return std::future::pending().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "warn,gondola_training=info".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Program::command().debug_assert();
    }
}
