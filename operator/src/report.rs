//! What is true now: the pipeline's status, as a pure function of the spec, of what is there, and of what this pass did.

pub mod conditions;
pub mod experiment;
pub mod exposure;
pub mod invalid;
pub mod reasons;
pub mod variants;

use std::collections::BTreeMap;

use gondola_crds::{RecommenderPipeline, RecommenderPipelineStatus};
use gondola_wire::resolution::Refusal;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use crate::apply::admission::Overridden;
use crate::apply::failure::Failure;
use crate::apply::{Applied, is_done};
use crate::observe::{Observed, Rollout};
use crate::plan::Plan;
use crate::plan::names::{Component, Names};
use crate::plan::pod::{ADMIN_PORT, PORT};
use crate::plan::serving::Serves;
use conditions::{Finding, Truth, conditions};

/// What a pipeline needs to be ready, in the order in which a reader should mend it.
#[derive(Clone, Debug)]
struct Needs {
    /// Its objects are there.
    children_applied: Finding,
    /// Its references lead to bundles that belong together.
    artifacts_resolved: Finding,
    /// The pods of its variants are of the newest rollout and answer.
    variants_rolled_out: Finding,
    /// So are its routers.
    routers_rolled_out: Finding,
    /// Somebody is served.
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
            None => Finding::new(
                Truth::True,
                reasons::SERVING,
                "every variant serves what the spec names",
            ),
        }
    }
}

