//! The control plane: turns RecommenderPipelines into pods, and says what is true of them.
//!
//! One pass over a pipeline, in reading order:
//!
//! - [`reconcile`](mod@reconcile): the pass itself, from scratch each time, over a checked [`pipeline`];
//! - [`observe`]: what is there, according to the clock, the [`caches`] and the events of waiting pods;
//! - [`plan`](mod@plan): what should be, a pure function; a file for each kind of child; [`policy`]: what needs permission;
//! - [`apply`]: server-side apply of what is missing, and deletion of what should not be there;
//! - [`report`]: the status, a pure function; [`events`]: what changed, as Kubernetes Events.
//!
//! Below these steps is their vocabulary, which depends on none of them: [`names`], [`kinds`] and [`extension`] of children, what was
//! [`observed`], and [`finding`]s with their [`reasons`].
//!
//! Around it: [`controller`] turns changes into passes, [`backoff`] spaces retries, [`lease`] elects the one operator that acts, [`fence`]
//! blocks the writes of the others, [`health`] and [`metrics`] report on the process.
//!
//! Lists for everybody and training are programs that end: [`runs`] has passes of their own for them.
//!
//! Promises: a pass decides from present state alone, so that a crash after any write is repaired by the next pass; nothing is written
//! twice; a failure of one pipeline does not delay others.
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
pub mod extension;
pub mod fence;
pub mod finding;
#[cfg(test)]
mod fixtures;
pub mod health;
pub mod kinds;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod observed;
pub mod pages;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod reasons;
pub mod reconcile;
pub mod report;
pub mod runs;

use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt as _;
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

/// Runs the operator until `stop` ends, or until it loses leadership: then it exits, to be restarted by the kubelet.
pub async fn run(
    config: Config,
    kube: kube::Config,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    // Our own backoff decides when to retry: the client's would continue for minutes, past the end of a lease.
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
    let probes = Probes::new();
    let listener = pages::listen(config.listen)
        .await
        .with_context(|| format!("cannot listen at {}; give another with --listen", config.listen))?;
    let pages = pages::serve(listener, probes.router(), pages::Limits::default());
    tokio::select! {
        () = pages => anyhow::bail!("the health endpoints stopped unexpectedly"),
        outcome = lead(config, kube, probes, stop) => outcome,
    }
}

/// What the operator's own pages report.
#[derive(Clone)]
struct Probes {
    pulse: Pulse,
    metrics: Metrics,
    dashboard: Dashboard,
}

impl Probes {
    fn new() -> Self {
        let pulse = Pulse::default();
        Self {
            metrics: Metrics::new(pulse.lists().clone()),
            pulse,
            dashboard: Dashboard::default(),
        }
    }

    fn router(&self) -> axum::Router {
        let health = health::router(self.pulse.clone(), self.metrics.clone());
        health.merge(dashboard::router(self.dashboard.clone()))
    }
}

/// Waits for leadership, and reconciles while it lasts.
async fn lead(
    config: Config,
    kube: kube::Config,
    probes: Probes,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    tokio::pin!(stop);
    let Some(namespace) = &config.lease_namespace else {
        let stopping = Arc::new(Notify::new());
        let reconciling = reconcile_all(
            &config,
            &kube,
            Leadership::alone(),
            &probes,
            Arc::clone(&stopping),
        )?;
        return drain(reconciling, stop, &stopping).await;
    };
    // A standby operator is ready too, so that a rollout of operators can progress.
    probes.pulse.set_ready();
    let api: Api<Lease> = Api::namespaced(Client::try_from(kube.clone())?, namespace);
    let mut election = Election::new(api, Terms::new(&config.lease, &config.identity));
    tokio::select! {
        () = election.win() => {}
        () = probes.pulse.keep_beating() => {}
        () = &mut stop => return Ok(()),
    }
    probes.metrics.set_leading(true);
    let stopping = Arc::new(Notify::new());
    let leadership = election.leadership();
    let reconciling = reconcile_all(&config, &kube, leadership, &probes, Arc::clone(&stopping))?;
    let outcome = tokio::select! {
        outcome = drain(reconciling, stop, &stopping) => outcome,
        () = election.keep(|| probes.pulse.is_alive()) => Err(anyhow::anyhow!("lost leadership; restart to stand by")),
    };
    election.give_back().await;
    outcome
}

/// Waits for running passes to finish once `stop` has ended.
async fn drain(
    reconciling: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
    stopping: &Notify,
) -> anyhow::Result<()> {
    tokio::pin!(reconciling);
    tokio::select! {
        () = &mut reconciling => anyhow::bail!("the reconcile loop stopped unexpectedly"),
        () = stop => stopping.notify_one(),
    }
    reconciling.await;
    Ok(())
}

fn reconcile_all(
    config: &Config,
    kube: &kube::Config,
    leadership: Leadership,
    probes: &Probes,
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
    let (of_runs, told) = (installation.clone(), events.clone());
    let Probes {
        pulse,
        metrics,
        dashboard,
    } = probes.clone();
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
        let stop = async move { stopping.notified().await }.shared();
        tokio::join!(
            controller::run(&watches, client.clone(), &pulse, context, stop.clone()),
            runs::controller::run(&watches.scope, client, of_runs, told, stop),
        );
    })
}
