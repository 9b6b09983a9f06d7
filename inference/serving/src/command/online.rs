//! The online store of a program: a file on one machine, Redis in a cluster.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gondola_artifacts::Access;
use gondola_crds::online::{Feast as FeastSpec, Redis as RedisSpec, RedisKind};
use gondola_feast::{RedisType, StoreSettings};
use gondola_models::pipeline::Variant;
use gondola_online::embedded::Embedded;
use gondola_online::redis::Redis;
use gondola_online::redis::connection::Connection;
use gondola_online::redis::feast::FeastEntities;
use gondola_online::{OnlineStore, UserSettings};
use gondola_router::feast::{self, FeastProject};
use gondola_server::metrics::OnlineMetrics;
use gondola_serving::live::Live;
use gondola_wire::serve_order::OnlineOrder;
use gondola_wire::variables;

/// How often a pod looks whether Feast wrote items.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Where the online store is, and how long it is waited for.
#[derive(Debug, Args)]
pub(super) struct OnlineArguments {
    /// Where the online store is: a connection string as Feast writes it, for example `localhost:6379,password=...`.
    #[arg(long, env = variables::ONLINE_CONNECTION, hide_env_values = true)]
    online_connection: Option<String>,
    /// Folder that holds the connection string in a file named `connection_string`.
    #[arg(long, env = variables::ONLINE_CREDENTIALS, conflicts_with = "online_connection")]
    online_credentials: Option<PathBuf>,
    /// Milliseconds that a request waits for what the store holds of its user; default: what the manifest or the order says, or 10.
    #[arg(long, env = variables::ONLINE_DEADLINE_MS, value_parser = clap::value_parser!(u64).range(1..=1000))]
    online_deadline_ms: Option<u64>,
    /// Seconds that a start waits for a store that does not answer, before it serves without.
    #[arg(long, env = variables::ONLINE_PATIENCE_SECONDS, default_value_t = 60)]
    online_patience_seconds: u64,
}

/// A store, and how it is used.
pub(super) struct Online {
    store: Arc<dyn OnlineStore>,
    settings: UserSettings,
    patience: Duration,
    metrics: OnlineMetrics,
}

impl OnlineArguments {
    /// Whether the command line says where a store is.
    pub(super) fn is_named(&self) -> bool {
        self.online_connection.is_some() || self.online_credentials.is_some()
    }

    /// The Redis that the order or the command line names, if one does. Must be called within Tokio.
    pub(super) async fn redis(
        &self,
        order: Option<&OnlineOrder>,
        scope: &str,
        access: &Access,
        metrics: &OnlineMetrics,
    ) -> anyhow::Result<Option<Online>> {
        let scope = order.map_or(scope, |order| order.scope.as_str());
        let spec = order.map(|order| &order.store.redis);
        let settings = spec.map_or_else(StoreSettings::default, store_settings);
        let connection = match (&self.online_connection, &self.online_credentials) {
            (Some(text), _) => Connection::of(StoreSettings {
                connection_string: text.clone(),
                ..settings
            })?,
            (None, Some(folder)) => Connection::in_folder(folder, settings)?,
            (None, None) if order.is_none() => return Ok(None),
            (None, None) => anyhow::bail!(
                "the order names an online store, but not where it is; set --online-credentials or --online-connection"
            ),
        };
        let mut store = Redis::new(connection, scope);
        let mut cached = UserSettings::default().cached;
        if let Some(feast) = order.and_then(|order| order.store.feast.as_ref()) {
            let key_ttl = spec.and_then(|redis| u64::try_from(redis.key_ttl_seconds?).ok());
            let key_ttl = key_ttl.map(Duration::from_secs);
            let FeastProject { layout, users, items } = feast::project(feast, access).await?;
            let entities = |views| FeastEntities {
                layout: layout.clone(),
                views,
                key_ttl,
            };
            if let Some(views) = users {
                // Feast tells nobody of what it writes.
                cached = 0;
                store = store.with_feast_users(entities(views));
            }
            if let Some(views) = items {
                store = store.with_feast_items(entities(views), look_every(feast));
            }
        }
        Ok(Some(self.online(Arc::new(store), cached, order, metrics)))
    }

    /// The store in a file.
    pub(super) fn file(&self, path: &std::path::Path, metrics: &OnlineMetrics) -> anyhow::Result<Online> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder of the online store {}", path.display()))?;
        }
        let cached = UserSettings::default().cached;
        Ok(self.online(Arc::new(Embedded::open(path)?), cached, None, metrics))
    }

    fn online(
        &self,
        store: Arc<dyn OnlineStore>,
        cached: usize,
        order: Option<&OnlineOrder>,
        metrics: &OnlineMetrics,
    ) -> Online {
        let ordered = order.and_then(|order| order.store.deadline_milliseconds);
        let ordered = ordered.and_then(|deadline| u64::try_from(deadline).ok());
        let deadline = self.online_deadline_ms.or(ordered).map(Duration::from_millis);
        let default = UserSettings::default();
        Online {
            store,
            settings: UserSettings {
                deadline: deadline.unwrap_or(default.deadline),
                cached,
                ..default
            },
            patience: Duration::from_secs(self.online_patience_seconds),
            metrics: metrics.clone(),
        }
    }
}

impl Online {
    /// Brings variants up to what the store holds, and follows it.
    pub(super) async fn start(self, variants: Vec<Arc<Variant>>) -> anyhow::Result<Arc<Live<Variant>>> {
        let Self {
            store,
            settings,
            patience,
            metrics,
        } = self;
        Ok(Live::start(store, settings, variants, patience, metrics).await?)
    }
}

fn look_every(feast: &FeastSpec) -> Duration {
    let seconds = feast
        .refresh_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LOOK_EVERY, Duration::from_secs)
}

fn store_settings(redis: &RedisSpec) -> StoreSettings {
    StoreSettings {
        redis_type: match redis.kind.unwrap_or_default() {
            RedisKind::Standalone => RedisType::Redis,
            RedisKind::Cluster => RedisType::RedisCluster,
            RedisKind::Sentinel => RedisType::RedisSentinel,
        },
        sentinel_master: redis.sentinel_master.clone().unwrap_or_default(),
        key_ttl_seconds: redis.key_ttl_seconds.and_then(|seconds| seconds.try_into().ok()),
        ..StoreSettings::default()
    }
}
