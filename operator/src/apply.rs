//! Writing to the cluster: server-side apply of what should be, and deletion of what should not.
//!
//! Every object is sent whole, under one field manager, so that a field is removed by leaving it out.
//! Nothing is sent twice: an object carries the hash of what was sent last, and is compared with that. Caches may be out
//! of date, so a write names the version that it was decided on, and before the first write of a pass the spec is
//! checked to be the newest.

pub mod admission;
mod applier;
pub mod covers;
pub mod failure;
pub mod status;

use std::collections::BTreeSet;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::{Client, ResourceExt};

use crate::kinds::{Kind, Row, Visit, each_row};
use crate::observed::{Observed, Rollout};
use crate::pipeline::Pipeline;
use crate::plan::{Kept, Plan, Scale};
use admission::{Admission, Overridden};
use applier::{Applier, Outcome, is_scaled, with_hash};
use failure::Failure;

/// The field manager of children.
pub const MANAGER: &str = "gondola-operator";
/// The field manager of numbers of pods.
pub const SCALE_MANAGER: &str = "gondola-operator-scale";
/// The field manager of statuses.
pub const STATUS_MANAGER: &str = "gondola-operator-status";
/// The annotation with the hash of what was sent last.
pub(crate) const APPLIED: &str = "gondola.dev/applied";

/// The results of applying a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// Kinds and names of the objects that were sent in this pass: the caches still have their older state.
    sent: BTreeSet<(String, String)>,
    failures: Vec<Failure>,
    overridden: Vec<Overridden>,
    /// Objects that were sent or deleted.
    writes: usize,
}

impl Applied {
    /// The first failure, in the order of application.
    pub fn first_failure(&self) -> Option<&Failure> {
        self.failures.first()
    }

    /// The first failure, for the retry.
    pub fn into_first_failure(self) -> Option<Failure> {
        self.failures.into_iter().next()
    }

    /// Whether the caches turned out to be out of date: then nothing that follows from them counts.
    pub fn is_outdated(&self) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|failure| matches!(failure, Failure::Outdated { .. }))
    }

    /// Where objects differ from what was sent, because admission changes them.
    pub fn overridden(&self) -> &[Overridden] {
        &self.overridden
    }

    /// How many objects were written or deleted.
    pub fn writes(&self) -> usize {
        self.writes
    }

    /// A rollout as the caches have it, corrected by what this pass did.
    pub fn correct(&self, deployment: &str, rollout: Rollout) -> Rollout {
        if self.has_sent("Deployment", deployment) {
            Rollout {
                complete: false,
                missed_deadline: None,
                refused: None,
                ..rollout
            }
        } else {
            rollout
        }
    }

    fn has_sent(&self, kind: &str, name: &str) -> bool {
        let mut sent = self.sent.iter();
        sent.any(|(sent_kind, sent_name)| sent_kind == kind && sent_name == name)
    }

    /// Counts an outcome, and says whether something was written.
    fn take(&mut self, outcome: Result<Outcome, Failure>) -> bool {
        let written = matches!(outcome, Ok(Outcome::Written));
        self.writes += usize::from(written);
        self.failures.extend(outcome.err());
        written
    }

    /// Adds the results of further objects.
    fn extend(&mut self, later: Self) {
        let Self {
            sent,
            failures,
            overridden,
            writes,
        } = later;
        self.sent.extend(sent);
        self.failures.extend(failures);
        self.overridden.extend(overridden);
        self.writes += writes;
    }
}

/// Applies the plan: configuration before the pods that mount it, and deletions last. A failure is a value, and does not
/// stop the rest.
pub async fn children(
    client: &Client,
    admission: &Admission,
    pipeline: &Pipeline,
    plan: &Plan,
    observed: &Observed,
) -> Applied {
    let applier = Applier::new(client, admission, pipeline);
    let mut applied = Applied::default();
    for kind in each_row(
        &plan.children,
        &observed.children,
        &plan.kept.names,
        &Apply(&applier),
    ) {
        applied.extend(kind.await);
    }
    for scale in &plan.scales {
        applier.scale(scale, observed, &mut applied).await;
    }
    for (extension, wanted) in &plan.extensions {
        let live = &observed.extensions[extension];
        applier
            .extension(*extension, wanted.as_ref(), live, &mut applied)
            .await;
    }
    // An object that can't be applied may be the replacement of another: nothing is deleted before everything is in
    // place.
    if applied.failures.is_empty() {
        let delete = DeleteSurplus {
            applier: &applier,
            kept: &plan.kept,
        };
        let kinds = each_row(&plan.children, &observed.children, &plan.kept.names, &delete);
        for kind in kinds.into_iter().rev() {
            applied.extend(kind.await);
        }
    }
    applied
}

/// Applies what is wanted of each kind.
struct Apply<'a>(&'a Applier<'a>);

impl<'a> Visit<'a> for Apply<'a> {
    type Output = BoxFuture<'a, Applied>;

    fn visit<K: Kind>(&self, row: Row<'a, K>) -> Self::Output {
        self.0.apply_all(row.wanted, row.live).boxed()
    }
}

/// Deletes the objects of each kind that are no longer wanted.
struct DeleteSurplus<'a> {
    applier: &'a Applier<'a>,
    kept: &'a Kept,
}

impl<'a> Visit<'a> for DeleteSurplus<'a> {
    type Output = BoxFuture<'a, Applied>;

    fn visit<K: Kind>(&self, row: Row<'a, K>) -> Self::Output {
        self.applier.delete_surplus(row, self.kept).boxed()
    }
}

/// Applies only what protects users while everything else is suspended: the rollback of an experiment, and the routes
/// that follow from it.
pub async fn safety(
    client: &Client,
    admission: &Admission,
    pipeline: &Pipeline,
    plan: &Plan,
    observed: &Observed,
) -> Applied {
    let names = &pipeline.names;
    let current = observed.routes(names);
    if current.is_none_or(|routes| routes == plan.routed.routes) {
        return Applied::default();
    }
    let safe = [names.ledger(), names.routes()];
    let configs = plan.children.configs.iter();
    let configs: Vec<_> = configs
        .filter(|config| safe.contains(&config.name_any()))
        .cloned()
        .collect();
    let applier = Applier::new(client, admission, pipeline);
    applier.apply_all(&configs, &observed.children.configs).await
}

/// Whether everything already is as planned, so that nothing would be written.
pub fn is_done(plan: &Plan, observed: &Observed) -> bool {
    let scaled = |scale: &Scale| {
        let live = observed.children.deployments.get(&scale.deployment);
        live.is_some_and(|live| is_scaled(live, scale))
    };
    each_row(&plan.children, &observed.children, &plan.kept.names, &AllThere)
        .into_iter()
        .all(|there| there)
        && plan.scales.iter().all(scaled)
}

/// Whether all wanted objects of each kind are as they were sent.
struct AllThere;

impl<'a> Visit<'a> for AllThere {
    type Output = bool;

    fn visit<K: Kind>(&self, row: Row<'a, K>) -> bool {
        row.wanted.iter().all(|wanted| {
            let Ok(value) = serde_json::to_value(wanted) else {
                return false;
            };
            let sent = with_hash(value)["metadata"]["annotations"][APPLIED].clone();
            let live = row.live.get(&wanted.name_any());
            live.is_some_and(|live| live.annotations().get(APPLIED).map(String::as_str) == sent.as_str())
        })
    }
}