/// The status that is true now.
pub fn status(
    pipeline: &RecommenderPipeline,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    now: Timestamp,
) -> RecommenderPipelineStatus {
    let names = Names::of(pipeline);
    let namespace = pipeline.namespace().unwrap_or_default();
    let url = |service: &str, port: i32| format!("http://{service}.{namespace}.svc:{port}");
    let rollouts: BTreeMap<&str, Rollout> = plan
        .variants
        .iter()
        .map(|(name, _)| {
            let component = Component::Variant(name);
            let rollout = applied.correct(&names.component(component), observed.rollout(&names, component));
            (name.as_str(), rollout)
        })
        .collect();
    let router = applied.correct(
        &names.component(Component::Router),
        observed.rollout(&names, Component::Router),
    );
    let needs = Needs {
        children_applied: children_applied(plan, applied),
        artifacts_resolved: artifacts_resolved(plan, observed, &names),
        variants_rolled_out: variants_rolled_out(plan, &rollouts, observed, &names),
        routers_rolled_out: rolled_out(Component::Router, &router, observed, &names),
        available: available(&router, &answering(plan, &rollouts, observed, &names)),
    };
    let ready = match needs.ready() {
        // Nothing was done for this generation, so that it can't be said to serve.
        ready if pipeline.spec.suspend && ready.truth == Truth::True && !is_done(plan, observed) => {
            Finding::new(
                Truth::Unknown,
                reasons::SUSPENDED,
                "spec.suspend is set, and there is something to do: what the spec asks for now is not served yet",
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
    let before = pipeline
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.conditions);
    let ready_variants = rollouts.values().filter(|rollout| rollout.ready > 0).count();
    RecommenderPipelineStatus {
        observed_generation: pipeline.metadata.generation,
        conditions: conditions(findings, before, pipeline.metadata.generation, now),
        url: Some(url(&names.pipeline(), PORT)),
        admin_url: Some(url(&names.admin(), ADMIN_PORT)),
        ready_variants: Some(format!("{ready_variants}/{}", plan.variants.len())),
        traffic: Some(traffic(plan)),
        variants: variants::variants(pipeline, plan, &rollouts, observed, &names),
        experiment,
    }
}

/// What `kstatus` reads, and only while it is true: on the way there, stuck, or left alone.
fn progress(pipeline: &RecommenderPipeline, ready: &Finding) -> Option<(&'static str, Finding)> {
    let because = |reason, message: &str| Finding::new(Truth::True, reason, message);
    if pipeline.spec.suspend {
        let message = "spec.suspend is set: nothing is rolled out, pods go on serving, and an experiment that does harm is still rolled back";
        return Some(("Suspended", because(reasons::SUSPENDED, message)));
    }
    match ready.truth {
        Truth::True => None,
        // Time does not heal it: somebody must act.
        Truth::False if is_stuck(ready.reason) => Some(("Stalled", because(ready.reason, &ready.message))),
        Truth::False | Truth::Unknown => Some(("Reconciling", because(ready.reason, &ready.message))),
    }
}

fn is_stuck(reason: &str) -> bool {
    [
        reasons::NAME_CONFLICT,
        reasons::INVALID_SPEC,
        reasons::FORBIDDEN,
        reasons::ADMISSION_DENIED,
        reasons::QUOTA_EXCEEDED,
        reasons::SERVICE_ACCOUNT_NOT_ALLOWED,
        reasons::STORE_NOT_ALLOWED,
        reasons::IMAGE_NOT_ALLOWED,
        reasons::ENVIRONMENT_NOT_ALLOWED,
        reasons::PROGRESS_DEADLINE_EXCEEDED,
    ]
    .contains(&reason)
}

fn children_applied(plan: &Plan, applied: &Applied) -> Finding {
    if let Some(objection) = &plan.objection {
        return Finding::new(Truth::False, objection.reason(), objection.to_string());
    }
    match applied.first_failure() {
        None => Finding::new(Truth::True, reasons::SERVING, "every object is there"),
        Some(failure) => Finding::new(Truth::False, failure_reason(failure), failure.with_cause()),
    }
}

fn failure_reason(failure: &Failure) -> &'static str {
    match failure {
        Failure::NameConflict { .. } => reasons::NAME_CONFLICT,
        Failure::Refused { .. } => reasons::INVALID_SPEC,
        Failure::Forbidden { .. } => reasons::FORBIDDEN,
        Failure::Denied { .. } => reasons::ADMISSION_DENIED,
        Failure::QuotaExceeded { .. } => reasons::QUOTA_EXCEEDED,
        Failure::Outdated { .. } | Failure::Unavailable { .. } => reasons::APPLY_FAILED,
    }
}

fn artifacts_resolved(plan: &Plan, observed: &Observed, names: &Names<'_>) -> Finding {
    let refused = plan
        .variants
        .iter()
        .find_map(|(name, serves)| Some((name, serves.refusal()?)));
    if let Some((name, Refusal { reason, message })) = refused {
        return Finding::new(
            Truth::False,
            reason.as_str(),
            format!("variant {name}: {message}"),
        );
    }
    let pending = |serves: &Serves| matches!(serves, Serves::Waiting(_) | Serves::Unresolved);
    if plan.variants.iter().any(|(_, serves)| pending(serves)) {
        let problem = observed.problem(names, Component::Resolver);
        let message = problem.map_or_else(
            || "the resolver is looking up what the spec names".to_owned(),
            |problem| format!("the resolver can't run: {problem}"),
        );
        return Finding::new(Truth::Unknown, reasons::RESOLVING, message);
    }
    Finding::new(
        Truth::True,
        reasons::RESOLVED,
        "every reference leads to a bundle, and they belong together",
    )
}

fn variants_rolled_out(
    plan: &Plan,
    rollouts: &BTreeMap<&str, Rollout>,
    observed: &Observed,
    names: &Names<'_>,
) -> Finding {
    let findings = plan.variants.iter().map(|(name, _)| {
        let component = Component::Variant(name);
        rolled_out(component, &rollouts[name.as_str()], observed, names)
    });
    let unmet = findings.filter(|finding| finding.truth != Truth::True);
    // What is stuck comes before what only takes time.
    let first = unmet.min_by_key(|finding| finding.truth == Truth::Unknown);
    first.unwrap_or_else(|| Finding::new(Truth::True, reasons::SERVING, "every variant is rolled out"))
}

fn rolled_out(
    component: Component<'_>,
    rollout: &Rollout,
    observed: &Observed,
    names: &Names<'_>,
) -> Finding {
    if rollout.complete {
        return Finding::new(
            Truth::True,
            reasons::SERVING,
            format!("{component} is rolled out"),
        );
    }
    let problem = observed
        .problem(names, component)
        .map(|problem| format!(": {problem}"))
        .unwrap_or_default();
    match &rollout.missed_deadline {
        Some(_) => Finding::new(
            Truth::False,
            reasons::PROGRESS_DEADLINE_EXCEEDED,
            format!("{component} was not rolled out in time{problem}; its older pods go on serving"),
        ),
        None => Finding::new(
            Truth::Unknown,
            reasons::ROLLING_OUT,
            format!("{component} is being rolled out{problem}"),
        ),
    }
}

/// How many pods of each variant answer that gets users, also of one that is about to leave.
fn answering(
    plan: &Plan,
    rollouts: &BTreeMap<&str, Rollout>,
    observed: &Observed,
    names: &Names<'_>,
) -> Vec<i32> {
    let leaving = plan.routed.leaving.iter();
    let leaving = leaving.map(|name| observed.rollout(names, Component::Variant(name)).ready);
    rollouts
        .values()
        .map(|rollout| rollout.ready)
        .chain(leaving)
        .collect()
}

/// What others change about our objects on their way in; nothing to mend, and good to know.
fn overridden(applied: &Applied) -> Option<(&'static str, Finding)> {
    let Overridden { kind, name, path } = applied.overridden().first()?;
    let more = applied.overridden().len() - 1;
    let others = if more == 0 {
        String::new()
    } else {
        format!(", and {more} more objects")
    };
    let message = format!(
        "{kind} {name} is not as it was sent at {path}{others}: a webhook or policy of the cluster changes it on its way in, and it is left so"
    );
    Some((
        "Overridden",
        Finding::new(Truth::True, reasons::CHANGED_BY_ADMISSION, message),
    ))
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
            "the {role} bundle {} of variant {name} would be {} now, and stays {}",
            old.name, new.version, old.version
        )
    });
    let message = format!(
        "{} until the experiment is over; another restartToken starts it again with what channels point to",
        what.unwrap_or_else(|| format!("the bundles of variant {name} would be others now, and stay"))
    );
    Some((
        "TreatmentChanged",
        Finding::new(Truth::True, reasons::CHANNEL_MOVED, message),
    ))
}

