//! Who gets users: the variants in the routes, and which buckets each of them owns.
//!
//! Two rules keep users from harm. A variant gets users from the moment its first pod answers, and keeps them when its
//! pods fail: the routers use another one in the meantime. A variant that leaves the spec keeps its users until every
//! variant that takes them answers.
//!
//! Buckets are remembered in the routes (and in the status, in case these are lost), so that each change moves as few
//! users as possible.

use std::collections::{BTreeMap, BTreeSet};

use gondola_crds::experiment_status::Phase;
use gondola_crds::spec::Variant;
use gondola_experiments::assignment::allocate;
use gondola_experiments::step::Routing;
use gondola_wire::buckets::Buckets;
use gondola_wire::routes::{BucketRange, ExperimentRoutes, Route, Routes};

use super::experiment::{Planned, everybody};
use super::variant;
use crate::names::{Component, Names};
use crate::observed::Observed;
use crate::pipeline::Pipeline;

/// Which buckets a variant owns, by its name.
type Ownership = BTreeMap<String, Vec<BucketRange>>;

/// The routes, and the variants that are about to leave them.
#[derive(Clone, Debug, Default)]
pub struct Routed {
    /// The routes that routers get.
    pub routes: Routes,
    /// Variants that were removed from the spec and still get users.
    pub leaving: Vec<String>,
    /// Variants that have to answer before those can leave.
    pub awaited: Vec<String>,
}

/// Decides who gets users.
pub fn routed(pipeline: &Pipeline, observed: &Observed, planned: Option<&Planned>) -> Routed {
    let before = observed.routes(&pipeline.names).unwrap_or_default();
    if pipeline.spec.suspend {
        return suspended(pipeline, &before, planned);
    }
    let now = Now {
        names: &pipeline.names,
        pipeline,
        observed,
        before: &before,
        everybody: everybody(planned),
        experiment: running(planned),
    };
    now.routed()
}

/// While everything is suspended, only an experiment that does harm is ended.
fn suspended(pipeline: &Pipeline, before: &Routes, planned: Option<&Planned>) -> Routed {
    let ended = planned.filter(|planned| planned.step.ledger.phase == Phase::RolledBack);
    let mut routes = before.clone();
    if let (Some(winner), Some(_)) = (everybody(ended), &before.experiment) {
        routes.experiment = None;
        for route in &mut routes.variants {
            route.weight = u32::from(route.name == winner);
        }
        own_buckets(&mut routes.variants, &remembered(pipeline, before));
    }
    Routed {
        routes,
        ..Routed::default()
    }
}

/// The part of the routes that a running experiment adds.
fn running(planned: Option<&Planned>) -> Option<&ExperimentRoutes> {
    match &planned?.step.routing {
        Routing::Experiment(routes) => Some(routes),
        Routing::Everybody(_) => None,
    }
}

/// What the decision is made from.
struct Now<'a> {
    names: &'a Names,
    pipeline: &'a Pipeline,
    observed: &'a Observed,
    before: &'a Routes,
    /// The variant that everybody gets once an experiment is over.
    everybody: Option<&'a str>,
    experiment: Option<&'a ExperimentRoutes>,
}

