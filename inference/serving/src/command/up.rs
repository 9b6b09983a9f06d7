//! `up`: a whole pipeline in one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use gondola_artifacts::Access;
use gondola_router::recording::{RecordingArguments, UPLOAD_WITHIN};
use gondola_router::watch::CurrentRouter;
use gondola_router::{Backend, Router};
use gondola_server::arguments::ServerArguments;
use gondola_server::connections::serve_beside;
use gondola_server::front::Destination;
use gondola_server::metrics::OnlineMetrics;
use gondola_wire::variables;
use tokio::net::TcpListener;

use super::bundles::BundleArguments;
use super::device::DeviceArguments;
use super::loading;
use super::local_experiment::{LocalExperiment, Served};
use super::manifest::Pipeline;
use super::online::{Online, OnlineArguments};
use super::serving::{ComputeArguments, announce};

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The manifest of the pipeline, as YAML.
    #[arg(long, env = variables::FILE)]
    file: PathBuf,
    #[command(flatten)]
    bundles: BundleArguments,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    compute: ComputeArguments,
    #[command(flatten)]
    recording: RecordingArguments,
    #[command(flatten)]
    online: OnlineArguments,
    /// File in which users and items are kept that are put, and what users do, where no Redis is named; default:
    /// `~/.local/share/gondola/NAMESPACE-PIPELINE.redb`.
    #[arg(long, env = variables::ONLINE_FILE)]
    online_file: Option<PathBuf>,
    /// Address of the experiment's page, if the manifest has an experiment.
    #[arg(long, env = variables::EXPERIMENT_LISTEN, default_value = "127.0.0.1:8081")]
    experiment_listen: String,
}

/// Serves every variant, and the router in front of them.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        file,
        bundles,
        device,
        server: settings,
        compute,
        mut recording,
        online,
        online_file,
        experiment_listen,
    } = arguments;
    let mut pipeline = Pipeline::written(&file, bundles.store.clone())?;
    pipeline.variants.iter_mut().for_each(|plan| device.apply(plan));
    let server = settings.bind_router().await?;
    let compute = compute.start(server.front())?;
    if let Some(experiment) = &pipeline.experiment {
        // What is said on the command line stands before what the manifest says, as for the store of bundles.
        let url = &mut recording.store.events_url;
        url.get_or_insert_with(|| experiment.store.url.clone());
    }
    let recording_of = |pipeline: &Pipeline| {
        let base = format!("{}/{}", pipeline.namespace, pipeline.name);
        Arc::new(recording.start(&base))
    };
    let recorded = pipeline.experiment.is_some().then(|| recording_of(&pipeline));
    let metrics = server.front().metrics().online().clone();
    let load = async {
        let online = open(&online, online_file, &pipeline, &bundles.access(), &metrics).await?;
        let loaded = loading::load(
            &bundles,
            &pipeline.store,
            &pipeline.name,
            &pipeline.variants,
            &compute,
            Some(online),
        )
        .await?;
        let mut message = format!("pipeline {}\n{}", pipeline.name, announce(&loaded));
        let backend = |loaded: loading::Loaded| Backend {
            name: loaded.name,
            weight: loaded.weight,
            buckets: Vec::new(),
            recommender: loaded.recommender,
        };
        let backends: Vec<Backend> = loaded.into_iter().map(backend).collect();
        let (Some(experiment), Some(recorded)) = (&pipeline.experiment, &recorded) else {
            let router = Router::new(&pipeline.namespace, &pipeline.name, &pipeline.control, backends)?;
            return Ok((Destination::router(Arc::new(router)), message));
        };
        let served = Served {
            namespace: pipeline.namespace.clone(),
            pipeline: pipeline.name.clone(),
            control: pipeline.control.clone(),
            backends,
        };
        let local = LocalExperiment::new(experiment, served, Arc::clone(recorded), &recording.store)?;
        let (router, address) = start(local, &experiment_listen).await?;
        message += &format!("experiment {} at http://{address}/\n", experiment.name);
        Ok((Destination::router(router), message))
    };
    settings.serve(server, load).await?;
    if let Some(recorded) = &recorded
        && !recorded.stop(UPLOAD_WITHIN).await
    {
        tracing::warn!("not every event is in the store yet; the rest will be uploaded on the next start");
    }
    Ok(())
}

/// The online store: the Redis that is named, else a file.
async fn open(
    arguments: &OnlineArguments,
    file: Option<PathBuf>,
    pipeline: &Pipeline,
    access: &Access,
    metrics: &OnlineMetrics,
) -> anyhow::Result<Online> {
    let scope = pipeline.scope();
    let redis = arguments.redis(pipeline.online.as_ref(), &scope, access, metrics);
    if let Some(redis) = redis.await? {
        return Ok(redis);
    }
    let in_home = || {
        let data = std::env::home_dir()?.join(".local/share/gondola");
        Some(data.join(format!("{}-{}.redb", pipeline.namespace, pipeline.name)))
    };
    let file = file
        .or_else(in_home)
        .context("there is no home folder; name a file with --online-file")?;
    arguments.file(&file, metrics)
}

/// Lets an experiment run, and shows it at an address: gives its router, and where it is shown.
async fn start(mut local: LocalExperiment, listen: &str) -> anyhow::Result<(Arc<CurrentRouter>, SocketAddr)> {
    let router = local.open()?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.with_context(|| format!("cannot show the experiment at {listen}"))?;
    let address = listener.local_addr()?;
    tokio::spawn(serve_beside(listener, local.pages()));
    tokio::spawn(local.run());
    Ok((router, address))
}