fn available(router: &Rollout, answering: &[i32]) -> Finding {
    if router.ready == 0 {
        return Finding::new(Truth::False, reasons::NOT_ANSWERING, "no router answers");
    }
    if answering.iter().all(|ready| *ready == 0) {
        return Finding::new(
            Truth::False,
            reasons::NOT_ANSWERING,
            "no pod of any variant answers",
        );
    }
    Finding::new(Truth::True, reasons::ANSWERING, "users are served")
}

fn degraded(plan: &Plan, rollouts: &BTreeMap<&str, Rollout>) -> Finding {
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
        return Finding::new(Truth::True, reasons::FALLBACK_TO_CONTROL, message);
    }
    if !plan.routed.leaving.is_empty() {
        let message = format!(
            "{} is in the spec no more, and serves its users until {} answers",
            plan.routed.leaving.join(", "),
            plan.routed.awaited.join(", ")
        );
        return Finding::new(Truth::True, reasons::LEAVING, message);
    }
    let last_good: Vec<&str> = plan
        .variants
        .iter()
        .filter(|(_, serves)| matches!(serves, Serves::LastGood(..)))
        .map(|(name, _)| name.as_str())
        .collect();
    if !last_good.is_empty() {
        let message = format!(
            "{} serves what it served before: what the spec names now can't be served",
            last_good.join(", ")
        );
        return Finding::new(Truth::True, reasons::LAST_GOOD, message);
    }
    Finding::new(
        Truth::False,
        reasons::AS_SPECIFIED,
        "every variant serves its own users",
    )
}

/// The shares of the users, in whole percent, for people.
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
