//! The control plane: turns RecommenderPipelines into pods, and says what is true of them.
//!
//! One pass over a pipeline, in reading order:
//!
//! - [`reconcile`](mod@reconcile): the pass itself, from scratch each time;
//! - [`observe`]: what is there, as [`caches`] have it; [`mounts`]: what pods wait for that don't say so;
//! - [`plan`](mod@plan): what should be, a pure function; a file for each kind of child; [`policy`]: what needs permission;
//! - [`apply`]: server-side apply of what is not there yet, and an end to what should not be;
//! - [`report`]: the status, a pure function; [`events`]: what changed, for people.
//!
//! Around it: [`controller`] makes passes out of changes, [`backoff`] spaces those that failed, [`lease`] lets one of several
//! operators act, [`fence`] holds back the writes of one that does not, [`health`] and [`metrics`] say how it goes.
//!
//! Promises: a pass decides from present state alone, so that a crash after any write is mended by the next pass; nothing is
//! written that is there already; a failure of one pipeline makes no other wait.
//!
//! Absent on purpose: object stores and Secrets (the pipeline's own resolver reads the store, see
//! [`gondola_wire::resolution`]), models, and any host but the API server.

#![forbid(unsafe_code)]

pub mod apply;
pub mod backoff;
pub mod caches;
pub mod config;
pub mod controller;
pub mod dashboard;
pub mod events;
pub mod fence;
#[cfg(test)]
mod fixtures;
pub mod health;
pub mod lease;
pub mod metrics;
pub mod mounts;
pub mod observe;
pub mod pages;
pub mod plan;
pub mod policy;
pub mod reconcile;
pub mod report;

use std::sync::Arc;

use anyhow::Context as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::client::ClientBuilder;
use kube::{Api, Client};
use tokio::sync::Notify;

use apply::admission::Admission;
use backoff::Backoff;
use caches::Caches;
use config::Config;
use dashboard::Dashboard;
use events::Events;
use fence::FenceLayer;
use health::Pulse;
use lease::{Election, Leadership, Terms};
use metrics::Metrics;
use plan::Installation;
use reconcile::Context;

/// Runs the operator until `stop` ends, or until it loses the lead: then whoever started it starts it anew.
pub async fn run(
    config: Config,
    kube: kube::Config,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    // Our own backoff decides when something is tried again: the client's would go on for minutes, past the end of a lease.
    let mut kube = kube;
    kube.default_retry = false;
    let agent = format!(
        "gondola-operator/{} ({})",
        env!("CARGO_PKG_VERSION"),
        config.identity
    );
    let agent = agent
        .parse()
        .context("--identity can't be part of a request; use letters, digits and '-'")?;
    kube.headers.push((http::header::USER_AGENT, agent));
    let signs = Signs::default();
    let listener = pages::listen(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}; give another with --listen", config.listen))?;
    let pages = pages::serve(listener, signs.router(), pages::Limits::default());
    tokio::select! {
        () = pages => anyhow::bail!("the health endpoints ended by themselves"),
        outcome = lead(config, kube, signs, stop) => outcome,
    }
}

/// What an operator shows of itself.
#[derive(Clone, Default)]
struct Signs {
    pulse: Pulse,
    metrics: Metrics,
    dashboard: Dashboard,
}

impl Signs {
    fn router(&self) -> axum::Router {
        let health = health::router(self.pulse.clone(), self.metrics.clone());
        health.merge(dashboard::router(self.dashboard.clone()))
    }
}

/// Waits for the lead, and reconciles while it lasts.
async fn lead(
    config: Config,
    kube: kube::Config,
    signs: Signs,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    tokio::pin!(stop);
    let Some(namespace) = &config.lease_namespace else {
        let stopping = Arc::new(Notify::new());
        let reconciling = reconcile_all(&config, &kube, Leadership::alone(), &signs, Arc::clone(&stopping))?;
        return until(reconciling, stop, &stopping).await;
    };
    // An operator that stands by is ready too, so that a rollout of operators goes on.
    signs.pulse.set_ready();
    let api: Api<Lease> = Api::namespaced(Client::try_from(kube.clone())?, namespace);
    let mut election = Election::new(api, Terms::new(&config.lease, &config.identity));
    tokio::select! {
        () = election.win() => {}
        () = signs.pulse.keep_beating() => {}
        () = &mut stop => return Ok(()),
    }
    signs.metrics.set_leading(true);
    let stopping = Arc::new(Notify::new());
    let leadership = election.leadership();
    let reconciling = reconcile_all(&config, &kube, leadership, &signs, Arc::clone(&stopping))?;
    let outcome = tokio::select! {
        outcome = until(reconciling, stop, &stopping) => outcome,
        () = election.keep(|| signs.pulse.is_alive()) => Err(anyhow::anyhow!("lost the lead; start again to stand by")),
    };
    election.give_back().await;
    outcome
}

/// Lets the passes that are under way end when `stop` does.
async fn until(
    reconciling: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
    stopping: &Notify,
) -> anyhow::Result<()> {
    tokio::pin!(reconciling);
    tokio::select! {
        () = &mut reconciling => anyhow::bail!("the reconcile loop ended by itself"),
        () = stop => stopping.notify_one(),
    }
    reconciling.await;
    Ok(())
}

fn reconcile_all(
    config: &Config,
    kube: &kube::Config,
    leadership: Leadership,
    signs: &Signs,
    stopping: Arc<Notify>,
) -> anyhow::Result<impl Future<Output = ()>> {
    let client = ClientBuilder::try_from(kube.clone())?
        .with_layer(&FenceLayer::new(leadership))
        .build();
    let watches = config.watches.clone();
    let installation = Installation {
        images: config.images.clone(),
        policy: config.policy.clone(),
        pod_user: config.pod_user,
    };
    let events = Events::new(client.clone(), config.identity.clone());
    let Signs {
        pulse,
        metrics,
        dashboard,
    } = signs.clone();
    let writing = client.clone();
    let context = move |caches: Caches| {
        dashboard.open(caches.clone(), writing.clone());
        Context {
            client: writing,
            caches,
            installation,
            admission: Admission::default(),
            events,
            backoff: Backoff::default(),
            metrics,
        }
    };
    Ok(async move {
        let stop = async move { stopping.notified().await };
        controller::run(&watches, client, &pulse, context, stop).await;
    })
}
