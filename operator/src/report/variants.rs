//! What is true of each variant, in the pipeline's status.

use std::collections::BTreeMap;

use gondola_crds::status::{self, VariantStatus};
use gondola_wire::resolution::VariantBundles;

use crate::names::{Component, Names};
use crate::observed::{Observed, Rollout};
use crate::pipeline::Pipeline;
use crate::plan::{Plan, routes};

/// What is true of each variant of the spec, and of those that are about to leave.
pub(super) fn variants(
    pipeline: &Pipeline,
    plan: &Plan,
    rollouts: &BTreeMap<&str, Rollout>,
    observed: &Observed,
    names: &Names,
) -> Vec<VariantStatus> {
    let seen = Seen {
        plan,
        observed,
        names,
    };
    let of_spec = pipeline.spec.variants.iter().zip(&plan.variants);
    let of_spec = of_spec.map(|(variant, (name, serves))| {
        let problem = observed.problem(names, Component::Variant(name));
        let message = serves.refusal().map(|refusal| refusal.message.clone());
        VariantStatus {
            weight: Some(variant.weight),
            message: message.or_else(|| problem.map(|problem| problem.to_string())),
            ..seen.status(name, &rollouts[name.as_str()], serves.bundles())
        }
    });
    let leaving = plan.routed.leaving.iter().map(|name| {
        let rollout = observed.rollout(names, Component::Variant(name));
        let awaited = plan.routed.awaited.join(", ");
        VariantStatus {
            message: Some(format!("it will be removed once {awaited} answers")),
            ..seen.status(name, &rollout, None)
        }
    });
    of_spec.chain(leaving).collect()
}

/// What is known of a pipeline.
struct Seen<'a> {
    plan: &'a Plan,
    observed: &'a Observed,
    names: &'a Names,
}

impl Seen<'_> {
    /// What is true of any variant: what it should serve and does, its users, and its pods.
    fn status(&self, name: &str, rollout: &Rollout, desired: Option<&VariantBundles>) -> VariantStatus {
        let route = self
            .plan
            .routed
            .routes
            .variants
            .iter()
            .find(|route| route.name == name);
        VariantStatus {
            name: name.to_owned(),
            bundles: status::VariantBundles {
                desired: desired.map(digests).unwrap_or_default(),
                ready: self
                    .observed
                    .served(self.names, name)
                    .as_ref()
                    .map(digests)
                    .unwrap_or_default(),
            },
            traffic_buckets: route.map(|route| routes::count(&route.buckets)),
            buckets: route.map(|route| routes::written(&route.buckets)),
            replicas: Some(rollout.wanted),
            ready_replicas: Some(rollout.ready),
            ..VariantStatus::default()
        }
    }
}

/// The digest of each bundle, by its role.
fn digests(bundles: &VariantBundles) -> BTreeMap<String, String> {
    let by_role = bundles.by_role();
    by_role
        .map(|(role, bundle)| (role.to_string(), bundle.digest.clone()))
        .collect()
}
