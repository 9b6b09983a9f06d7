//! How complete the data are: what was read, and what was left out and why.

use gondola_pages::wide_section;
use gondola_wire::evidence::{Evidence, Health};
use gondola_wire::time::since;
use maud::{Markup, html};

use super::{FORMULAS, View};
use crate::report::grouped;

/// The share of users seen in two arms above which something assigns them wrongly.
const MAX_CROSSOVER: f64 = 0.005;

/// A count, and whether somebody should look into it.
struct Count {
    name: &'static str,
    count: u64,
    is_bad: bool,
}

/// What was read, and what was left out.
pub(super) fn section(view: &View<'_>, evidence: &Evidence) -> Markup {
    let content = html! {
        table { @for count in counts(evidence) { (count.row()) } }
        p.note {
            "Analyzed up to " (format!("{:.0}", evidence.analyzed_at)) ", "
            (since(evidence.analyzed_at, view.now).as_secs()) " s before this page; "
            (grouped(evidence.health.files)) " files. "
            a href=(view.statistics) download { "The sums as JSON" } " (" (FORMULAS) ")."
        }
    };
    wide_section("Data health", &content)
}

impl Count {
    fn row(&self) -> Markup {
        html! { tr { td { (self.name) } td.number.bad[self.is_bad] { (grouped(self.count)) } } }
    }
}

/// A count of something that happens.
fn usual(name: &'static str, count: u64) -> Count {
    let is_bad = false;
    Count { name, count, is_bad }
}

/// A count of something that must not happen.
fn fault(name: &'static str, count: u64) -> Count {
    let is_bad = count > 0;
    Count { name, count, is_bad }
}

fn counts(evidence: &Evidence) -> Vec<Count> {
    let health: &Health = &evidence.health;
    let units: u64 = evidence.arms.iter().map(|arm| arm.units).sum();
    let crossover = health.crossover_units as f64 / units.max(1) as f64;
    let dropped: u64 = health.dropped.iter().sum();
    vec![
        usual("Exposures", health.exposures),
        usual("Outcomes", health.outcomes),
        usual("Duplicate exposures, left out", health.duplicate_exposures),
        usual("Duplicate outcomes, left out", health.duplicate_outcomes),
        usual("Late, left out", health.late),
        usual("Outcomes of users not exposed", health.outcomes_of_unknown_units),
        usual(
            "Outcomes from before the first exposure, left out",
            health.outcomes_before_exposure,
        ),
        usual(
            "Outcomes after the last window, left out",
            health.outcomes_after_window,
        ),
        usual(
            "Outcomes of users seen in two arms, left out",
            health.outcomes_of_crossover_units,
        ),
        fault(
            "Outcomes beyond 10,000 of one user, left out",
            health.outcomes_beyond_bound,
        ),
        fault(
            "Exposures of arms that there are not, left out",
            health.exposures_of_other_arms,
        ),
        usual(
            "Outcomes of other types, left out",
            health.outcomes_of_other_types,
        ),
        usual("From the future or the far past, left out", health.misdated),
        usual("Values that are no number, left out", health.unusable_values),
        Count {
            name: "Users seen in two arms, left out",
            count: health.crossover_units,
            is_bad: crossover > MAX_CROSSOVER,
        },
        fault("Answers never recorded", dropped),
        fault("Files that can't be read", health.damaged_files.len() as u64),
    ]
}
