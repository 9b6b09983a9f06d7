//! An executor: runs the tasks of a scheduler's queries.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ballista_core::RuntimeProducer;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use futures::future::BoxFuture;
use gondola_artifacts::Access;

use super::client::reach;
use super::error::ClusterError;
use super::release::Release;
use super::scheduler::MESSAGE_BYTES;
use super::stores::Stores;
use crate::dataset::engine::SchedulerAddress;

/// How often an executor says that it is there; five calls that fail end it.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// What an executor is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose tasks it runs.
    pub scheduler: SchedulerAddress,
    /// How long it waits for the scheduler to be there.
    pub scheduler_wait: Duration,
    /// The address that it listens on.
    pub listen: IpAddr,
    /// The name or address by which others reach it; where none is given, the one that its calls come from.
    pub host: Option<String>,
    /// The port of rows, for other executors and for whoever asked.
    pub port: u16,
    /// The port of tasks, for the scheduler.
    pub task_port: u16,
    /// Where rows lie between two stages of a query, and what does not fit into memory.
    pub work_folder: PathBuf,
    /// Tasks at once; 0 for as many as there are cores.
    pub slots: usize,
    /// How stores are reached.
    pub access: Access,
    /// Bytes that all tasks together may take before they spill; 70 % of the container's or the machine's where none is given.
    pub memory: Option<u64>,
}

/// Runs tasks until the process is told to end, which Ballista hears by itself; `told` says whether it was. Boxed, as the scheduler is.
pub fn run(settings: Settings, told: BoxFuture<'static, ()>) -> BoxFuture<'static, Result<(), ClusterError>> {
    Box::pin(execute(settings, told))
}

async fn execute(settings: Settings, told: BoxFuture<'static, ()>) -> Result<(), ClusterError> {
    prepare(&settings)?;
    reach(&settings.scheduler, &Release::this(), settings.scheduler_wait).await?;
    let told = tokio::spawn(told);
    let ended = start_executor_process(Arc::new(config(&settings))).await;
    ended.map_err(|source| ClusterError::Start {
        what: "the executor",
        source,
    })?;
    if told.is_finished() {
        Ok(())
    } else {
        Err(ClusterError::Stopped)
    }
}

/// Finds out now what Ballista would tell in its log alone.
fn prepare(settings: &Settings) -> Result<(), ClusterError> {
    for port in [settings.port, settings.task_port] {
        let address = SocketAddr::new(settings.listen, port);
        TcpListener::bind(address).map_err(|source| ClusterError::Listen { address, source })?;
    }
    let folder = &settings.work_folder;
    let made = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    made.map(drop).map_err(|source| ClusterError::WorkFolder {
        folder: folder.clone(),
        source,
    })
}

fn config(settings: &Settings) -> ExecutorProcessConfig {
    ExecutorProcessConfig {
        bind_host: settings.listen.to_string(),
        external_host: settings.host.clone(),
        port: settings.port,
        grpc_port: settings.task_port,
        scheduler_host: settings.scheduler.host.clone(),
        scheduler_port: settings.scheduler.port,
        vcores: settings.slots,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(settings.work_folder.display().to_string()),
        memory_pool_size: settings.memory,
        executor_heartbeat_interval_seconds: HEARTBEAT.as_secs(),
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        override_runtime_producer: Some(runtime(settings.work_folder.clone(), settings.access.clone())),
        override_create_grpc_client_endpoint: Some(Release::this().introduction()),
        ..ExecutorProcessConfig::default()
    }
}

fn runtime(folder: PathBuf, access: Access) -> RuntimeProducer {
    Arc::new(move |_| {
        RuntimeEnvBuilder::new()
            .with_temp_file_path(&folder)
            .with_object_store_registry(Arc::new(Stores::reached_by(&access)))
            .build_arc()
    })
}
