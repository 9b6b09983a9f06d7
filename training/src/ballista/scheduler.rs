//! The scheduler: plans queries, and hands their tasks to executors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use ballista_core::extension::SessionConfigExt as _;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::utils::default_session_builder;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::future::BoxFuture;
use gondola_artifacts::Access;
use tokio::net::TcpListener;
use tonic::service::Routes;

use super::error::ClusterError;
use super::release::{self, Release};
use super::slots::CountedSlots;
use super::stores::Stores;

/// Bytes of a message between the programs of a cluster: plans over many files are long.
pub(super) const MESSAGE_BYTES: u32 = 64 << 20;
/// How often an executor's silence is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a scheduler is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The name or address by which executors reach it.
    pub host: String,
    /// After how long a silence an executor is taken for lost, and its tasks go to others.
    pub executor_timeout: Duration,
    /// How stores are reached.
    pub access: Access,
    /// The release that callers have to be of.
    pub release: Release,
}

/// Schedules queries until `shutdown`. Boxed, so that all that it takes is compiled here, and not once more in each program.
pub fn run(
    settings: Settings,
    shutdown: BoxFuture<'static, ()>,
) -> BoxFuture<'static, Result<(), ClusterError>> {
    Box::pin(schedule(settings, shutdown))
}

async fn schedule(settings: Settings, shutdown: BoxFuture<'static, ()>) -> Result<(), ClusterError> {
    let address = settings.listen;
    let listen = |source| ClusterError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let scheduler = scheduler(&settings).await.map_err(|source| ClusterError::Start {
        what: "the scheduler",
        source,
    })?;
    let router = router(scheduler, settings.release.clone());
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tracing::info!(%address, release = %settings.release, "the scheduler listens");
    tokio::select! {
        // It has no state that outlives it: whoever is connected now has to begin anew with another one.
        () = shutdown => Ok(()),
        served = axum::serve(listener, service) => served.map_err(listen),
    }
}

type Scheduler = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

async fn scheduler(settings: &Settings) -> Result<Scheduler, ballista_core::error::BallistaError> {
    let silence = settings.executor_timeout.as_secs();
    let access = settings.access.clone();
    let config = SchedulerConfig {
        external_host: settings.host.clone(),
        bind_host: settings.listen.ip().to_string(),
        bind_port: settings.listen.port(),
        executor_timeout_seconds: silence,
        expire_dead_executor_interval_seconds: LOOK.as_secs(),
        no_executors_grace_period_seconds: silence,
        grpc_server_max_decoding_message_size: MESSAGE_BYTES,
        grpc_server_max_encoding_message_size: MESSAGE_BYTES,
        grpc_client_max_message_size: MESSAGE_BYTES,
        override_config_producer: Some(Arc::new(SessionConfig::new_with_ballista)),
        override_session_builder: Some(Arc::new(move |config| session(config, &access))),
        ..SchedulerConfig::default()
    };
    config.validate()?;
    let jobs = BallistaCluster::new_from_config(&config).await?.job_state();
    let cluster = BallistaCluster::new(Arc::new(CountedSlots::default()), jobs);
    create_scheduler(cluster, Arc::new(config)).await
}

/// The session in which a query is planned.
fn session(config: SessionConfig, access: &Access) -> Result<SessionState, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_object_store_registry(Arc::new(Stores::reached_by(access)))
        .build_arc()?;
    let state = default_session_builder(config)?;
    let session = state.session_id().to_owned();
    Ok(SessionStateBuilder::new_from_existing(state)
        .with_session_id(session)
        .with_runtime_env(runtime)
        .build())
}

fn router(scheduler: Scheduler, release: Release) -> Router {
    let service = SchedulerGrpcServer::new(scheduler)
        .max_decoding_message_size(MESSAGE_BYTES as usize)
        .max_encoding_message_size(MESSAGE_BYTES as usize);
    Routes::new(service)
        .into_axum_router()
        .layer(from_fn_with_state(release, release::check))
        // For probes, which are of no release.
        .route("/healthz", get(|| async { "ok" }))
}
