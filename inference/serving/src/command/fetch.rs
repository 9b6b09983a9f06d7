//! `fetch`: brings a variant's bundles here before it is served.

use std::path::PathBuf;

use clap::Args;
use gondola_wire::variables;

use super::bundles::{self, BundleArguments};
use super::manifest::Ordered;

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The order of the variant that will be served, as JSON.
    #[arg(long, env = variables::ORDER)]
    order: PathBuf,
    #[command(flatten)]
    bundles: BundleArguments,
}

/// Fetches, and prints what was fetched.
pub(super) async fn run(Arguments { order, bundles }: Arguments) -> anyhow::Result<()> {
    let ordered = Ordered::read(&order, bundles.store.clone())?;
    let store = bundles.open_store(&ordered.store)?;
    let cache = bundles.open_cache()?;
    let fetched = bundles::fetch(&store, &cache, &ordered.variant.bundles).await?;
    for bundle in fetched.described.values() {
        println!(
            "{} {} -> {} {}",
            ordered.variant.settings.name, bundle.reference, bundle.version, bundle.digest
        );
    }
    Ok(())
}
