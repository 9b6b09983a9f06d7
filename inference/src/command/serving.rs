//! `serve`: one variant's pod. Also what every serving command shares.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::routing::get;
use clap::Args;
use gondola_inference::server::Server;
use gondola_inference::server::compute::{Compute, ComputeSettings};
use gondola_inference::server::connections::{Limits, serve_beside};
use gondola_inference::server::front::{Deadlines, Front};
use gondola_inference::server::ports::{ArmHeader, MainPort};
use gondola_inference::server::service::Recommender;
use gondola_inference::server::{Drain, Opening};
use tokio::signal::unix::{SignalKind, signal};

use super::bundles::BundleArguments;
use super::loading;
use super::manifest::Pipeline;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    bundles: BundleArguments,
    /// Which variant of the manifest.
    #[arg(long, env = "GONDOLA_VARIANT")]
    variant: String,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    compute: ComputeArguments,
}

/// Where and how a server serves.
#[derive(Debug, Args)]
pub(super) struct ServerArguments {
    /// Address for HTTP and gRPC.
    #[arg(long, env = "GONDOLA_LISTEN", default_value = "127.0.0.1:8080")]
    pub(super) listen: String,
    /// Address for everything that is not a question: changes, outcomes, metrics, health. Where it is left out everything is on
    /// one port.
    #[arg(long, env = "GONDOLA_ADMIN_LISTEN")]
    admin_listen: Option<String>,
    /// Lets any client of a router ask for an arm of the experiment with the header x-gondola-arm, also where there is an admin port,
    /// which honours it always.
    #[arg(long, env = "GONDOLA_ALLOW_ARM_HEADER")]
    allow_arm_header: bool,
    /// Milliseconds that a question may take which brings no deadline of its own.
    #[arg(long, env = "GONDOLA_DEADLINE_MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline_ms: u64,
    /// Number of connections that may be open at once on a port; others wait.
    #[arg(long, env = "GONDOLA_MAX_CONNECTIONS", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Seconds after which a client is asked to make a new connection, give or take a fifth; 0 is never.
    #[arg(long, env = "GONDOLA_CONNECTION_AGE_SECONDS", default_value_t = 0)]
    connection_age_seconds: u64,
    /// Seconds from the signal to stop, when readiness goes, until new connections are refused. Clients are asked meanwhile to
    /// make their next connection elsewhere.
    #[arg(long, env = "GONDOLA_DRAIN_NOTICE_SECONDS", default_value_t = 0)]
    drain_notice_seconds: u64,
    /// Seconds that requests have to end after that.
    #[arg(long, env = "GONDOLA_DRAIN_SECONDS", default_value_t = 30)]
    drain_seconds: u64,
}

/// The threads that run models.
#[derive(Debug, Args)]
pub(super) struct ComputeArguments {
    /// Number of threads that run models; as many as there are cores where it is left out.
    #[arg(long, env = "GONDOLA_THREADS")]
    threads: Option<NonZeroUsize>,
    /// Number of requests that may wait for a thread; 64 a thread where it is left out.
    #[arg(long, env = "GONDOLA_QUEUE")]
    queue: Option<usize>,
}

impl ComputeArguments {
    /// Starts the threads; they count into the server's metrics.
    pub(super) fn start(&self, front: &Front) -> anyhow::Result<Arc<Compute>> {
        let default = ComputeSettings::default();
        let threads = self.threads.unwrap_or(default.threads);
        let queue = self
            .queue
            .unwrap_or(threads.get() * (default.queue / default.threads));
        let compute = Compute::start(
            &ComputeSettings { threads, queue },
            front.metrics().compute().clone(),
        );
        Ok(Arc::new(compute.context("cannot start compute threads")?))
    }
}

impl ServerArguments {
    /// Listens for a router, whose main port is for questions alone where there is an admin port.
    pub(super) async fn bind_router(&self) -> anyhow::Result<Server> {
        let arm_header = match self.allow_arm_header {
            true => ArmHeader::Honoured,
            false => ArmHeader::Ignored,
        };
        self.bind(MainPort::Questions(arm_header)).await
    }

