//! The session in which queries run.

use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::engine::{Cluster, Engine};
use super::error::DatasetError;
use super::queries::QuerySettings;
use super::shared::SharedFolder;

/// Opens a session, and the folder of its tables where other machines read them.
pub(super) async fn open(
    queries: &QuerySettings,
) -> Result<(SessionContext, Option<SharedFolder>), DatasetError> {
    match &queries.engine {
        Engine::Local => Ok((local(queries)?, None)),
        Engine::Ballista(cluster) => {
            let mut shared = SharedFolder::open(&cluster.shared_folder, &cluster.access)?;
            let sql = distant(cluster, config(queries), &mut shared).await?;
            Ok((sql, Some(shared)))
        }
    }
}

fn local(queries: &QuerySettings) -> Result<SessionContext, DatasetError> {
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(queries.memory.bytes())))
        .build_arc()
        .map_err(DatasetError::query("the limits of memory"))?;
    let mut config = config(queries);
    // Purchases lie by user: what is summed by user stays in that order, and is never held as a whole.
    config.options_mut().optimizer.prefer_existing_sort = true;
    Ok(SessionContext::new_with_config_rt(config, runtime))
}

#[cfg(feature = "ballista")]
async fn distant(
    cluster: &Cluster,
    config: SessionConfig,
    shared: &mut SharedFolder,
) -> Result<SessionContext, DatasetError> {
    crate::ballista::client::connect(cluster, config, shared).await
}

#[cfg(not(feature = "ballista"))]
async fn distant(
    cluster: &Cluster,
    _: SessionConfig,
    _: &mut SharedFolder,
) -> Result<SessionContext, DatasetError> {
    let engine = format!("ballista://{}", cluster.scheduler);
    Err(super::engine::EngineError::NotBuilt { engine }.into())
}

fn config(queries: &QuerySettings) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(queries.partitions.get());
    // Views of text keep the pages alive that they look at, which no limit of memory counts right.
    config.options_mut().execution.parquet.schema_force_view_types = false;
    // Ballista can't send views, and both engines are to give the same types.
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    config
}
