//! The parts of the page, each a section.

use std::fmt::Write as _;

use gondola_crds::experiment_status::Phase;

use super::chart::{Course, level_bar, range_bar};
use super::{FORMULAS, Text, View};
use crate::assess::{Assessment, Comparison, GuardrailComparison};
use crate::evidence::Evidence;
use crate::percent::{share, signed};
use crate::report::{expected_decision, grouped, success_verdict};
use crate::settings::Settings;
use crate::statistics::guardrail::GuardrailVerdict;
use crate::statistics::planning::detectable_lift;
use crate::statistics::sample_ratio::DETECT;

/// All of them, in order.
pub(super) fn all(view: &View<'_>) -> String {
    let mut page = section("wide", "What would change this verdict", &what_would_change(view));
    page += &ramp(view);
    if let Some(assessment) = &view.step.assessment {
        for comparison in &assessment.success {
            page += &lift(view.settings, comparison);
        }
        page += &arms(view, assessment);
        page += &guardrails(view.settings, assessment);
        page += &sample_ratio(assessment);
    }
    if let Some(evidence) = view.evidence {
        page += &operations(view.settings, evidence);
        page += &health(view, evidence);
    }
    page
}

fn section(class: &str, title: &str, content: &str) -> String {
    format!(
        "<section class=\"{class}\"><h2>{}</h2>{content}</section>",
        Text(title)
    )
}

/// What is still missing for each end, in the order of decisions.
fn what_would_change(view: &View<'_>) -> String {
    let ledger = &view.step.ledger;
    let mut items = Vec::new();
    match ledger.phase {
        Phase::Pending => items.push("a pod of each arm that answers".to_owned()),
        Phase::Invalid => {
            items.push("a new epoch (restartToken), once it is known why users were lost".to_owned())
        }
        Phase::RolledBack | Phase::Inconclusive | Phase::Equivalent => {
            items.push("a new epoch (restartToken) or another experiment".to_owned());
        }
        Phase::Promoted => items.push("nothing; write the winner into the spec".to_owned()),
        Phase::Completed => items.push("nothing; the spec says what is served".to_owned()),
        Phase::Unknown => items.push("the release that decided last".to_owned()),
        Phase::Ramping | Phase::Running => items.extend(missing(view)),
    }
    let items: String = items
        .iter()
        .map(|item| format!("<li>{}</li>", Text(item)))
        .collect();
    format!("<ul>{items}</ul>")
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
        && now.since(started) < settings.min_duration
    {
        items.push(format!(
            "time: no arm wins before {}",
            started + settings.min_duration
        ));
    }
    let Some(assessment) = &step.assessment else {
        return items;
    };
    for comparison in &assessment.success {
        if success_verdict(comparison) == "Undecided" {
            items.push(format!(
                "a lift of {} in {} whose interval lies above {} (any time), or below 0 (rolled back)",
                comparison.metric,
                settings.arms[comparison.arm],
                signed(min_effect(settings, comparison))
            ));
        }
    }
    for guardrail in &assessment.guardrails {
        if guardrail.verdict == GuardrailVerdict::Undecided {
            items.push(format!(
                "certainty that {} loses less than {} of {}",
                settings.arms[guardrail.arm],
                share(guardrail.margin),
                guardrail.metric
            ));
        }
    }
    if assessment.plan_fulfilled_at.is_none() {
        let fewest = assessment.matured.iter().copied().min().unwrap_or(0);
        let mut item = format!(
            "{} more users in the smallest arm: then the planned read is made",
            grouped(settings.planned_units.saturating_sub(fewest))
        );
        if let Some(moment) = expected_decision(settings, step) {
            let _ = write!(item, " (expected {moment})");
        }
        items.push(item);
    }
    items
}

fn min_effect(settings: &Settings, comparison: &Comparison) -> f64 {
    let mut success = settings.success.iter();
    success
        .find(|success| success.metric.name == comparison.metric)
        .map_or(0.0, |success| success.min_effect)
}

