//! Which bundles a variant's pods serve, and why.

use gondola_crds::spec::Variant;
use gondola_wire::ledger::Ledger;
use gondola_wire::resolution::{Refusal, Resolution, VariantBundles, VariantResolution};

use crate::observed::Observed;
use crate::pipeline::Pipeline;

/// What a variant serves, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Serves {
    /// What the resolver found for this generation.
    Resolved(VariantBundles),
    /// What it served when its experiment began, whose arms keep their bundles; and what its references lead to now, where that is
    /// something else.
    Pinned {
        /// What it serves.
        bundles: VariantBundles,
        /// What it would serve without the experiment.
        moved: Option<Box<VariantBundles>>,
    },
    /// What it served before: the resolver refuses what the spec names now.
    LastGood(VariantBundles, Refusal),
    /// What it served before: the resolver has not looked at this generation yet.
    Waiting(VariantBundles),
    /// Nothing: the resolver refuses, and there was nothing before.
    Refused(Refusal),
    /// Nothing yet.
    Unresolved,
}

impl Serves {
    /// What a variant serves, given what is known of it. `ledger` is that of a running experiment.
    pub fn of(
        pipeline: &Pipeline,
        variant: &Variant,
        resolution: Option<&Resolution>,
        ledger: Option<&Ledger>,
        observed: &Observed,
    ) -> Self {
        let names = &pipeline.names;
        let current = resolution.filter(|resolution| resolution.generation == pipeline.generation);
        let found = current.and_then(|resolution| resolution.variants.get(&variant.name));
        let pinned = ledger
            .and_then(|ledger| ledger.pinned.get(&variant.name))
            .cloned();
        match (found, pinned) {
            (Some(found), Some(bundles)) => Self::Pinned {
                moved: match found {
                    VariantResolution::Resolved(moved) if *moved != bundles => Some(Box::new(moved.clone())),
                    VariantResolution::Resolved(_) | VariantResolution::Refused(_) => None,
                },
                bundles,
            },
            (Some(VariantResolution::Resolved(bundles)), None) => Self::Resolved(bundles.clone()),
            (Some(VariantResolution::Refused(refusal)), None) => {
                match observed.last_good(names, &variant.name) {
                    Some(bundles) => Self::LastGood(bundles, refusal.clone()),
                    None => Self::Refused(refusal.clone()),
                }
            }
            (None, _) => match observed.ordered(names, &variant.name) {
                Some(bundles) => Self::Waiting(bundles),
                None => Self::Unresolved,
            },
        }
    }

    /// The bundles, if there are some.
    pub fn bundles(&self) -> Option<&VariantBundles> {
        match self {
            Self::Resolved(bundles)
            | Self::Pinned { bundles, .. }
            | Self::LastGood(bundles, _)
            | Self::Waiting(bundles) => Some(bundles),
            Self::Refused(_) | Self::Unresolved => None,
        }
    }

    /// Why the spec's references are refused, if they are.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::LastGood(_, refusal) | Self::Refused(refusal) => Some(refusal),
            Self::Resolved(_) | Self::Pinned { .. } | Self::Waiting(_) | Self::Unresolved => None,
        }
    }

    /// Whether the pods stay as they are, template and all, whatever else the spec says: an edit is rolled out once, when it is known
    /// which bundles belong to it. `ordered` is what the newest pods were ordered to serve.
    pub fn keeps_template(&self, ordered: Option<&VariantBundles>) -> bool {
        match self {
            Self::Waiting(_) => true,
            // Pods of a rollout that never became ready are replaced by those that serve.
            Self::LastGood(bundles, _) => ordered == Some(bundles),
            Self::Resolved(_) | Self::Pinned { .. } | Self::Refused(_) | Self::Unresolved => false,
        }
    }
}
