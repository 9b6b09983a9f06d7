//! What a pipeline's manifest, or an operator's order, means for this program.

use std::path::Path;

use anyhow::{Context, bail};
use gondola_artifacts::ReferenceError;
use gondola_crds::experiment::Experiment;
use gondola_crds::spec::{self, Search};
use gondola_models::device::Device;
use gondola_models::ordering::Order;
use gondola_models::pipeline::{BoughtRule, DiversitySettings, VariantSettings};
use gondola_models::retrieval::index::SearchParameters;
use gondola_models::retrieval::sources::{Quotas, TrainedQuota};
use gondola_router::resolver;
use gondola_wire::role::Role;
use gondola_wire::serve_order::{OnlineOrder, ServeOrder, VariantOrder};

use super::bundles::WantedBundle;

const DEFAULT_CANDIDATES: usize = 200;
const DEFAULT_LIMIT: usize = 12;

/// A pipeline as it was requested.
pub(super) struct Pipeline {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) store: String,
    pub(super) control: String,
    pub(super) variants: Vec<VariantPlan>,
    pub(super) experiment: Option<Experiment>,
    /// The online store of the manifest, where it names one.
    pub(super) online: Option<OnlineOrder>,
}

impl Pipeline {
    /// What names its part of an online store: `NAMESPACE/NAME`.
    pub(super) fn scope(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// The variant of this name.
    pub(super) fn named(&self, name: &str) -> anyhow::Result<VariantPlan> {
        let variants = self.variants.iter();
        if let Some(found) = variants.clone().find(|variant| variant.settings.name == name) {
            return Ok(found.clone());
        }
        let known: Vec<&str> = variants.map(|variant| &*variant.settings.name).collect();
        bail!(
            "variant {name} is not in the manifest, which has {}",
            known.join(", ")
        )
    }
}

/// A variant as it was requested.
#[derive(Clone)]
pub(super) struct VariantPlan {
    pub(super) weight: u32,
    pub(super) settings: VariantSettings,
    /// What the settings were made of.
    pub(super) order: VariantOrder,
    /// What it serves.
    pub(super) bundles: Vec<WantedBundle>,
}

impl VariantPlan {
    /// The same to be asked for scores alone: on the processor, and without similar items.
    pub(super) fn for_scores(mut self) -> Self {
        self.bundles.retain(|bundle| bundle.role != Role::Similarity);
        self.order.similarity_search = None;
        self.order.device = None;
        self.settings.device = Device::Cpu;
        self
    }
}

impl Pipeline {
    /// Reads a manifest that a person wrote: an unknown field is an error. `store` replaces the manifest's own.
    pub(super) fn written(file: &Path, store: Option<String>) -> anyhow::Result<Self> {
        let yaml = read(file)?;
        let pipeline =
            gondola_crds::from_yaml(&yaml).with_context(|| format!("cannot use {}", file.display()))?;
        let spec = pipeline.spec;
        let control = spec
            .control()
            .context("the manifest has no variant")?
            .name
            .clone();
        let plan = |variant: &spec::Variant| {
            let wanted = |(role, reference)| WantedBundle {
                role,
                reference,
                digest: None,
            };
            let references = resolver::references(&spec, variant)?;
            let order = VariantOrder::of(&spec, variant);
            Ok(VariantPlan {
                weight: variant.weight.try_into().unwrap_or_default(),
                settings: settings(&order),
                order,
                bundles: references.into_iter().map(wanted).collect(),
            })
        };
        let variants = spec
            .variants
            .iter()
            .map(plan)
            .collect::<Result<_, ReferenceError>>()?;
        let metadata = pipeline.metadata;
        let namespace = metadata.namespace.unwrap_or_else(|| "default".to_owned());
        let name = metadata
            .name
            .context("metadata.name is missing; give the pipeline a name")?;
        let online = spec.features.online.map(|store| OnlineOrder {
            scope: format!("{namespace}/{name}"),
            store,
        });
        Ok(Self {
            namespace,
            name,
            online,
            store: store.unwrap_or_else(|| spec.artifacts.url.clone()),
            control,
            variants,
            experiment: spec.experiment,
        })
    }
}

/// One variant of a pipeline, as an operator ordered it.
pub(super) struct Ordered {
    pub(super) pipeline: String,
    pub(super) store: String,
    pub(super) variant: VariantPlan,
    pub(super) online: Option<OnlineOrder>,
}

impl Ordered {
    /// Reads an order, perhaps one of a newer operator. `store` is taken for the order's own.
    pub(super) fn read(file: &Path, store: Option<String>) -> anyhow::Result<Self> {
        let wrong = || format!("cannot use the order in {}", file.display());
        let order: ServeOrder = serde_json::from_str(&read(file)?).with_context(wrong)?;
        let bundles = order.bundles.by_role().map(|(role, bundle)| {
            Ok(WantedBundle {
                role,
                reference: bundle.pinned().parse()?,
                digest: Some(bundle.digest.parse()?),
            })
        });
        let bundles = bundles.collect::<anyhow::Result<_>>().with_context(wrong)?;
        Ok(Self {
            pipeline: order.pipeline,
            store: store.unwrap_or(order.store),
            variant: VariantPlan {
                // Who gets how many users is the router's to know.
                weight: 1,
                settings: settings(&order.variant),
                order: order.variant,
                bundles,
            },
            online: order.online,
        })
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

fn settings(order: &VariantOrder) -> VariantSettings {
    let sources = order.sources.clone().unwrap_or_default();
    let quota = |quota: Option<spec::Quota>| quota.map_or(0, |quota| count(quota.candidates));
    let filters = order.filters.clone().unwrap_or_default();
    let ordering = order.ordering.as_ref();
    VariantSettings {
        name: order.name.clone(),
        quotas: Quotas {
            two_tower: order.candidates.map_or(DEFAULT_CANDIDATES, count),
            bought_before: quota(sources.bought_before),
            co_bought: quota(sources.co_bought),
            popular: quota(sources.popular),
            trained: sources.trained.iter().map(trained).collect(),
        },
        search: search(order.search.as_ref()),
        similarity_search: search(order.similarity_search.as_ref()),
        device: match order.device {
            None | Some(spec::Device::Cpu) => Device::Cpu,
            Some(spec::Device::Cuda) => Device::Cuda,
        },
        already_bought: match filters.already_bought {
            None | Some(spec::AlreadyBought::Keep) => BoughtRule::Keep,
            Some(spec::AlreadyBought::Remove) => BoughtRule::Remove,
        },
        blocked_items: filters.blocked_items.into_iter().map(Into::into).collect(),
        limit: ordering.map_or(DEFAULT_LIMIT, |ordering| count(ordering.limit)),
        order: ordering.map_or_else(Order::default, order_of),
        diversity: ordering
            .and_then(|ordering| ordering.diversity.as_ref())
            .map(|diversity| DiversitySettings {
                column: diversity.column.clone(),
                most: count(diversity.most),
            }),
    }
}

fn trained(source: &spec::TrainedSource) -> TrainedQuota {
    TrainedQuota {
        name: source.name.clone(),
        candidates: count(source.candidates),
    }
}

/// A number of the spec, whose rules leave none below 0.
fn count(number: i32) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn order_of(ordering: &spec::Ordering) -> Order {
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

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_person_is_told_of_a_field_that_nobody_knows() {
        let example = include_str!("../../../../examples/complete-journey/pipeline.yaml");
        let newer = example.replacen("\nspec:\n", "\nspec:\n  somethingNew: {very: true}\n", 1);
        assert_ne!(newer, example);
        let refused = Pipeline::written(file(&newer).path(), None).err().unwrap();
        assert!(format!("{refused:#}").contains("somethingNew"), "{refused:#}");
    }

    #[test]
    fn a_pod_reads_the_order_of_a_newer_operator() {
        let order = include_str!("../../../../wire/tests/wire/next/order.json");
        let ordered = Ordered::read(file(order).path(), None).unwrap();
        assert_eq!(ordered.variant.settings.name, "dlrm");
        assert!(
            ordered
                .variant
                .bundles
                .iter()
                .all(|bundle| bundle.digest.is_some())
        );
    }
}
