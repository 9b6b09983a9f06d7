//! The side of whoever asks: a session whose queries run on a cluster.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::config::{
    BALLISTA_ADAPTIVE_PLANNER_ENABLED, BALLISTA_SCHEDULER_SHARE_FILE_STATISTICS_CACHE,
};
use ballista_core::extension::{SessionConfigExt as _, SessionStateExt as _};
use ballista_core::serde::protobuf::GetJobStatusParams;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::BoxFuture;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;

use super::error::ClusterError;
use super::release::{self, Release};
use super::stores::Stores;
use super::trial;
use crate::dataset::DatasetError;
use crate::dataset::engine::{Cluster, EngineError, SchedulerAddress};
use crate::dataset::shared::SharedFolder;

/// The name of a job that there never is.
const NO_JOB: &str = "gondola-asks-for-the-release";
/// Between two tries to reach a scheduler.
const PAUSE: Duration = Duration::from_millis(500);

/// Opens a session once the scheduler is of our release and an executor reads what lies in the shared folder. Boxed, as the other
/// sides are.
pub(crate) fn connect<'a>(
    cluster: &'a Cluster,
    config: SessionConfig,
    shared: &'a mut SharedFolder,
) -> BoxFuture<'a, Result<SessionContext, DatasetError>> {
    Box::pin(open(cluster, config, shared))
}

async fn open(
    cluster: &Cluster,
    config: SessionConfig,
    shared: &mut SharedFolder,
) -> Result<SessionContext, DatasetError> {
    let reached = reach(&cluster.scheduler, &Release::this(), cluster.wait).await;
    reached.map_err(EngineError::from)?;
    let sql = session(cluster, config).map_err(DatasetError::query("a plan"))?;
    trial::try_out(&sql, cluster, shared).await?;
    Ok(sql)
}

/// Waits for a scheduler that is still starting; one of another release is a reason to end at once.
pub(super) async fn reach(
    scheduler: &SchedulerAddress,
    ours: &Release,
    wait: Duration,
) -> Result<(), ClusterError> {
    let end = Instant::now() + wait;
    loop {
        match greet(scheduler, ours).await {
            Err(ClusterError::Away { .. }) if Instant::now() < end => tokio::time::sleep(PAUSE).await,
            found => return found,
        }
    }
}

/// Asks a scheduler for its release, and compares.
async fn greet(scheduler: &SchedulerAddress, ours: &Release) -> Result<(), ClusterError> {
    let away = |source| ClusterError::Away {
        scheduler: scheduler.clone(),
        source,
    };
    let endpoint = Endpoint::from_shared(url(scheduler)).map_err(away)?;
    let endpoint = endpoint.user_agent(ours.to_string()).map_err(away)?;
    let channel = endpoint.connect().await.map_err(away)?;
    let question = GetJobStatusParams {
        job_id: NO_JOB.to_owned(),
    };
    let answer = SchedulerGrpcClient::new(channel).get_job_status(question).await;
    match &answer {
        Ok(answer) => compare(scheduler, ours, answer.metadata()),
        Err(refusal) => {
            compare(scheduler, ours, refusal.metadata())?;
            Err(ClusterError::Failing {
                scheduler: scheduler.clone(),
                message: refusal.message().to_owned(),
            })
        }
    }
}

fn compare(scheduler: &SchedulerAddress, ours: &Release, answer: &MetadataMap) -> Result<(), ClusterError> {
    let scheduler = scheduler.clone();
    let named = answer.get(release::HEADER).and_then(|name| name.to_str().ok());
    match named.and_then(Release::named) {
        Some(theirs) if theirs == *ours => Ok(()),
        Some(theirs) => Err(ClusterError::OtherRelease {
            scheduler,
            theirs,
            ours: ours.clone(),
        }),
        None => Err(ClusterError::Foreign { scheduler }),
    }
}

fn session(cluster: &Cluster, config: SessionConfig) -> Result<SessionContext, DataFusionError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_object_store_registry(Arc::new(Stores::reached_by(&cluster.access)))
        .build_arc()?;
    let config = config
        .upgrade_for_ballista()
        .with_ballista_override_create_grpc_client_endpoint(Release::this().introduction())
        // It tells files apart by path, size and time, and answers whole queries of what it remembers.
        .set_bool(BALLISTA_SCHEDULER_SHARE_FILE_STATISTICS_CACHE, false)
        // Where one side of a join has no rows, it plans new stages without end.
        .set_bool(BALLISTA_ADAPTIVE_PLANNER_ENABLED, false);
    let state = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .build()
        .upgrade_for_ballista(url(&cluster.scheduler))?;
    Ok(SessionContext::new_with_state(state))
}

fn url(scheduler: &SchedulerAddress) -> String {
    format!("http://{scheduler}")
}
