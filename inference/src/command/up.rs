//! `up`: a whole pipeline in one process.

use std::sync::Arc;

use clap::Args;
use gondola_inference::router::{Backend, Router};
use gondola_inference::server::service::Recommender;

use super::bundles::BundleArguments;
use super::loading;
use super::manifest::Pipeline;
use super::serving::{ComputeArguments, ServerArguments, announce};

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    bundles: BundleArguments,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    compute: ComputeArguments,
}

/// Serves every variant, and the router in front of them.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        bundles,
        server: settings,
        compute,
    } = arguments;
    let pipeline = Pipeline::read(&bundles.file, bundles.store.clone())?;
    let server = settings.bind().await?;
    let compute = compute.start(server.front())?;
    let load = async {
        let loaded = loading::load(&bundles, &pipeline, &pipeline.variants, &compute).await?;
        let message = format!("pipeline {}\n{}", pipeline.name, announce(&loaded));
        let backend = |loaded: loading::Loaded| Backend {
            name: loaded.name,
            weight: loaded.weight,
            recommender: loaded.recommender,
        };
        let backends = loaded.into_iter().map(backend).collect();
        let router = Router::new(&pipeline.namespace, &pipeline.name, &pipeline.control, backends)?;
        Ok((Arc::new(router) as Arc<dyn Recommender>, message))
    };
    settings.serve(server, load).await
}
