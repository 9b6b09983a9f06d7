//! `fetch`: brings bundles here without serving them.

use clap::Args;

use super::bundles::{self, BundleArguments};
use super::manifest::{Pipeline, VariantPlan};

/// Arguments of `fetch`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    bundles: BundleArguments,
    /// Only this variant of the manifest.
    #[arg(long, env = "GONDOLA_VARIANT")]
    variant: Option<String>,
}

/// Fetches, and says what came.
pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { bundles, variant } = arguments;
    let pipeline = Pipeline::given(&bundles.file, bundles.store.clone())?;
    let plans: Vec<&VariantPlan> = match &variant {
        Some(name) => vec![pipeline.variant(name)?],
        None => pipeline.variants.iter().collect(),
    };
    let store = bundles.open_store(&pipeline.store)?;
    let pins = bundles.pins();
    let cache = bundles.open_cache()?;
    for plan in plans {
        let fetched = bundles::fetch(&store, &cache, &pins, &plan.bundles).await?;
        for bundle in fetched.described.values() {
            println!(
                "{} {} -> {} {}",
                plan.settings.name, bundle.reference, bundle.version, bundle.digest
            );
        }
    }
    Ok(())
}
