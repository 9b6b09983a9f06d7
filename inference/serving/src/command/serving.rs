//! `serve`: one variant's pod.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use gondola_server::arguments::ServerArguments;
use gondola_server::front::{Destination, Front};
use gondola_serving::compute::{Compute, ComputeSettings, GatherSettings};
use gondola_wire::variables;

use super::bundles::BundleArguments;
use super::loading;
use super::manifest::Ordered;
use super::online::OnlineArguments;

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to serve, as JSON.
    #[arg(long, env = variables::ORDER)]
    order: PathBuf,
    #[command(flatten)]
    bundles: BundleArguments,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    online: OnlineArguments,
    /// The namespace of the pipeline, where the order does not name the online store.
    #[arg(long, env = variables::NAMESPACE, default_value = "default")]
    namespace: String,
}

/// The threads that run models.
#[derive(Debug, Args)]
pub(super) struct ComputeArguments {
    /// Number of threads that run models; default: the number of cores.
    #[arg(long, env = variables::THREADS)]
    threads: Option<NonZeroUsize>,
    /// Number of requests that may wait for a thread; default: 64 per thread.
    #[arg(long, env = variables::QUEUE)]
    queue: Option<usize>,
    /// Number of requests that a variant with a device answers together at most.
    #[arg(long, env = variables::GATHER, default_value_t = GatherSettings::default().size)]
    gather: NonZeroUsize,
    /// Microseconds that a request to a variant with a device waits for others at most, and never more than a quarter of its deadline.
    #[arg(long, env = variables::GATHER_WAIT_US, default_value_t = GatherSettings::default().wait.as_micros() as u64)]
    gather_wait_us: u64,
}

impl ComputeArguments {
    /// Starts the threads; they report to the server's metrics.
    pub(super) fn start(&self, front: &Front) -> anyhow::Result<Arc<Compute>> {
        let default = ComputeSettings::default();
        let threads = self.threads.unwrap_or(default.threads);
        let queue = self
            .queue
            .unwrap_or(threads.get() * (default.queue / default.threads));
        let compute = Compute::start(
            &ComputeSettings {
                threads,
                queue,
                gather: GatherSettings {
                    size: self.gather,
                    wait: Duration::from_micros(self.gather_wait_us),
                },
            },
            front.metrics().compute().clone(),
        );
        Ok(Arc::new(compute.context("cannot start compute threads")?))
    }
}

/// What was loaded, for people: one line per bundle.
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
        order,
        bundles,
        server: settings,
        compute,
        online,
        namespace,
    } = arguments;
    let Ordered {
        pipeline,
        store,
        variant,
        online: ordered,
    } = Ordered::read(&order, bundles.store.clone())?;
    let server = settings.bind_variant().await?;
    let compute = compute.start(server.front())?;
    let scope = format!("{namespace}/{pipeline}");
    let metrics = server.front().metrics().online().clone();
    let load = async {
        let online = online
            .redis(ordered.as_ref(), &scope, &bundles.access(), &metrics)
            .await?;
        let loaded = loading::load(&bundles, &store, &pipeline, &[variant], &compute, online).await?;
        let message = announce(&loaded);
        let variant = loaded.into_iter().next().context("nothing was loaded")?;
        Ok((Destination::variant(variant.recommender), message))
    };
    settings.serve(server, load).await
}
