//! What is true now: the pipeline's status, as a pure function of the spec, of what is there, and of what this pass did.

pub mod conditions;
pub mod experiment;
pub mod exposure;
pub mod invalid;
pub mod variants;

use std::collections::BTreeMap;

use gondola_causes::with_causes;
use gondola_crds::RecommenderPipelineStatus;
use gondola_wire::resolution::Refusal;

use crate::apply::admission::Overridden;
use crate::apply::failure::Failure;
use crate::apply::{Applied, is_done};
use crate::finding::{Finding, Severity, Truth};
use crate::names::{Component, Names};
use crate::observed::{Observed, Rollout};
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::plan::pod::{ADMIN_PORT, PORT};
use crate::plan::serving::Serves;
use crate::reasons;
use conditions::conditions;

/// What a pipeline needs to be ready, in the order in which a reader should fix problems.
#[derive(Clone, Debug)]
struct Needs {
    /// Its objects are in place.
    children_applied: Finding,
    /// Its references resolve to compatible bundles.
    artifacts_resolved: Finding,
    /// The pods of its variants are of the newest rollout and answer.
    variants_rolled_out: Finding,
    /// The pods of its routers are of the newest rollout and answer.
    routers_rolled_out: Finding,
    /// At least one router and one variant answer.
    available: Finding,
}

impl Needs {
    /// Ready repeats the first need that is not met.
    fn ready(&self) -> Finding {
        let Self {
            children_applied,
            artifacts_resolved,
            variants_rolled_out,
            routers_rolled_out,
            available,
        } = self;
        let needs = [
            children_applied,
            artifacts_resolved,
            variants_rolled_out,
            routers_rolled_out,
            available,
        ];
        match needs.into_iter().find(|need| need.truth != Truth::True) {
            Some(need) => need.clone(),
            None => Finding::met(reasons::SERVING, "every variant serves what the spec names"),
        }
    }
}

/// What a pass found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The status that is true now.
    pub status: RecommenderPipelineStatus,
    /// What its conditions are made from, with their types.
    pub findings: Vec<(&'static str, Finding)>,
}

/// What is true now.
pub fn report(pipeline: &Pipeline, observed: &Observed, plan: &Plan, applied: &Applied) -> Report {
    let names = &pipeline.names;
    let namespace = names.namespace();
    let url = |service: &str, port: i32| format!("http://{service}.{namespace}.svc:{port}");
    let rollouts: BTreeMap<&str, Rollout> = plan
        .variants
        .iter()
        .map(|(name, _)| {
            let component = Component::Variant(name);
            let rollout = applied.correct(&names.component(component), observed.rollout(names, component));
            (name.as_str(), rollout)
        })
        .collect();
    let router = applied.correct(
        &names.component(Component::Router),
        observed.rollout(names, Component::Router),
    );
    let needs = Needs {
        children_applied: children_applied(plan, applied),
        artifacts_resolved: artifacts_resolved(plan, observed, names),
        variants_rolled_out: variants_rolled_out(plan, &rollouts, observed, names),
        routers_rolled_out: rolled_out(Component::Router, &router, observed, names),
        available: available(&router, &answering(plan, &rollouts, observed, names)),
    };
    let ready = match needs.ready() {
        // Nothing was done for this generation, so it can't be reported as serving.
        ready if pipeline.spec.suspend && ready.truth == Truth::True && !is_done(plan, observed) => {
            Finding::pending(
                reasons::SUSPENDED,
                "spec.suspend is set and changes are pending: what the spec asks for now is not served yet",
            )
        }
        ready => ready,
    };
    let mut findings = vec![
        ("Ready", ready.clone()),
        ("Available", needs.available.clone()),
        ("ArtifactsResolved", needs.artifacts_resolved.clone()),
        ("Degraded", degraded(plan, &rollouts)),
    ];
    findings.extend(progress(pipeline, &ready));
    findings.extend(overridden(applied));
    findings.extend(treatment_changed(plan));
    findings.extend(exposure::findings(pipeline, observed));
    findings.extend(experiment::findings(pipeline, plan));
    let experiment = experiment::status(pipeline, plan);
    let before = &pipeline.status.conditions;
    let ready_variants = rollouts.values().filter(|rollout| rollout.ready > 0).count();
    let status = RecommenderPipelineStatus {
        observed_generation: Some(pipeline.generation),
        conditions: conditions(&findings, before, pipeline.generation, observed.now),
        url: Some(url(names.pipeline(), PORT)),
        admin_url: Some(url(&names.admin(), ADMIN_PORT)),
        ready_variants: Some(format!("{ready_variants}/{}", plan.variants.len())),
        traffic: Some(traffic(plan)),
        variants: variants::variants(pipeline, plan, &rollouts, observed, names),
        experiment,
    };
    Report { status, findings }
}