fn lift(settings: &Settings, comparison: &Comparison) -> String {
    let verdict = success_verdict(comparison);
    let arm = &settings.arms[comparison.arm];
    let title = format!(
        "{} of {arm} against {}: {verdict}",
        comparison.metric, settings.arms[0]
    );
    let latest = comparison.latest.and_then(|latest| latest.lift);
    let chart = Course {
        title: &title,
        width: 1000.0,
        height: 260.0,
        curve: comparison
            .course
            .iter()
            .map(|point| (point.at.to_string(), point.lift))
            .collect(),
        band: comparison
            .course
            .iter()
            .map(|point| point.interval.map(|interval| (interval.low, interval.high)))
            .collect(),
        levels: std::iter::once((0.0, "zero"))
            .chain(Some((min_effect(settings, comparison), "limit")).filter(|(level, _)| *level > 0.0))
            .collect(),
        label: signed,
        most: 6.0 * latest.map_or(0.1, f64::abs).max(0.05),
    };
    let mut note = format!(
        "Lift {}, at any time {}, p {:.4}.",
        latest.map_or_else(|| "not known yet".to_owned(), signed),
        comparison.interval.map_or_else(
            || "not bounded yet".to_owned(),
            |interval| format!("between {} and {}", signed(interval.low), signed(interval.high))
        ),
        comparison.p
    );
    if let Some(read) = comparison.final_read {
        let _ = write!(
            note,
            " The planned read: p {:.4}, corrected {:.4}.",
            read.p, read.corrected
        );
    }
    if let Some(lift) = detectable(settings, comparison) {
        let _ = write!(
            note,
            " With these users, {} would be found with a power of {}.",
            signed(lift),
            share(settings.power)
        );
    }
    section(
        "wide",
        &title,
        &format!("{}<p class=note>{}</p>", chart.draw(), Text(&note)),
    )
}

/// The smallest lift that the users there are now would show.
fn detectable(settings: &Settings, comparison: &Comparison) -> Option<f64> {
    let latest = comparison.latest?;
    let alpha = settings.alpha / settings.comparisons() as f64;
    let variance = latest.control.variance * latest.control.n as f64;
    detectable_lift(
        latest.control.mean,
        variance,
        latest.control.n,
        latest.treatment.n,
        alpha,
        settings.power,
    )
}

fn arms(view: &View<'_>, assessment: &Assessment) -> String {
    let View {
        settings, evidence, ..
    } = view;
    let rows: String = settings
        .arms
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let seen = evidence.and_then(|evidence| evidence.arms.get(place)).cloned();
            let seen = seen.unwrap_or_default();
            format!(
                "<tr><td>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{}</td><td>{}</td></tr>",
                Text(name),
                grouped(seen.units),
                grouped(assessment.matured[place]),
                grouped(seen.exposures),
                share(seen.fallbacks as f64 / seen.exposures.max(1) as f64),
                means(assessment, place)
            )
        })
        .collect();
    let table = format!(
        "<table><tr><th>Arm<th class=n>Users<th class=n>Of them counted<th class=n>Answers<th class=n>Fallbacks<th>Means</tr>{rows}</table>\
         <p class=note>{} users are planned for each arm.</p>",
        grouped(settings.planned_units)
    );
    section("wide", "Arms", &table)
}

fn means(assessment: &Assessment, place: usize) -> String {
    let of_arm = assessment.success.iter().filter_map(|comparison| {
        let latest = comparison.latest?;
        let mean = match place {
            0 if comparison.arm == 1 => latest.control.mean,
            _ if place == comparison.arm => latest.treatment.mean,
            _ => return None,
        };
        Some(format!("{} {mean:.5}", Text(&comparison.metric)))
    });
    of_arm.collect::<Vec<_>>().join(", ")
}

