//! What a pipeline's manifest means for this program.

use std::path::Path;

use anyhow::Context;
use gondola_artifacts::{Kind, Reference, ReferenceError};
use gondola_crds::experiment::Experiment;
use gondola_crds::spec::{self, RecommenderPipelineSpec, Search};
use gondola_crds::{ManifestError, RecommenderPipeline};
use gondola_models::ordering::Order;
use gondola_models::pipeline::{AlreadyBought, DiversitySettings, VariantSettings};
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::sources::Quotas;
use gondola_models::similarity::device::Device;
use gondola_router::resolver;

const DEFAULT_CANDIDATES: usize = 200;
const DEFAULT_LIMIT: usize = 12;

/// A pipeline as it was asked for.
pub(super) struct Pipeline {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) store: String,
    pub(super) control: String,
    pub(super) variants: Vec<VariantPlan>,
    pub(super) experiment: Option<Experiment>,
}

/// A variant as it was asked for.
#[derive(Clone)]
pub(super) struct VariantPlan {
    pub(super) weight: u32,
    pub(super) settings: VariantSettings,
    /// What it serves, each with the kind of bundle that it must lead to.
    pub(super) bundles: Vec<(Kind, Reference)>,
}

impl Pipeline {
    /// Reads a manifest that somebody wrote: a field that nobody knows is a slip. `store` is taken for the manifest's own.
    pub(super) fn written(file: &Path, store: Option<String>) -> anyhow::Result<Self> {
        Self::read(file, store, gondola_crds::from_yaml)
    }

    /// Reads the manifest that an operator gave this pod, perhaps one of a newer release.
    pub(super) fn given(file: &Path, store: Option<String>) -> anyhow::Result<Self> {
        Self::read(file, store, gondola_crds::from_manifest)
    }

    fn read(
        file: &Path,
        store: Option<String>,
        parse: fn(&str) -> Result<RecommenderPipeline, ManifestError>,
    ) -> anyhow::Result<Self> {
        let yaml =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let pipeline = parse(&yaml).with_context(|| format!("cannot use {}", file.display()))?;
        let spec = pipeline.spec;
        let control = spec
            .control()
            .context("the manifest has no variant")?
            .name
            .clone();
        let variants = spec.variants.iter().map(|variant| plan(&spec, variant));
        let variants = variants.collect::<Result<_, _>>()?;
        Ok(Self {
            namespace: pipeline
                .metadata
                .namespace
                .unwrap_or_else(|| "default".to_owned()),
            name: pipeline
                .metadata
                .name
                .context("metadata.name is missing; give the pipeline a name")?,
            store: store.unwrap_or_else(|| spec.artifacts.url.clone()),
            control,
            variants,
            experiment: spec.experiment,
        })
    }

    /// The variant of a name.
    pub(super) fn variant(&self, name: &str) -> anyhow::Result<&VariantPlan> {
        let find = || self.variants.iter().find(|variant| variant.settings.name == name);
        find().with_context(|| {
            let names: Vec<&str> = self
                .variants
                .iter()
                .map(|variant| variant.settings.name.as_str())
                .collect();
            format!("pipeline {} has no variant {name:?}; it has {names:?}", self.name)
        })
    }
}

fn plan(spec: &RecommenderPipelineSpec, variant: &spec::Variant) -> Result<VariantPlan, ReferenceError> {
    let retrieval = spec.retrieval_of(variant);
    let sources = retrieval.sources.clone().unwrap_or_default();
    let quota = |quota: Option<spec::Quota>| quota.map_or(0, |quota| count(quota.candidates));
    let filters = spec.filters.clone().unwrap_or_default();
    let ordering = spec.ordering.as_ref();
    let settings = VariantSettings {
        name: variant.name.clone(),
        quotas: Quotas {
            two_tower: retrieval.candidates.map_or(DEFAULT_CANDIDATES, count),
            bought_before: quota(sources.bought_before),
            co_bought: quota(sources.co_bought),
            popular: quota(sources.popular),
        },
        search: search(retrieval.search.as_ref()),
        similarity_search: search(
            spec.similarity
                .as_ref()
                .and_then(|similarity| similarity.search.as_ref()),
        ),
        device: match variant.device {
            None | Some(spec::Device::Cpu) => Device::Cpu,
            Some(spec::Device::Cuda) => Device::Cuda,
        },
        already_bought: match filters.already_bought {
            None | Some(spec::AlreadyBought::Keep) => AlreadyBought::Keep,
            Some(spec::AlreadyBought::Remove) => AlreadyBought::Remove,
        },
        blocked_items: filters.blocked_items.into_iter().map(Into::into).collect(),
        limit: ordering.map_or(DEFAULT_LIMIT, |ordering| count(ordering.limit)),
        order: ordering.map_or_else(Order::default, order),
        diversity: ordering
            .and_then(|ordering| ordering.diversity.as_ref())
            .map(|diversity| DiversitySettings {
                column: diversity.column.clone(),
                most: count(diversity.most),
            }),
    };
    Ok(VariantPlan {
        weight: variant.weight.try_into().unwrap_or_default(),
        settings,
        bundles: resolver::references(spec, variant)?,
    })
}

/// A number of the spec, whose rules leave none below 0.
fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn order(ordering: &spec::Ordering) -> Order {
    match &ordering.sampling {
        None => Order::BestFirst,
        Some(sampling) => Order::Sampled {
            temperature: sampling.temperature.value(),
        },
    }
}

fn search(search: Option<&Search>) -> SearchParameters {
    search.map_or_else(Default::default, |search| SearchParameters {
        nprobe: search.nprobe.and_then(|lists| lists.try_into().ok()),
        ef_search: search.ef_search.and_then(|depth| depth.try_into().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example with a field that only another release knows.
    fn of_a_newer_release() -> tempfile::NamedTempFile {
        let example = include_str!("../../../../examples/complete-journey/pipeline.yaml");
        let newer = example.replacen("\nspec:\n", "\nspec:\n  somethingNew: {very: true}\n", 1);
        assert_ne!(newer, example);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), newer).unwrap();
        file
    }

    #[test]
    fn a_pod_reads_the_manifest_of_a_newer_operator_and_a_person_is_told_of_the_slip() {
        let file = of_a_newer_release();
        assert!(Pipeline::given(file.path(), None).is_ok());
        let refused = Pipeline::written(file.path(), None).err().unwrap();
        assert!(format!("{refused:#}").contains("somethingNew"), "{refused:#}");
    }
}