    /// Listens for a variant, which routers alone reach.
    pub(super) async fn bind_variant(&self) -> anyhow::Result<Server> {
        self.bind(MainPort::Everything).await
    }

    /// Listens, so that an address in use is known before anything is loaded.
    async fn bind(&self, main: MainPort) -> anyhow::Result<Server> {
        let front = Front::new(Deadlines {
            ask: Duration::from_millis(self.deadline_ms),
            ..Deadlines::default()
        });
        let age = self.connection_age_seconds;
        let server = Server::bind(&self.listen, front).await?.with_limits(Limits {
            most: self.max_connections as usize,
            age: (age > 0).then(|| Duration::from_secs(age)),
            ..Limits::default()
        });
        match &self.admin_listen {
            Some(admin) => Ok(server.with_admin(admin, main).await?),
            None => Ok(server),
        }
    }

    /// Serves, not ready at first, until `load` gives what answers; `announce` tells people. Ends on SIGTERM and SIGINT.
    pub(super) async fn serve(
        &self,
        server: Server,
        load: impl Future<Output = anyhow::Result<(Arc<dyn Recommender>, String)>>,
    ) -> anyhow::Result<()> {
        let drain = Drain {
            notice: Duration::from_secs(self.drain_notice_seconds),
            patience: Duration::from_secs(self.drain_seconds),
        };
        let address = server.address()?;
        let admin = server.admin_address()?;
        let admin = admin.map_or_else(String::new, |admin| {
            format!("everything else at http://{admin}\n")
        });
        let opening: Opening = server.opening();
        let serving = server.serve(drain, on_signal()?);
        tokio::pin!(serving);
        let (recommender, message) = tokio::select! {
            stopped = &mut serving => return Ok(stopped?),
            loaded = load => loaded?,
        };
        opening.open(recommender).await;
        println!("{message}{admin}ready at http://{address} (HTTP and gRPC)");
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
        serving.await?;
        tracing::info!("stopped in peace");
        Ok(())
    }
}

/// Does `work`, and answers health checks meanwhile, until it ends or the process is asked to stop.
pub(super) async fn beside_health_checks(
    listen: &str,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let listener = gondola_inference::server::listen(listen).await?;
    let alive = get(|| async { "alive\n" });
    let health = axum::Router::new()
        .route("/healthz", alive.clone())
        .route("/readyz", alive);
    tokio::select! {
        () = serve_beside(listener, health) => anyhow::bail!("the health checks ended by themselves"),
        outcome = work => outcome,
        () = on_signal()? => Ok(()),
    }
}

/// Ends when the process is asked to stop.
pub(super) fn on_signal() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What was loaded, for people: a line a bundle.
pub(super) fn announce(loaded: &[loading::Loaded]) -> String {
    let mut message = String::new();
    for variant in loaded {
        message += &format!("variant {} (weight {})\n", variant.name, variant.weight);
        for (role, bundle) in &variant.bundles {
            message += &format!(
                "  {role:<10} {} -> {} {}\n",
                bundle.reference, bundle.version, bundle.digest
            );
        }
    }
    message
}

/// Serves one variant.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        bundles,
        variant,
        server: settings,
        compute,
    } = arguments;
    let pipeline = Pipeline::given(&bundles.file, bundles.store.clone())?;
    let plan = pipeline.variant(&variant)?.clone();
    let server = settings.bind_variant().await?;
    let compute = compute.start(server.front())?;
    let load = async {
        let loaded = loading::load(&bundles, &pipeline, &[plan], &compute).await?;
        let message = announce(&loaded);
        let variant = loaded.into_iter().next().context("nothing was loaded")?;
        Ok((variant.recommender as Arc<dyn Recommender>, message))
    };
    settings.serve(server, load).await
}