fn guardrails(settings: &Settings, assessment: &Assessment) -> String {
    if assessment.guardrails.is_empty() {
        return section("", "Guardrails", "<p>None is asked for.</p>");
    }
    let rows: String = assessment
        .guardrails
        .iter()
        .map(|guardrail| guardrail_row(settings, guardrail))
        .collect();
    let table = format!("<table><tr><th>Metric<th>Arm<th>Relative difference<th>Verdict</tr>{rows}</table>");
    let note = "<p class=note>The red line is the margin: a band to the right of it harms nothing.</p>";
    section("", "Guardrails", &(table + note))
}

fn guardrail_row(settings: &Settings, guardrail: &GuardrailComparison) -> String {
    let class = match guardrail.verdict {
        GuardrailVerdict::NonInferior => "good",
        GuardrailVerdict::Harm => "bad",
        GuardrailVerdict::Undecided => "wait",
    };
    let bar = guardrail.interval.map_or_else(
        || "not bounded yet".to_owned(),
        |interval| {
            let title = format!("between {} and {}", signed(interval.low), signed(interval.high));
            let bar = range_bar(
                &title,
                interval.low,
                interval.high,
                -guardrail.margin,
                4.0 * guardrail.margin.max(0.01),
            );
            format!("{bar}{title}")
        },
    );
    format!(
        "<tr><td>{}</td><td>{}</td><td>{bar}</td><td class={class}>{:?}</td></tr>",
        Text(&guardrail.metric),
        Text(&settings.arms[guardrail.arm]),
        guardrail.verdict
    )
}

fn sample_ratio(assessment: &Assessment) -> String {
    let ratio = &assessment.sample_ratio;
    let chart = Course {
        title: "p of the shares of users over time, as its logarithm",
        width: 480.0,
        height: 200.0,
        curve: ratio
            .course
            .iter()
            .map(|(at, p)| (at.to_string(), Some(p.max(1e-8).log10())))
            .collect(),
        band: Vec::new(),
        levels: vec![(DETECT.log10(), "limit")],
        label: |height| format!("{:.0e}", 10_f64.powf(height)),
        most: 8.0,
    };
    let word = if ratio.detected {
        "<span class=bad>not as planned</span>"
    } else {
        "<span class=good>as planned</span>"
    };
    let note = format!(
        "<p class=note>Users are shared {word}: {:?}, p {:.4} at any time, chi-square p {:.4} today.</p>",
        ratio.counts, ratio.p, ratio.chi_square_p
    );
    section("", "Sample ratio", &(chart.draw() + &note))
}

fn ramp(view: &View<'_>) -> String {
    let View { settings, step, .. } = view;
    let ledger = &step.ledger;
    let rows: String = settings
        .stages
        .iter()
        .enumerate()
        .map(|(place, stage)| {
            let (class, word) = match place.cmp(&(ledger.stage as usize)) {
                std::cmp::Ordering::Less => ("done", "done".to_owned()),
                std::cmp::Ordering::Equal => (
                    "",
                    ledger.stage_since.map_or_else(
                        || "on its way to the routers".to_owned(),
                        |since| format!("since {since}"),
                    ),
                ),
                std::cmp::Ordering::Greater => ("todo", String::new()),
            };
            let part = f64::from(stage.buckets) / 10_000.0;
            format!(
                "<tr><td class=n>{}</td><td>{}</td><td>{}</td></tr>",
                share(part),
                level_bar(&share(part), part, class),
                Text(&word)
            )
        })
        .collect();
    let past: String = ledger
        .history
        .iter()
        .map(|past| {
            format!(
                "<p class=note>{} epoch {}: {} {}</p>",
                Text(&past.name),
                past.epoch,
                past.phase.as_str(),
                Text(past.reason.as_deref().unwrap_or_default())
            )
        })
        .collect();
    section("wide", "Ramp", &format!("<table>{rows}</table>{past}"))
}