impl Now<'_> {
    fn routed(&self) -> Routed {
        let leaving = self.leaving();
        let awaited: Vec<String> = self
            .takers()
            .filter(|taker| !self.answers(&taker.name))
            .map(|taker| taker.name.clone())
            .collect();
        // Without a variant to wait for, those that leave are gone at once.
        let held = !leaving.is_empty() && !awaited.is_empty();
        let mut variants: Vec<Route> = self
            .pipeline
            .spec
            .variants
            .iter()
            .filter(|variant| self.gets_users(variant, held))
            .map(|variant| self.route(variant))
            .collect();
        if held {
            variants.extend(leaving.iter().map(|route| (*route).clone()));
        }
        if variants.is_empty() {
            // Nobody answers yet: early requests get an error that names the variants.
            variants.extend(self.pipeline.spec.control().map(|control| self.route(control)));
        }
        own_buckets(&mut variants, &remembered(self.pipeline, self.before));
        let control = self.control(&variants);
        Routed {
            leaving: leaving
                .iter()
                .filter(|_| held)
                .map(|route| route.name.clone())
                .collect(),
            awaited: if held { awaited } else { Vec::new() },
            routes: Routes {
                namespace: self.pipeline.names.namespace().to_owned(),
                pipeline: self.names.pipeline().to_owned(),
                control,
                // One that nobody takes part in yet waits until its arms get users.
                experiment: self
                    .experiment
                    .filter(|routes| !held || routes.traffic_buckets > Buckets::NONE)
                    .cloned(),
                variants,
            },
        }
    }

    /// Variants that have users and a pod that answers, and that are no longer in the spec.
    fn leaving(&self) -> Vec<&Route> {
        let in_spec = |name: &str| {
            self.pipeline
                .spec
                .variants
                .iter()
                .any(|variant| variant.name == name)
        };
        let routed = self.before.variants.iter();
        routed
            .filter(|route| !in_spec(&route.name) && self.answers(&route.name))
            .collect()
    }

    /// Variants that should get users by the spec.
    fn takers(&self) -> impl Iterator<Item = &Variant> {
        let variants = self.pipeline.spec.variants.iter();
        variants.filter(|variant| match self.everybody {
            Some(everybody) => variant.name == everybody,
            None => (variant.weight > 0 && self.fewest(variant) > 0) || self.is_arm(&variant.name),
        })
    }

    fn gets_users(&self, variant: &Variant, held: bool) -> bool {
        let name = variant.name.as_str();
        let had_users = self.before.variants.iter().any(|route| route.name == name) && self.is_there(name);
        if held {
            // All that are new get their users in one move, when the last of them answers.
            return had_users;
        }
        let needed = self.is_arm(name) || self.everybody == Some(name);
        needed || (self.fewest(variant) > 0 && (had_users || self.answers(name)))
    }

    fn route(&self, variant: &Variant) -> Route {
        let weight = u32::try_from(variant.weight).unwrap_or(0);
        Route {
            name: variant.name.clone(),
            weight: self
                .everybody
                .map_or(weight, |everybody| u32::from(everybody == variant.name)),
            service: self.names.component(Component::Variant(&variant.name)),
            buckets: Vec::new(),
        }
    }

    /// The spec's control if it has users, else the one before, else any.
    fn control(&self, variants: &[Route]) -> String {
        let wanted = self.pipeline.spec.control().map(|variant| variant.name.as_str());
        let candidates = [wanted, Some(self.before.control.as_str())];
        let mut routed = candidates
            .into_iter()
            .flatten()
            .filter(|name| variants.iter().any(|route| route.name == *name));
        let first = || variants.first().map(|route| route.name.as_str());
        routed.next().or_else(first).unwrap_or_default().to_owned()
    }

    fn is_arm(&self, name: &str) -> bool {
        let mut arms = self.experiment.iter().flat_map(|routes| &routes.arms);
        arms.any(|arm| arm.variant == name)
    }

    fn fewest(&self, variant: &Variant) -> i32 {
        variant::fewest(
            variant,
            self.observed
                .rollout(self.names, Component::Variant(&variant.name))
                .wanted,
        )
    }

    fn answers(&self, name: &str) -> bool {
        self.observed.rollout(self.names, Component::Variant(name)).ready > 0
    }

    fn is_there(&self, name: &str) -> bool {
        let deployment = self.names.component(Component::Variant(name));
        self.observed.children.deployments.contains_key(&deployment)
    }
}

/// The buckets that variants own: from the routes, or else from the status.
fn remembered(pipeline: &Pipeline, before: &Routes) -> Ownership {
    if !before.variants.is_empty() {
        let owned = before.variants.iter();
        return owned
            .map(|route| (route.name.clone(), route.buckets.clone()))
            .collect();
    }
    let status = pipeline.status.variants.iter();
    let owned =
        status.filter_map(|variant| Some((variant.name.clone(), parse(variant.buckets.as_deref()?)?)));
    owned.collect()
}

/// Gives every variant its buckets by its weight. Where nobody has a weight, the first gets all.
fn own_buckets(variants: &mut [Route], before: &Ownership) {
    if variants.iter().all(|route| route.weight == 0)
        && let Some(first) = variants.first_mut()
    {
        first.weight = 1;
    }
    let weights = variants.iter().map(|route| (route.name.clone(), route.weight));
    match allocate(before, &weights.collect()) {
        Ok(mut owned) => {
            for route in variants {
                route.buckets = owned.remove(&route.name).unwrap_or_default();
            }
        }
        // Routers then compute it from the weights themselves.
        Err(error) => tracing::error!(%error, "the buckets can't be allocated to variants"),
    }
}

/// Ranges of buckets for people, with both ends: `0-4999,7000-7499`.
pub fn written(ranges: &[BucketRange]) -> String {
    let texts = ranges
        .iter()
        .map(|range| format!("{}-{}", range.start, range.end - 1));
    texts.collect::<Vec<_>>().join(",")
}

/// The ranges that a text writes; none if it writes none.
fn parse(text: &str) -> Option<Vec<BucketRange>> {
    let range = |text: &str| {
        let (start, last) = text.split_once('-')?;
        let end = last.parse::<u16>().ok()?.checked_add(1)?;
        Some(BucketRange {
            start: start.parse().ok()?,
            end,
        })
    };
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(range)
        .collect()
}

/// How many buckets ranges have.
pub fn count(ranges: &[BucketRange]) -> i32 {
    ranges
        .iter()
        .map(|range| i32::from(range.end) - i32::from(range.start))
        .sum()
}

/// The variants of routes, by name.
pub fn names(routes: &Routes) -> BTreeSet<&str> {
    routes.variants.iter().map(|route| route.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_that_the_status_repeats_are_read_back() {
        let range = |start, end| BucketRange { start, end };
        for ranges in [
            vec![],
            vec![range(0, 10_000)],
            vec![range(0, 5000), range(7000, 7500)],
        ] {
            assert_eq!(parse(&written(&ranges)), Some(ranges));
        }
        assert_eq!(written(&[range(0, 5000), range(7000, 7500)]), "0-4999,7000-7499");
        for damaged in ["x", "5", "5-", "-5", "1-70000"] {
            assert_eq!(parse(damaged), None, "{damaged}");
        }
    }
}
