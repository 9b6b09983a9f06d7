//! The page: tables and charts of one run.

use super::Summary;
use super::chart::{Line, bars, escape, unit_lines};
use super::table::Table;
use super::{comparison, reference};
use crate::evaluate::Quality;

/// Inputs that the chart of importances shows.
const IMPORTANCES_SHOWN: usize = 20;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse } td, th { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid #ddd }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
svg { max-width: 100%; height: auto } svg text { font: 11px system-ui, sans-serif; fill: #333 }
.grid { stroke: #e4e4e4 } .chance { stroke: #aaa; stroke-dasharray: 4 4 } code { font-size: .85em }
p.note { color: #555 } p.notice { background: #fff3cd; padding: .5rem .8rem }";

/// Renders the page.
pub fn render(summary: &Summary) -> String {
    let title = format!("Gondola: {}", summary.dataset);
    let body = [
        format!("<h1>{}</h1><p>{}</p>", escape(&title), escape(&summary.windows)),
        section("Data", &(notices(summary) + &comparison::facts(summary).html())),
        section("Scorers on labelled pairs of the test window", &scorers(summary)),
        section(
            "Candidates: how much of what was bought is among them",
            &comparison::retrieval(summary).html(),
        ),
        section(
            "Lists of 12 for every buyer of the test window",
            &quality(summary),
        ),
        section("What the inputs are worth", &importances(summary)),
        section(
            "Latency by stage, one request at a time, in process",
            &latency(summary),
        ),
        section("What scorers cost", &comparison::costs(summary).html()),
        section("Bundles", &bundles(summary)),
        section("What the run took", &steps(summary)),
    ]
    .concat();
    format!(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(&title)
    )
}

fn section(title: &str, content: &str) -> String {
    format!("<section><h2>{}</h2>{content}</section>", escape(title))
}

fn notices(summary: &Summary) -> String {
    let notices = summary.notices.iter();
    notices
        .map(|notice| {
            format!(
                "<p class='notice'><b>Look at this first.</b> {}.</p>",
                escape(notice)
            )
        })
        .collect()
}

fn scorers(summary: &Summary) -> String {
    format!(
        "<p class='note'>In brackets: 95 of 100 draws of users.</p>{}{}<p class='note'>{}</p>{}",
        comparison::pairs(summary).html(),
        roc(summary),
        escape(reference::NOTE),
        reference::table().html()
    )
}

fn roc(summary: &Summary) -> String {
    let lines: Vec<Line<'_>> = summary
        .scorers
        .iter()
        .map(|scorer| Line {
            name: format!("{} ({:.3})", scorer.name, scorer.metrics.auc),
            points: &scorer.metrics.roc,
        })
        .collect();
    unit_lines("false positive rate", "true positive rate", &lines)
}

fn quality(summary: &Summary) -> String {
    let all: Vec<&Quality> = summary
        .baselines
        .iter()
        .chain(summary.variants.iter().map(|variant| &variant.quality))
        .collect();
    let groups: Vec<(String, Vec<f64>)> = all
        .iter()
        .map(|quality| {
            (
                quality.name.clone(),
                vec![quality.metrics.recall, quality.metrics.map, quality.metrics.ndcg],
            )
        })
        .collect();
    comparison::lists(summary).html()
        + &bars(&["Recall@12", "MAP@12", "nDCG@12"], &groups, |value| {
            format!("{value:.4}")
        })
}

/// Share of the gain for trees, and drop in AUC where it was asked for.
fn importances(summary: &Summary) -> String {
    let charts = summary.scorers.iter().map(|scorer| {
        let percent = |value: f64| format!("{:.1} %", value * 100.0);
        chart_of_inputs(
            &scorer.name,
            "share of the gain of all splits",
            &scorer.gains,
            percent,
        ) + &chart_of_inputs(
            &scorer.name,
            "drop in AUC when an input's values change places",
            &scorer.permuted,
            |value| format!("{value:.4}"),
        )
    });
    format!(
        "<p class='note'>The first {IMPORTANCES_SHOWN} inputs.</p>{}",
        charts.collect::<String>()
    )
}

fn chart_of_inputs(
    scorer: &str,
    what: &str,
    inputs: &[(String, f64)],
    format: impl Fn(f64) -> String,
) -> String {
    if inputs.is_empty() {
        return String::new();
    }
    let shown = inputs.iter().take(IMPORTANCES_SHOWN);
    let groups: Vec<(String, Vec<f64>)> = shown.map(|(name, value)| (name.clone(), vec![*value])).collect();
    format!(
        "<h3>{}: {}</h3>{}",
        escape(scorer),
        escape(what),
        bars(&["input"], &groups, format)
    )
}

fn latency(summary: &Summary) -> String {
    let charts = summary.variants.iter().map(|variant| {
        let groups: Vec<(String, Vec<f64>)> = variant
            .latency
            .iter()
            .map(|(stage, (median, tail))| (stage.clone(), vec![*median, *tail]))
            .collect();
        let chart = bars(&["median", "99th percentile"], &groups, |value| {
            format!("{value:.0} µs")
        });
        format!("<h3>{}</h3>{chart}", escape(&variant.quality.name))
    });
    format!("<p class='note'>{}</p>", escape(&summary.machine)) + &charts.collect::<String>()
}

fn bundles(summary: &Summary) -> String {
    let rows = summary.bundles.iter().map(|(name, version, digest)| {
        format!(
            "<tr><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>",
            escape(name),
            escape(version),
            escape(digest)
        )
    });
    format!(
        "<table><tr><th>name</th><th>version</th><th>digest</th></tr>{}</table>",
        rows.collect::<String>()
    )
}

fn steps(summary: &Summary) -> String {
    let total: f64 = summary.steps.iter().map(|(_, seconds)| seconds).sum();
    let peak = summary.peak_memory_bytes as f64 / (1 << 30) as f64;
    let steps = summary
        .steps
        .iter()
        .map(|(step, seconds)| vec![step.clone(), format!("{seconds:.1}")]);
    let table = Table {
        head: vec!["step", "seconds"],
        rows: steps.collect(),
    };
    format!(
        "<p>{total:.0} seconds, {peak:.2} GiB of memory at most.</p>{}",
        table.html()
    )
}