fn operations(settings: &Settings, evidence: &Evidence) -> String {
    let enough = (1.0 / settings.operations.alpha).ln();
    let mut rows = String::new();
    for weighed in &evidence.operations.weighed {
        for (found, arm) in weighed.arms.iter().zip(&settings.arms[1..]) {
            let log = found.log();
            let class = if log >= enough { "alarm" } else { "" };
            let _ = write!(
                rows,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=n>{log:.1}</td></tr>",
                weighed.kind.as_str(),
                Text(arm),
                level_bar(&format!("{log:.1} of {enough:.1}"), log / enough, class)
            );
        }
    }
    let totals: String = evidence
        .operations
        .totals
        .iter()
        .zip(&settings.arms)
        .map(|(total, arm)| {
            format!(
                "<p class=note>{}: {} requests, {} errors, {} slow, {} fallbacks, {} empty</p>",
                Text(arm),
                grouped(total.requests),
                grouped(total.errors),
                grouped(total.slow),
                grouped(total.fallbacks),
                grouped(total.empty)
            )
        })
        .collect();
    let table = format!(
        "<table><tr><th>Answers<th>Arm<th>Evidence (full: rolled back)<th class=n>log</tr>{rows}</table>{totals}"
    );
    section("wide", "Operations", &table)
}

fn health(view: &View<'_>, evidence: &Evidence) -> String {
    let health = &evidence.health;
    let crossover =
        health.crossover_units as f64 / evidence.arms.iter().map(|arm| arm.units).sum::<u64>().max(1) as f64;
    let dropped: u64 = health.dropped.iter().sum();
    let counts = [
        ("Exposures", health.exposures, false),
        ("Outcomes", health.outcomes, false),
        ("Duplicate exposures, left out", health.duplicate_exposures, false),
        ("Duplicate outcomes, left out", health.duplicate_outcomes, false),
        ("Late, left out", health.late, false),
        (
            "Outcomes of users not exposed",
            health.outcomes_of_unknown_units,
            false,
        ),
        (
            "Outcomes from before the first exposure, left out",
            health.outcomes_before_exposure,
            false,
        ),
        (
            "Outcomes after the last window, left out",
            health.outcomes_after_window,
            false,
        ),
        (
            "Outcomes of users seen in two arms, left out",
            health.outcomes_of_crossover_units,
            false,
        ),
        (
            "Outcomes beyond 10,000 of one user, left out",
            health.outcomes_beyond_bound,
            health.outcomes_beyond_bound > 0,
        ),
        (
            "Exposures of arms that there are not, left out",
            health.exposures_of_other_arms,
            health.exposures_of_other_arms > 0,
        ),
        (
            "Outcomes of other types, left out",
            health.outcomes_of_other_types,
            false,
        ),
        (
            "From the future or the far past, left out",
            health.misdated,
            false,
        ),
        (
            "Values that are no number, left out",
            health.unusable_values,
            false,
        ),
        (
            "Users seen in two arms, left out",
            health.crossover_units,
            crossover > 0.005,
        ),
        ("Answers never recorded", dropped, dropped > 0),
        (
            "Files that can't be read",
            health.damaged_files.len() as u64,
            !health.damaged_files.is_empty(),
        ),
    ];
    let rows: String = counts
        .iter()
        .map(|(name, count, bad)| {
            let class = if *bad { " bad" } else { "" };
            format!(
                "<tr><td>{name}</td><td class=\"n{class}\">{}</td></tr>",
                grouped(*count)
            )
        })
        .collect();
    let analysed = format!(
        "<p class=note>Analysed up to {}, {} s before this page; {} files. <a href=\"{}\" download>The sums as JSON</a> \
         ({FORMULAS}).</p>",
        evidence.analysed_at,
        view.now.since(evidence.analysed_at).as_secs(),
        grouped(health.files),
        Text(view.statistics)
    );
    section("wide", "Data health", &format!("<table>{rows}</table>{analysed}"))
}
