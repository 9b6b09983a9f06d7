//! `gondola publish`: a folder becomes a bundle in a store, checked against the features that it will serve with.

mod source;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use gondola_artifacts::{BundleDescription, Contract, Kind, Metric, publish, set_channel};
use gondola_models::features::{RawTable, Schema, Workflow};
use gondola_models::retrieval::index::{self, SearchParameters};
use gondola_models::retrieval::{INDEX, Retrieval};
use gondola_models::scoring::{self, check, import};

use super::bundles::BundleArguments;

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder, file or URL of the model: a scorer bundle's folder, an MLflow model, what KServe or Triton serve, or one model file;
    /// also the folder of a features bundle, or of towers with their index.
    source: String,
    /// The bundle's name.
    #[arg(long)]
    name: String,
    /// The channel to point to it; default: no channel is moved.
    #[arg(long)]
    channel: Option<String>,
    #[command(flatten)]
    bundles: BundleArguments,
}

/// What is published, once it was checked.
struct Bundle {
    folder: PathBuf,
    kind: Kind,
    contract: Contract,
    /// What was found on the way, for people.
    found: String,
}

/// Publishes; returns the report for people.
pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<String> {
    let Arguments {
        source,
        name,
        channel,
        bundles,
    } = arguments;
    let store = bundles.open()?;
    let work = tempfile::tempdir().context("cannot create a temporary folder")?;
    let source = source::here(source, &bundles.access(), &work.path().join("source")).await?;
    let bundle = if source.join("workflow.json").exists() {
        features_bundle(source)?
    } else {
        let features = bundles.features(&store, &work.path().join("features")).await?;
        // No scorer has an index.
        match source.join(INDEX).exists() {
            true => retrieval_bundle(source, &features, name)?,
            false => scorer_bundle(&source, &features, &work.path().join("scorer"))?,
        }
    };
    let description = BundleDescription {
        name: name.clone(),
        kind: bundle.kind,
        contract: bundle.contract,
    };
    let published = publish(&store, &bundle.folder, &description).await?;
    let mut said = format!(
        "{}{name}/{} {}\n",
        bundle.found, published.version, published.digest
    );
    if let Some(channel) = channel {
        set_channel(&store, name, channel, &published.version).await?;
        said += &format!("{name}@{channel} -> {}\n", published.version);
    }
    Ok(said)
}

fn features_bundle(folder: PathBuf) -> anyhow::Result<Bundle> {
    Schema::load(&folder)?;
    Ok(Bundle {
        contract: contract(&Workflow::load(&folder)?, &folder)?,
        folder,
        kind: Kind::Features,
        found: String::new(),
    })
}

/// Towers and their index, which are loaded as a server loads them.
fn retrieval_bundle(folder: PathBuf, features: &Path, name: &str) -> anyhow::Result<Bundle> {
    let workflow = Workflow::load(features)?;
    let items = RawTable::read(&features.join("items.parquet"), "item_id")?;
    let retrieval = Retrieval::load(&folder, &items, &workflow.layout(), &SearchParameters::default())?;
    let index = retrieval.items().index();
    let contract = Contract {
        // No other bundle's vectors are in the space of these towers.
        embedding_space: Some(format!("{name} of {}", workflow.saved_digest(features)?)),
        dimension: Some(index.dimension()),
        metric: Some(match index.metric() {
            index::Metric::InnerProduct => Metric::InnerProduct,
            index::Metric::L2 => Metric::L2,
        }),
        inputs: None,
        ..contract(&workflow, features)?
    };
    Ok(Bundle {
        found: format!(
            "towers of {} numbers, and an index of {} items\n",
            index.dimension(),
            index.len()
        ),
        folder,
        kind: Kind::Retrieval,
        contract,
    })
}

fn scorer_bundle(source: &Path, features: &Path, work: &Path) -> anyhow::Result<Bundle> {
    let workflow = Workflow::load(features)?;
    let folder = import::scorer_folder(source, &workflow.layout().inputs(), work)?;
    let report = check::check(&folder, features)?;
    let contract = Contract {
        sources: scoring::sources_of(&folder)?,
        ..contract(&workflow, features)?
    };
    Ok(Bundle {
        folder,
        kind: Kind::Scorer,
        contract,
        found: report.to_string(),
    })
}

fn contract(workflow: &Workflow, folder: &Path) -> anyhow::Result<Contract> {
    Ok(Contract {
        workflow: Some(workflow.saved_digest(folder)?.parse()?),
        inputs: Some(workflow.layout().inputs()),
        ..Contract::default()
    })
}