/// The conditions that `kstatus` reads, present only while they are true: Reconciling, Stalled or Suspended.
fn progress(pipeline: &Pipeline, ready: &Finding) -> Option<(&'static str, Finding)> {
    if pipeline.spec.suspend {
        let message = "spec.suspend is set: nothing is rolled out, pods keep serving, and a harmful experiment is still rolled back";
        return Some(("Suspended", Finding::met(reasons::SUSPENDED, message)));
    }
    let again = Finding::new(Truth::True, Severity::Repeated, ready.reason, &ready.message);
    match ready.truth {
        Truth::True => None,
        Truth::False if ready.severity == Severity::Stuck => Some(("Stalled", again)),
        Truth::False | Truth::Unknown => Some(("Reconciling", again)),
    }
}

fn children_applied(plan: &Plan, applied: &Applied) -> Finding {
    if let Some(objection) = &plan.objection {
        return Finding::stuck(objection.reason(), objection.to_string());
    }
    match applied.first_failure() {
        None => Finding::met(reasons::SERVING, "every object is in place"),
        Some(failure) => unapplied(failure),
    }
}

/// Why an object could not be applied.
pub(crate) fn unapplied(failure: &Failure) -> Finding {
    let message = with_causes(failure);
    let stuck = |reason| Finding::stuck(reason, message.clone());
    match failure {
        Failure::NameConflict { .. } => stuck(reasons::NAME_CONFLICT),
        Failure::Refused { .. } => stuck(reasons::INVALID_SPEC),
        Failure::Forbidden { .. } => stuck(reasons::FORBIDDEN),
        Failure::Denied { .. } => stuck(reasons::ADMISSION_DENIED),
        Failure::QuotaExceeded { .. } => stuck(reasons::QUOTA_EXCEEDED),
        Failure::Outdated { .. } | Failure::Unavailable { .. } => {
            Finding::unmet(reasons::APPLY_FAILED, message)
        }
    }
}

fn artifacts_resolved(plan: &Plan, observed: &Observed, names: &Names) -> Finding {
    let refused = plan
        .variants
        .iter()
        .find_map(|(name, serves)| Some((name, serves.refusal()?)));
    if let Some((name, Refusal { reason, message })) = refused {
        return Finding::unmet(reason.as_str(), format!("variant {name}: {message}"));
    }
    let pending = |serves: &Serves| matches!(serves, Serves::Waiting(_) | Serves::Unresolved);
    if plan.variants.iter().any(|(_, serves)| pending(serves)) {
        let problem = observed.problem(names, Component::Resolver);
        let message = problem.map_or_else(
            || "the resolver is looking up what the spec names".to_owned(),
            |problem| format!("the resolver can't run: {problem}"),
        );
        return Finding::pending(reasons::RESOLVING, message);
    }
    Finding::met(
        reasons::RESOLVED,
        "every reference resolves to a bundle, and the bundles are compatible",
    )
}

fn variants_rolled_out(
    plan: &Plan,
    rollouts: &BTreeMap<&str, Rollout>,
    observed: &Observed,
    names: &Names,
) -> Finding {
    let findings = plan.variants.iter().map(|(name, _)| {
        let component = Component::Variant(name);
        rolled_out(component, &rollouts[name.as_str()], observed, names)
    });
    let unmet = findings.filter(|finding| finding.truth != Truth::True);
    // What is stuck comes before what only takes time.
    let first = unmet.min_by_key(|finding| finding.truth == Truth::Unknown);
    first.unwrap_or_else(|| Finding::met(reasons::SERVING, "every variant is rolled out"))
}

fn rolled_out(component: Component<'_>, rollout: &Rollout, observed: &Observed, names: &Names) -> Finding {
    if rollout.complete {
        return Finding::met(reasons::SERVING, format!("{component} is rolled out"));
    }
    let problem = observed
        .problem(names, component)
        .map(|problem| format!(": {problem}"))
        .unwrap_or_default();
    match &rollout.missed_deadline {
        Some(_) => Finding::stuck(
            reasons::PROGRESS_DEADLINE_EXCEEDED,
            format!("{component} was not rolled out in time{problem}; its older pods keep serving"),
        ),
        None => Finding::pending(
            reasons::ROLLING_OUT,
            format!("{component} is being rolled out{problem}"),
        ),
    }
}

