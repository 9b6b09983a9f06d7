//! What the arms differ in: lift over time, guardrails, and whether users are split as planned.

use gondola_pages::chart::{Interval, Level, LevelKind, Moment, Timeline};
use gondola_pages::{section, wide_section};
use maud::{Markup, html};

use crate::assess::{Assessment, Comparison, GuardrailComparison};
use crate::percent::{share, signed};
use crate::report::success_verdict;
use crate::settings::Settings;
use crate::statistics::guardrail::GuardrailVerdict;
use crate::statistics::planning::detectable_lift;
use crate::statistics::sample_ratio::DETECT;

/// The least effect on a comparison's metric that is worth a promotion; 0 where none is asked for.
pub(super) fn min_effect(settings: &Settings, comparison: &Comparison) -> f64 {
    let mut success = settings.success.iter();
    success
        .find(|success| success.metric.name == comparison.metric)
        .map_or(0.0, |success| success.min_effect)
}

/// A metric's lift over time, in one arm.
pub(super) fn lift(settings: &Settings, comparison: &Comparison) -> Markup {
    let verdict = success_verdict(comparison);
    let arm = &settings.arms[comparison.arm].name;
    let title = format!(
        "{} of {arm} against {}: {verdict}",
        comparison.metric,
        settings.control()
    );
    let content = html! {
        (lift_chart(settings, comparison, &title).draw())
        p.note { (lift_note(settings, comparison)) }
    };
    wide_section(&title, &content)
}

fn lift_chart<'a>(settings: &Settings, comparison: &Comparison, title: &'a str) -> Timeline<'a> {
    let latest = comparison.latest.and_then(|latest| latest.lift);
    let level = |value, kind| Level { value, kind };
    let min_effect = min_effect(settings, comparison);
    let limit = (min_effect > 0.0).then(|| level(min_effect, LevelKind::Limit));
    let course = comparison.course.iter();
    Timeline {
        title,
        width: 1000.0,
        height: 260.0,
        moments: course
            .map(|point| Moment {
                label: format!("{:.0}", point.at),
                value: point.lift,
                band: point.interval.map(|interval| (interval.low, interval.high)),
            })
            .collect(),
        levels: [level(0.0, LevelKind::Zero)].into_iter().chain(limit).collect(),
        label: signed,
        max_shown: 6.0 * latest.map_or(0.1, f64::abs).max(0.05),
    }
}

fn lift_note(settings: &Settings, comparison: &Comparison) -> String {
    let latest = comparison.latest.and_then(|latest| latest.lift);
    let lift = latest.map_or_else(|| "not known yet".to_owned(), signed);
    let between = comparison.interval.map_or_else(
        || "not bounded yet".to_owned(),
        |interval| format!("between {} and {}", signed(interval.low), signed(interval.high)),
    );
    let anytime = format!("Lift {lift}, at any time {between}, p {:.4}.", comparison.p);
    let planned_read = comparison.final_read.map(|read| {
        format!(
            " The planned read: p {:.4}, corrected {:.4}.",
            read.p, read.corrected
        )
    });
    let detectable = detectable(settings, comparison).map(|lift| {
        format!(
            " With these users, {} would be found with a power of {}.",
            signed(lift),
            share(settings.power)
        )
    });
    [Some(anytime), planned_read, detectable]
        .into_iter()
        .flatten()
        .collect()
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

/// What must not get worse.
pub(super) fn guardrails(settings: &Settings, assessment: &Assessment) -> Markup {
    let content = html! {
        @if assessment.guardrails.is_empty() {
            p { "None is asked for." }
        } @else {
            table {
                tr { th { "Metric" } th { "Arm" } th { "Relative difference" } th { "Verdict" } }
                @for guardrail in &assessment.guardrails { (guardrail_row(settings, guardrail)) }
            }
            p.note { "The red line is the margin: a band to the right of it harms nothing." }
        }
    };
    section("Guardrails", &content)
}

fn guardrail_row(settings: &Settings, guardrail: &GuardrailComparison) -> Markup {
    let class = match guardrail.verdict {
        GuardrailVerdict::NonInferior => "good",
        GuardrailVerdict::Harm => "bad",
        GuardrailVerdict::Undecided => "wait",
    };
    let verdict = format!("{:?}", guardrail.verdict);
    html! {
        tr {
            td { (guardrail.metric) }
            td { (settings.arms[guardrail.arm].name) }
            td { (relative_difference(guardrail)) }
            td class=(class) { (verdict) }
        }
    }
}

fn relative_difference(guardrail: &GuardrailComparison) -> Markup {
    let Some(interval) = guardrail.interval else {
        return html! { "not bounded yet" };
    };
    let title = format!("between {} and {}", signed(interval.low), signed(interval.high));
    let bar = Interval {
        title: &title,
        low: interval.low,
        high: interval.high,
        limit: -guardrail.margin,
        max_shown: 4.0 * guardrail.margin.max(0.01),
    };
    html! { (bar.draw()) (title) }
}

/// Whether each arm has as many users as it should.
pub(super) fn sample_ratio(assessment: &Assessment) -> Markup {
    let ratio = &assessment.sample_ratio;
    let chart = Timeline {
        title: "p of the shares of users over time, as its logarithm",
        width: 480.0,
        height: 200.0,
        moments: ratio
            .course
            .iter()
            .map(|(at, p)| Moment {
                label: format!("{at:.0}"),
                value: Some(p.max(1e-8).log10()),
                band: None,
            })
            .collect(),
        levels: vec![Level {
            value: DETECT.log10(),
            kind: LevelKind::Limit,
        }],
        label: |height| format!("{:.0e}", 10_f64.powf(height)),
        max_shown: 8.0,
    };
    let (class, word) = if ratio.detected {
        ("bad", "not as planned")
    } else {
        ("good", "as planned")
    };
    let figures = format!(
        ": {:?}, p {:.4} at any time, chi-square p {:.4} today.",
        ratio.counts, ratio.p, ratio.chi_square_p
    );
    let content = html! {
        (chart.draw())
        p.note { "Users are split " span class=(class) { (word) } (figures) }
    };
    section("Sample ratio", &content)
}
