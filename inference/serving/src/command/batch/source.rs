//! Which variant makes the lists: one of a manifest, or one that an operator ordered.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use gondola_wire::role::Role;
use gondola_wire::variables;

use crate::command::manifest::{Ordered, Pipeline, VariantPlan};

/// Where it is said which variant makes the lists.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The manifest of the pipeline, as YAML.
    #[arg(long, env = variables::FILE, required_unless_present = "order")]
    file: Option<PathBuf>,
    /// The variant whose lists are written; default: the control.
    #[arg(long, conflicts_with = "order")]
    variant: Option<String>,
    /// The order to serve a variant, as an operator gives it to pods, in the place of a manifest: with the bundles' versions.
    #[arg(long, env = variables::ORDER, conflicts_with = "file")]
    order: Option<PathBuf>,
    /// The namespace of the pipeline of an order, by which the router finds a user's bucket.
    #[arg(long, env = variables::NAMESPACE, default_value = "default")]
    namespace: String,
}

/// The variant that makes the lists.
pub(super) struct Wanted {
    /// The pipeline's namespace.
    pub(super) namespace: String,
    /// The pipeline's name.
    pub(super) pipeline: String,
    /// The URL of the bundles' store.
    pub(super) store: String,
    /// The variant, without what a list does not need.
    pub(super) variant: VariantPlan,
}

impl Source {
    /// Whether an operator ordered it.
    pub(super) fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// Reads the manifest or the order. `store` is taken for its own.
    pub(super) fn read(&self, store: Option<String>) -> anyhow::Result<Wanted> {
        let mut wanted = match (&self.file, &self.order) {
            (_, Some(order)) => {
                let ordered = Ordered::read(order, store)?;
                Wanted {
                    namespace: self.namespace.clone(),
                    pipeline: ordered.pipeline,
                    store: ordered.store,
                    variant: ordered.variant,
                }
            }
            (Some(file), None) => {
                let pipeline = Pipeline::written(file, store)?;
                Wanted {
                    variant: pipeline.named(self.variant.as_deref().unwrap_or(&pipeline.control))?,
                    namespace: pipeline.namespace,
                    pipeline: pipeline.name,
                    store: pipeline.store,
                }
            }
            (None, None) => bail!("neither --file nor --order is given; name the manifest of the pipeline"),
        };
        let plan = &mut wanted.variant;
        plan.bundles.retain(|bundle| bundle.role != Role::Similarity);
        (plan.order.similarity_search, plan.order.device) = (None, None);
        Ok(wanted)
    }
}