/// The number of answering pods of each variant that gets users, including those about to leave.
fn answering(
    plan: &Plan,
    rollouts: &BTreeMap<&str, Rollout>,
    observed: &Observed,
    names: &Names,
) -> Vec<i32> {
    let leaving = plan.routed.leaving.iter();
    let leaving = leaving.map(|name| observed.rollout(names, Component::Variant(name)).ready);
    rollouts
        .values()
        .map(|rollout| rollout.ready)
        .chain(leaving)
        .collect()
}

/// What admission changes about our objects: nothing to fix, but good to know.
fn overridden(applied: &Applied) -> Option<(&'static str, Finding)> {
    let Overridden { kind, name, path } = applied.overridden().first()?;
    let more = applied.overridden().len() - 1;
    let others = if more == 0 {
        String::new()
    } else {
        format!(" (and {more} more objects)")
    };
    let message = format!(
        "{kind} {name} differs from what was applied at {path}{others}: a webhook or policy of the cluster changes it on admission, and the change is kept"
    );
    Some(("Overridden", Finding::met(reasons::CHANGED_BY_ADMISSION, message)))
}

/// Whether channels moved under an experiment: its arms keep what they began with.
fn treatment_changed(plan: &Plan) -> Option<(&'static str, Finding)> {
    let moved = plan.variants.iter().find_map(|(name, serves)| match serves {
        Serves::Pinned {
            bundles,
            moved: Some(moved),
        } => Some((name, bundles, moved)),
        _ => None,
    });
    let (name, bundles, moved) = moved?;
    let differs = bundles
        .by_role()
        .zip(moved.by_role())
        .find(|((_, old), (_, new))| old.digest != new.digest);
    let what = differs.map(|((role, old), (_, new))| {
        format!(
            "the {role} bundle {} of variant {name} would now be {}, but stays {}",
            old.name, new.version, old.version
        )
    });
    let message = format!(
        "{} until the experiment is over; a new restartToken restarts it with what the channels point to now",
        what.unwrap_or_else(|| format!(
            "the bundles of variant {name} would change now, but stay as they are"
        ))
    );
    Some(("TreatmentChanged", Finding::met(reasons::CHANNEL_MOVED, message)))
}

fn available(router: &Rollout, answering: &[i32]) -> Finding {
    if router.ready == 0 {
        return Finding::unmet(reasons::NOT_ANSWERING, "no router answers");
    }
    if answering.iter().all(|ready| *ready == 0) {
        return Finding::unmet(reasons::NOT_ANSWERING, "no pod of any variant answers");
    }
    Finding::met(reasons::ANSWERING, "users are served")
}

fn degraded(plan: &Plan, rollouts: &BTreeMap<&str, Rollout>) -> Finding {
    let worse = |reason, message| Finding::new(Truth::True, Severity::Warning, reason, message);
    let routes = &plan.routed.routes;
    let routed = |name: &str| routes.variants.iter().any(|route| route.name == name);
    let down: Vec<&str> = rollouts
        .iter()
        .filter(|(name, rollout)| rollout.ready == 0 && routed(name))
        .map(|(name, _)| *name)
        .collect();
    let control = routes.control.as_str();
    let others_answer = rollouts.values().any(|rollout| rollout.ready > 0);
    if others_answer && !down.is_empty() {
        let instead = match down.contains(&control) {
            true => "another variant".to_owned(),
            false => format!("the control {control}"),
        };
        let message = format!("no pod of {} answers: its users get {instead}", down.join(", "));
        return worse(reasons::FALLBACK_TO_CONTROL, message);
    }
    if !plan.routed.leaving.is_empty() {
        let message = format!(
            "{} was removed from the spec, and serves its users until {} answers",
            plan.routed.leaving.join(", "),
            plan.routed.awaited.join(", ")
        );
        return worse(reasons::LEAVING, message);
    }
    let last_good: Vec<&str> = plan
        .variants
        .iter()
        .filter(|(_, serves)| matches!(serves, Serves::LastGood(..)))
        .map(|(name, _)| name.as_str())
        .collect();
    if !last_good.is_empty() {
        let message = format!(
            "{} keeps serving its last good bundles: what the spec names now can't be served",
            last_good.join(", ")
        );
        return worse(reasons::LAST_GOOD, message);
    }
    Finding::new(
        Truth::False,
        Severity::Usual,
        reasons::AS_SPECIFIED,
        "every variant serves its own users",
    )
}

/// The split of the users, in whole percent, for people.
fn traffic(plan: &Plan) -> String {
    let variants = &plan.routed.routes.variants;
    let sum: u64 = variants.iter().map(|route| u64::from(route.weight)).sum();
    let share = |weight: u32| (u64::from(weight) * 100 + sum / 2) / sum.max(1);
    let shares = variants
        .iter()
        .map(|route| format!("{} {}%", route.name, share(route.weight)));
    shares.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
