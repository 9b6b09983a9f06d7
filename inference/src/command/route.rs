//! `route`: the router in front of variants in other processes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use gondola_inference::router::remote::RemoteVariant;
use gondola_inference::router::{Backend, Router};
use gondola_inference::server::service::Recommender;
use serde::Deserialize;

use super::serving::ServerArguments;

/// Arguments of `route`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The variants, their weights and addresses, as YAML.
    #[arg(long, env = "GONDOLA_ROUTES")]
    file: PathBuf,
    #[command(flatten)]
    server: ServerArguments,
}

/// The file of routes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Routes {
    #[serde(default = "default_namespace")]
    namespace: String,
    pipeline: String,
    /// The variant that stands in for others; the first where it is left out.
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
    fn router(self) -> anyhow::Result<Router> {
        let first = self
            .variants
            .first()
            .context("there are no variants; give at least one")?;
        let control = self.control.clone().unwrap_or_else(|| first.name.clone());
        let backends = self.variants.iter().map(|route| {
            let recommender = Arc::new(RemoteVariant::new(&route.name, &route.addresses)?);
            Ok(Backend {
                name: route.name.clone(),
                weight: route.weight,
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
        file,
        server: settings,
    } = arguments;
    let yaml = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let wrong = || format!("cannot use the routes in {}", file.display());
    let routes: Routes = serde_saphyr::from_str(&yaml).with_context(wrong)?;
    let message = format!("router of pipeline {}\n", routes.pipeline);
    let router: Arc<dyn Recommender> = Arc::new(routes.router().with_context(wrong)?);
    let server = settings.bind().await?;
    settings.serve(server, async { Ok((router, message)) }).await
}
