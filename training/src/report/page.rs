//! The page: tables and charts of one run.

use std::collections::BTreeMap;

use gondola_pages::chart::{Bars, Group, Line, UnitSquare};
use gondola_pages::{Document, Layout, section};
use maud::{Markup, html};

use super::Summary;
use super::table::Table;
use super::{comparison, reference};
use crate::evaluate::{InputValue, Latency, ScorerQuality};

/// Inputs that the chart of importances shows.
const IMPORTANCES_SHOWN: usize = 20;

pub(super) fn render(summary: &Summary) -> String {
    let title = format!("Gondola: {}", summary.dataset);
    let document = Document {
        title: &title,
        layout: Layout::Article,
        refresh: None,
        body: body(&title, summary),
    };
    document.render()
}

fn body(title: &str, summary: &Summary) -> Markup {
    html! {
        h1 { (title) }
        @if !summary.verdict.is_empty() { p { b { (summary.verdict) } } }
        p { (summary.windows) }
        (section("Data", &data(summary)))
        (section("Scorers on labeled pairs of the test window", &scorers(summary)))
        (section("Candidates: recall of what was bought", &candidates(summary)))
        (section("Lists of 12 for every buyer of the test window", &lists(summary)))
        (section("What the inputs are worth", &importances(summary)))
        (section("Latency by stage, one request at a time, in process", &latency(summary)))
        (section("What scorers cost", &comparison::costs(summary).html()))
        (section("Bundles", &bundles(summary)))
        (section("What the run took", &steps(summary)))
    }
}

fn data(summary: &Summary) -> Markup {
    html! {
        @for notice in &summary.notices {
            p.notice { b { "Look at this first." } " " (notice) "." }
        }
        (comparison::facts(summary).html())
    }
}

fn scorers(summary: &Summary) -> Markup {
    html! {
        p.note { "In brackets: 95 % bootstrap intervals over users." }
        (comparison::pairs(summary).html())
        (roc(summary))
        p.note { (reference::NOTE) }
        (reference::table().html())
    }
}

fn candidates(summary: &Summary) -> Markup {
    comparison::retrieval(summary).html()
}

fn roc(summary: &Summary) -> Markup {
    let lines: Vec<Line<'_>> = summary
        .scorers
        .iter()
        .map(|scorer| Line {
            name: format!("{} ({:.3})", scorer.name, scorer.metrics.auc),
            points: &scorer.metrics.roc,
        })
        .collect();
    let chart = UnitSquare {
        x_title: "false positive rate",
        y_title: "true positive rate",
        lines: &lines,
    };
    chart.draw()
}

fn lists(summary: &Summary) -> Markup {
    let variants = summary.variants.iter().map(|variant| &variant.quality);
    let groups: Vec<Group> = summary
        .baselines
        .iter()
        .chain(variants)
        .map(|quality| Group {
            label: quality.name.clone(),
            values: vec![quality.metrics.recall, quality.metrics.map, quality.metrics.ndcg],
        })
        .collect();
    let chart = Bars {
        series: &["Recall@12", "MAP@12", "nDCG@12"],
        groups: &groups,
        format: &|value| format!("{value:.4}"),
    };
    html! { (comparison::lists(summary).html()) (chart.draw()) }
}

/// Share of the gain for trees, and drop in AUC where it was asked for.
fn importances(summary: &Summary) -> Markup {
    html! {
        p.note { "The first " (IMPORTANCES_SHOWN) " inputs." }
        @for scorer in &summary.scorers { (importances_of(scorer)) }
    }
}

fn importances_of(scorer: &ScorerQuality) -> Markup {
    let gains = InputChart {
        what: "share of the gain of all splits",
        inputs: &scorer.gains,
        format: &|value| format!("{:.1} %", value * 100.0),
    };
    let drops = InputChart {
        what: "drop in AUC when an input's values change places",
        inputs: &scorer.permuted,
        format: &|value| format!("{value:.4}"),
    };
    html! { (gains.draw(&scorer.name)) (drops.draw(&scorer.name)) }
}

/// One number of each input.
struct InputChart<'a> {
    what: &'static str,
    inputs: &'a [InputValue],
    format: &'a dyn Fn(f64) -> String,
}

impl InputChart<'_> {
    /// The chart under its heading; nothing where there are no numbers.
    fn draw(&self, scorer: &str) -> Markup {
        if self.inputs.is_empty() {
            return Markup::default();
        }
        let shown = self.inputs.iter().take(IMPORTANCES_SHOWN);
        let groups: Vec<Group> = shown
            .map(|input| Group {
                label: input.input.clone(),
                values: vec![input.value],
            })
            .collect();
        let bars = Bars {
            series: &["input"],
            groups: &groups,
            format: self.format,
        };
        html! {
            h3 { (scorer) ": " (self.what) }
            (bars.draw())
        }
    }
}

fn latency(summary: &Summary) -> Markup {
    html! {
        p.note { (summary.machine) }
        @for variant in &summary.variants {
            h3 { (variant.quality.name) }
            (stages(&variant.latency))
        }
    }
}

fn stages(latency: &BTreeMap<String, Latency>) -> Markup {
    let groups: Vec<Group> = latency
        .iter()
        .map(|(stage, latency)| Group {
            label: stage.clone(),
            values: vec![latency.median, latency.p99],
        })
        .collect();
    let bars = Bars {
        series: &["median", "99th percentile"],
        groups: &groups,
        format: &|value| format!("{value:.0} µs"),
    };
    bars.draw()
}

fn bundles(summary: &Summary) -> Markup {
    html! {
        table {
            tr { th { "name" } th { "version" } th { "digest" } }
            @for bundle in &summary.bundles {
                tr {
                    td { (bundle.name) }
                    td { code { (bundle.version) } }
                    td { code { (bundle.digest.to_string()) } }
                }
            }
        }
    }
}

fn steps(summary: &Summary) -> Markup {
    let total: f64 = summary.steps.iter().map(|step| step.seconds).sum();
    let peak = summary.peak_memory_bytes as f64 / (1 << 30) as f64;
    let steps = summary
        .steps
        .iter()
        .map(|step| vec![step.step.clone(), format!("{:.1}", step.seconds)]);
    let table = Table {
        head: vec!["step", "seconds"],
        rows: steps.collect(),
    };
    html! {
        p { (format!("{total:.0} seconds, {peak:.2} GiB of memory at most.")) }
        (table.html())
    }
}
