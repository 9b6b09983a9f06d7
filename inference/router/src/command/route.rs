//! `route`: the router in front of variants in other processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use gondola_router::recording::{RecordingArguments, UPLOAD_WITHIN};
use gondola_router::remote::{Connections, RemoteVariant};
use gondola_router::variants_tls::VariantsTlsArguments;
use gondola_router::watch::{self, CurrentRouter};
use gondola_router::{Backend, Router};
use gondola_server::arguments::ServerArguments;
use gondola_server::front::Destination;
use gondola_server::tls::ClientTls;
use gondola_wire::variables;
use serde::Deserialize;

/// How often a router that waits for its first routes checks for them.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Arguments of `route`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The pipeline's name, in a cluster: events are kept below it.
    #[arg(long, env = variables::PIPELINE, default_value = "pipeline")]
    pipeline: String,
    #[command(flatten)]
    recording: RecordingArguments,
    #[command(flatten)]
    variants: VariantsTlsArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Source of the variants, weights and addresses.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A YAML file with the variants, their weights and addresses.
    #[arg(long, env = variables::ROUTES)]
    file: Option<PathBuf>,
    /// A ConfigMap of this pod's namespace, in a cluster: it is watched, and so are the addresses of the variants' pods.
    #[arg(long, env = variables::ROUTES_CONFIG_MAP)]
    config_map: Option<String>,
}

/// The file of routes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Routes {
    #[serde(default = "default_namespace")]
    namespace: String,
    pipeline: String,
    /// The variant that others fall back to; default: the first.
    control: Option<String>,
    variants: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    name: String,
    weight: u32,
    /// Each as HOST:PORT.
    addresses: Vec<String>,
}

fn default_namespace() -> String {
    "default".to_owned()
}

impl Routes {
    fn router(self, tls: Option<&ClientTls>) -> anyhow::Result<Router> {
        let first = self
            .variants
            .first()
            .context("there are no variants; list at least one")?;
        let control = self.control.clone().unwrap_or_else(|| first.name.clone());
        if !self.variants.iter().any(|route| route.name == control) {
            let names: Vec<&str> = self.variants.iter().map(|route| route.name.as_str()).collect();
            bail!("the control {control:?} is not one of the variants {names:?}; name one of them");
        }
        let backends = self.variants.iter().map(|route| {
            let recommender = Arc::new(RemoteVariant::over(&route.name, &route.addresses, tls.cloned())?);
            Ok(Backend {
                name: route.name.clone(),
                weight: route.weight,
                buckets: Vec::new(),
                recommender,
            })
        });
        let backends = backends.collect::<anyhow::Result<_>>()?;
        Ok(Router::new(&self.namespace, &self.pipeline, &control, backends)?)
    }
}

/// Serves the router.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        source,
        pipeline,
        recording,
        variants,
        server,
    } = arguments;
    let tls = variants.tls()?;
    match (source.file, source.config_map) {
        (Some(file), _) => from_file(&file, tls, server).await,
        (None, Some(config_map)) => from_cluster(&config_map, &pipeline, &recording, tls, server).await,
        (None, None) => bail!("no routes given; use --file, or in a cluster --config-map"),
    }
}

async fn from_file(file: &Path, tls: Option<ClientTls>, settings: ServerArguments) -> anyhow::Result<()> {
    let yaml = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let wrong = || format!("cannot use the routes in {}", file.display());
    let routes: Routes = serde_saphyr::from_str(&yaml).with_context(wrong)?;
    let message = format!("router of pipeline {}\n", routes.pipeline);
    let current = Arc::new(CurrentRouter::default());
    current.set(routes.router(tls.as_ref()).with_context(wrong)?);
    let server = settings.bind_router().await?;
    let router = Destination::router(Arc::clone(&current));
    tokio::select! {
        served = settings.serve(server, async { Ok((router, message)) }) => served,
        () = current.keep_last_resort() => bail!("the fallback list is no longer updated"),
    }
}

async fn from_cluster(
    config_map: &str,
    pipeline: &str,
    recording: &RecordingArguments,
    tls: Option<ClientTls>,
    settings: ServerArguments,
) -> anyhow::Result<()> {
    let client = kube::Client::try_default()
        .await
        .context("no cluster to watch; give a file of routes with --file")?;
    let namespace = client.default_namespace().to_owned();
    let current = Arc::new(CurrentRouter::default());
    let recording = Arc::new(recording.start(&format!("{namespace}/{pipeline}")));
    let following = watch::follow(
        client,
        &namespace,
        config_map,
        Arc::clone(&current),
        Arc::clone(&recording),
        Connections::over(tls),
    );
    let message = format!("routes of ConfigMap {namespace}/{config_map}\n");
    let server = settings.bind_router().await?;
    let load = async {
        while !current.is_known() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok((Destination::router(Arc::clone(&current)), message))
    };
    let served = tokio::select! {
        served = settings.serve(server, load) => served,
        () = following => bail!("the watch of {namespace}/{config_map} ended"),
        () = current.keep_last_resort() => bail!("the fallback list is no longer updated"),
    };
    if !recording.stop(UPLOAD_WITHIN).await {
        tracing::warn!("not every event is in the store yet; the rest will be uploaded on the next start");
    }
    served
}
