//! The page of a comparison.

use gondola_pages::chart::{Bars, Group, Range, Ranges};
use gondola_pages::{Document, Layout, section};
use maud::{Markup, html};

use super::Scoreboard;
use super::standing::{Difference, Standing};
use crate::evaluate::bootstrap::Interval;
use crate::report::Table;

pub(super) fn render(board: &Scoreboard) -> String {
    let title = format!("Gondola: scoreboard of {}", board.dataset);
    let document = Document {
        title: &title,
        layout: Layout::Article,
        refresh: None,
        body: html! {
            h1 { (title) }
            p { b { (board.verdict) } }
            p { (board.task) }
            @for missing in &board.missing { p.notice { (missing) } }
            (section("How good lists are", &html! { (gains(board)) (accuracy(board).html()) }))
            (section("Behind the first, and beside EASE^R, user by user", &html! { (behind(board)) (differences(board).html()) }))
            (section("What is found among 200", &deep(board)))
            (section("What lists are besides right", &character(board).html()))
            (section("What models cost", &html! { p.note { (board.machine) } (costs(board).html()) }))
            (section("Settings", &settings(board)))
        },
    };
    document.render()
}

/// A model with its maker.
fn name(standing: &Standing) -> String {
    format!("{} ({})", standing.name, standing.maker)
}

fn gains(board: &Scoreboard) -> Markup {
    let title = "nDCG@10, with 95 % intervals over users";
    ranges(board, title, of_gain, |chart| chart.draw())
}

/// How good lists are, as a picture of its own.
pub(super) fn picture(board: &Scoreboard) -> String {
    let title = format!("{}: nDCG@10, with 95 % intervals over users", board.dataset);
    ranges(board, &title, of_gain, |chart| chart.picture())
}

fn of_gain(standing: &Standing) -> (f64, Interval) {
    (standing.worth.ndcg, standing.ndcg)
}

fn behind(board: &Scoreboard) -> Markup {
    let title = "nDCG@10 less that of the first, with 95 % intervals over users";
    let of = |standing: &Standing| (standing.to_first.mean, standing.to_first.interval);
    ranges(board, title, of, |chart| chart.draw())
}

/// A value of each model with its interval, drawn in some way.
fn ranges<T>(
    board: &Scoreboard,
    title: &str,
    of: impl Fn(&Standing) -> (f64, Interval),
    draw: impl Fn(&Ranges<'_>) -> T,
) -> T {
    let range = |standing: &Standing| {
        let (value, Interval { low, high }) = of(standing);
        Range {
            label: name(standing),
            value,
            low,
            high,
        }
    };
    let chart = Ranges {
        title,
        ranges: &board.standings.iter().map(range).collect::<Vec<_>>(),
        format: &|value| format!("{value:.4}"),
    };
    draw(&chart)
}

fn deep(board: &Scoreboard) -> Markup {
    let group = |standing: &Standing| Group {
        label: name(standing),
        values: vec![standing.worth.deep_recall],
    };
    let chart = Bars {
        series: &["Recall@200"],
        groups: &board.standings.iter().map(group).collect::<Vec<_>>(),
        format: &|value| format!("{value:.4}"),
    };
    chart.draw()
}

pub(super) fn accuracy(board: &Scoreboard) -> Table {
    table(
        board,
        vec![
            "model",
            "nDCG@10",
            "95 %",
            "Recall@10",
            "MAP@10",
            "MRR@10",
            "Recall@200",
        ],
        |standing| {
            let worth = standing.worth;
            vec![
                figure(worth.ndcg),
                format!("{:.4} to {:.4}", standing.ndcg.low, standing.ndcg.high),
                figure(worth.recall),
                figure(worth.map),
                figure(worth.mrr),
                figure(worth.deep_recall),
            ]
        },
    )
}

fn differences(board: &Scoreboard) -> Table {
    let written = |difference: &Difference| {
        let Difference { mean, interval } = difference;
        format!("{mean:+.4} ({:+.4} to {:+.4})", interval.low, interval.high)
    };
    table(
        board,
        vec!["model", "to the first (95 %)", "to EASE^R (95 %)"],
        |standing| {
            let to_ease = standing.to_ease.as_ref().map_or_else(String::new, written);
            vec![written(&standing.to_first), to_ease]
        },
    )
}

fn character(board: &Scoreboard) -> Table {
    table(
        board,
        vec![
            "model",
            "coverage",
            "novelty, bits",
            "new items",
            "repeats",
            "miscalibration, nats",
        ],
        |standing| {
            let character = standing.character;
            vec![
                percent(character.coverage),
                format!("{:.2}", character.novelty),
                percent(character.new_items),
                percent(character.repeats),
                character
                    .miscalibration
                    .map_or_else(String::new, |far| format!("{far:.2}")),
            ]
        },
    )
}

fn costs(board: &Scoreboard) -> Table {
    table(
        board,
        vec![
            "model",
            "settings tried",
            "seconds to tune",
            "seconds to fit",
            "seconds for a million lists",
            "process, MiB",
        ],
        |standing| {
            let memory = standing.peak_memory_bytes;
            vec![
                standing.trials.to_string(),
                format!("{:.1}", standing.tuning_seconds),
                format!("{:.2}", standing.fit_seconds),
                format!("{:.0}", standing.million_seconds),
                memory.map_or_else(String::new, |bytes| (bytes >> 20).to_string()),
            ]
        },
    )
}

fn settings(board: &Scoreboard) -> Markup {
    html! {
        table {
            tr { th { "model" } th { "settings" } }
            @for standing in &board.standings {
                tr { td { (name(standing)) } td { code { (standing.settings.to_string()) } } }
            }
        }
    }
}

fn table(board: &Scoreboard, head: Vec<&'static str>, cells: impl Fn(&Standing) -> Vec<String>) -> Table {
    let row = |standing: &Standing| [vec![name(standing)], cells(standing)].concat();
    Table {
        head,
        rows: board.standings.iter().map(row).collect(),
    }
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
