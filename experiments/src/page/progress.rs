//! How far the experiment is: the stages of its ramp, earlier epochs, and what operations say.

use std::cmp::Ordering;

use gondola_pages::chart::{Fill, Gauge};
use gondola_pages::wide_section;
use gondola_wire::evidence::Evidence;
use maud::{Markup, html};

use super::View;
use crate::percent::share;
use crate::report::grouped;
use crate::settings::Settings;
use crate::statistics::operations::log_evidence;

/// The stages, and the epochs before this one.
pub(super) fn ramp(view: &View<'_>) -> Markup {
    let content = html! {
        table { @for place in 0..view.settings.stages.len() { (stage_row(view, place)) } }
        @for past in &view.step.ledger.history {
            p.note {
                (past.name) " epoch " (past.epoch) ": " (past.phase.as_str()) " "
                (past.reason.as_deref().unwrap_or_default())
            }
        }
    };
    wide_section("Ramp", &content)
}

fn stage_row(view: &View<'_>, place: usize) -> Markup {
    let ledger = &view.step.ledger;
    let (fill, word) = match place.cmp(&(ledger.stage as usize)) {
        Ordering::Less => (Fill::Done, "done".to_owned()),
        Ordering::Equal => (
            Fill::Current,
            ledger.stage_since.map_or_else(
                || "on its way to the routers".to_owned(),
                |since| format!("since {since:.0}"),
            ),
        ),
        Ordering::Greater => (Fill::Pending, String::new()),
    };
    let part = view.settings.stages[place].buckets.share();
    let title = share(part);
    let gauge = Gauge {
        title: &title,
        part,
        fill,
    };
    html! { tr { td.number { (title) } td { (gauge.draw()) } td { (word) } } }
}

/// The evidence against each arm, and what was answered.
pub(super) fn operations(settings: &Settings, evidence: &Evidence) -> Markup {
    let totals = evidence.operations.totals.iter().zip(settings.arms.iter());
    let content = html! {
        table {
            tr { th { "Answers" } th { "Arm" } th { "Evidence (full: rolled back)" } th.number { "log" } }
            @for weighed in &evidence.operations.weighed {
                @for (found, (_, arm)) in weighed.arms.iter().zip(settings.arms.treatments()) {
                    (evidence_row(settings, weighed.kind.as_str(), &arm.name, log_evidence(found)))
                }
            }
        }
        @for (total, arm) in totals {
            p.note {
                (arm.name) ": " (grouped(total.requests)) " requests, " (grouped(total.errors)) " errors, "
                (grouped(total.slow)) " slow, " (grouped(total.fallbacks)) " fallbacks, "
                (grouped(total.empty)) " empty"
            }
        }
    };
    wide_section("Operations", &content)
}

fn evidence_row(settings: &Settings, kind: &str, arm: &str, log: f64) -> Markup {
    let enough = (1.0 / settings.operations.alpha).ln();
    let figure = format!("{log:.1}");
    let title = format!("{figure} of {enough:.1}");
    let gauge = Gauge {
        title: &title,
        part: log / enough,
        fill: if log >= enough { Fill::Alarm } else { Fill::Current },
    };
    html! { tr { td { (kind) } td { (arm) } td { (gauge.draw()) } td.number { (figure) } } }
}
