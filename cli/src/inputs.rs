//! `gondola inputs`: what a model must read, in order.

use anyhow::Context;
use clap::Args;
use gondola_models::scoring::check::{self, Inputs};

use super::bundles::BundleArguments;

/// Arguments of `inputs`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    bundles: BundleArguments,
}

/// Lists them.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Inputs> {
    let work = tempfile::tempdir().context("cannot create a temporary folder")?;
    let store = arguments.bundles.open()?;
    let features = arguments.bundles.features(&store, work.path()).await?;
    Ok(check::inputs(&features)?)
}
