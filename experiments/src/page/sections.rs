//! The sections of the page: their order, the verdict's conditions, and the arms.

use std::fmt::Write as _;

use gondola_crds::experiment_status::Phase;
use gondola_pages::wide_section;
use gondola_wire::arms::Treatment;
use gondola_wire::time::{after, since};
use maud::{Markup, html};

use super::metrics::{guardrails, lift, min_effect, sample_ratio};
use super::progress::{operations, ramp};
use super::{View, health};
use crate::assess::Assessment;
use crate::percent::{share, signed};
use crate::report::{expected_decision, grouped, success_verdict};
use crate::statistics::guardrail::GuardrailVerdict;

/// All of them, in order.
pub(super) fn all(view: &View<'_>) -> Markup {
    html! {
        (what_would_change(view))
        (ramp(view))
        @if let Some(assessment) = &view.step.assessment {
            @for comparison in &assessment.success { (lift(view.settings, comparison)) }
            (arms(view, assessment))
            (guardrails(view.settings, assessment))
            (sample_ratio(assessment))
        }
        @if let Some(evidence) = view.evidence {
            (operations(view.settings, evidence))
            (health::section(view, evidence))
        }
    }
}

/// What is still missing for each end, in the order of decisions.
fn what_would_change(view: &View<'_>) -> Markup {
    let one = |item: &str| vec![item.to_owned()];
    let items = match view.step.ledger.phase {
        Phase::Pending => one("a pod of each arm that answers"),
        Phase::Invalid => one("a new epoch (restartToken), once it is known why users were lost"),
        Phase::RolledBack | Phase::Inconclusive | Phase::Equivalent => {
            one("a new epoch (restartToken) or another experiment")
        }
        Phase::Promoted => one("nothing; write the winner into the spec"),
        Phase::Completed => one("nothing; the spec says what is served"),
        Phase::Unknown => one("the release that decided last"),
        Phase::Ramping | Phase::Running => missing(view),
    };
    let list = html! { ul { @for item in &items { li { (item) } } } };
    wide_section("What would change this verdict", &list)
}

fn missing(view: &View<'_>) -> Vec<String> {
    let View {
        settings, step, now, ..
    } = view;
    let mut items = Vec::new();
    if step.fresh != Some(true) {
        items.push("fresh data: nothing is decided on old ones".to_owned());
    }
    if let Some(started) = step.ledger.started_at
        && since(started, *now) < settings.min_duration
    {
        items.push(format!(
            "time: no arm wins before {:.0}",
            after(started, settings.min_duration)
        ));
    }
    if let Some(assessment) = &step.assessment {
        items.extend(undecided(view, assessment));
        items.extend(planned_read(view, assessment));
    }
    items
}

/// What is not known yet of metrics and guardrails.
fn undecided(view: &View<'_>, assessment: &Assessment) -> Vec<String> {
    let settings = view.settings;
    let success = assessment.success.iter();
    let success = success.filter(|comparison| success_verdict(comparison) == "Undecided");
    let success = success.map(|comparison| {
        format!(
            "a lift of {} in {} whose interval lies above {} (any time), or below 0 (rolled back)",
            comparison.metric,
            settings.arms[comparison.arm].name,
            signed(min_effect(settings, comparison))
        )
    });
    let guardrails = assessment.guardrails.iter();
    let guardrails = guardrails.filter(|guardrail| guardrail.verdict == GuardrailVerdict::Undecided);
    let guardrails = guardrails.map(|guardrail| {
        format!(
            "certainty that {} loses less than {} of {}",
            settings.arms[guardrail.arm].name,
            share(guardrail.margin),
            guardrail.metric
        )
    });
    success.chain(guardrails).collect()
}

/// How many users are missing until the planned read; nothing once it is made.
fn planned_read(view: &View<'_>, assessment: &Assessment) -> Option<String> {
    if assessment.plan_fulfilled_at.is_some() {
        return None;
    }
    let fewest = assessment.matured.iter().copied().min().unwrap_or(0);
    let mut item = format!(
        "{} more users in the smallest arm: then the planned read is made",
        grouped(view.settings.planned_units.saturating_sub(fewest))
    );
    if let Some(moment) = expected_decision(view.settings, view.step) {
        let _ = write!(item, " (expected {moment:.0})");
    }
    Some(item)
}

fn arms(view: &View<'_>, assessment: &Assessment) -> Markup {
    let settings = view.settings;
    let table = html! {
        table {
            tr {
                th { "Arm" }
                th.number { "Users" }
                th.number { "Of them counted" }
                th.number { "Answers" }
                th.number { "Fallbacks" }
                th { "Means" }
            }
            @for (place, (arm, matured)) in settings.arms.iter().zip(assessment.matured.iter()).enumerate() {
                (arm_row(view, assessment, place, &arm.name, *matured))
            }
        }
        p.note { (grouped(settings.planned_units)) " users are planned for each arm." }
    };
    wide_section("Arms", &table)
}

fn arm_row(view: &View<'_>, assessment: &Assessment, place: usize, name: &str, matured: u64) -> Markup {
    let seen = view.evidence.and_then(|evidence| evidence.arms.iter().nth(place));
    let seen = seen.cloned().unwrap_or_default();
    html! {
        tr {
            td { (name) }
            td.number { (grouped(seen.units)) }
            td.number { (grouped(matured)) }
            td.number { (grouped(seen.exposures)) }
            td.number { (share(seen.fallbacks as f64 / seen.exposures.max(1) as f64)) }
            td { (means(assessment, Treatment::among_arms(place))) }
        }
    }
}

fn means(assessment: &Assessment, arm: Option<Treatment>) -> String {
    let of_arm = assessment.success.iter().filter_map(|comparison| {
        let latest = comparison.latest?;
        let mean = match arm {
            None if comparison.arm == Treatment::FIRST => latest.control.mean,
            Some(arm) if arm == comparison.arm => latest.treatment.mean,
            _ => return None,
        };
        Some(format!("{} {mean:.5}", comparison.metric))
    });
    of_arm.collect::<Vec<_>>().join(", ")
}
