//! The page of an experiment: one HTML document without scripts or outside assets, as a pure function of a step.
//!
//! From top to bottom: the verdict in a sentence, what would change it, lift over time, arms, guardrails, sample ratio, ramp,
//! operations, and how complete the data are. The sums themselves are a link away, so that an analyst can compute all of it anew.

mod chart;
mod sections;

use std::fmt;

use crate::evidence::Evidence;
use crate::moment::Moment;
use crate::report::sentence;
use crate::settings::Settings;
use crate::step::Step;

/// Names the formulas, so that who computes them anew knows which.
pub const FORMULAS: &str = "gondola-statistics/1";

/// What a page shows.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The pipeline, as `namespace/name`.
    pub pipeline: &'a str,
    /// The experiment in numbers.
    pub settings: &'a Settings,
    /// Where it stands.
    pub step: &'a Step,
    /// What that was read from.
    pub evidence: Option<&'a Evidence>,
    /// When the page is made.
    pub now: Moment,
    /// Where the sums can be fetched as JSON.
    pub statistics: &'a str,
}

/// The page.
pub fn page(view: &View<'_>) -> String {
    let View {
        pipeline,
        settings,
        step,
        ..
    } = view;
    let phase = step.ledger.phase.as_str();
    let title = format!("{} · {pipeline}", settings.name);
    let body = format!(
        "<header><p class=where>{} <span class=\"phase {phase}\">{phase}</span></p><h1>{}</h1><p class=verdict>{}</p></header>{}",
        Text(&format!("{pipeline}, epoch {}", step.ledger.epoch)),
        Text(&settings.name),
        Text(&sentence(settings, step)),
        sections::all(view),
    );
    document(&title, &body)
}

/// An experiment in the list of all.
pub struct Entry {
    /// Where its page is.
    pub link: String,
    /// The pipeline, as `namespace/name`.
    pub pipeline: String,
    /// The experiment's name.
    pub name: String,
    /// Where it stands.
    pub phase: &'static str,
    /// The verdict in a sentence.
    pub sentence: String,
}

/// The list of all experiments.
pub fn index(entries: &[Entry]) -> String {
    let rows: String = entries
        .iter()
        .map(|entry| {
            format!(
                "<tr><td><a href=\"{}\">{}</a></td><td>{}</td><td><span class=\"phase {}\">{}</span></td><td>{}</td></tr>",
                Text(&entry.link),
                Text(&entry.name),
                Text(&entry.pipeline),
                entry.phase,
                entry.phase,
                Text(&entry.sentence)
            )
        })
        .collect();
    let list = if entries.is_empty() {
        "<p>No pipeline has an experiment.</p>".to_owned()
    } else {
        format!("<table><tr><th>Experiment<th>Pipeline<th>Phase<th>Verdict</tr>{rows}</table>")
    };
    document(
        "Experiments",
        &format!("<header><h1>Experiments</h1></header><section>{list}</section>"),
    )
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=refresh content=30><title>{}</title><style>{}</style><main>{body}</main></html>",
        Text(title),
        include_str!("page/style.css")
    )
}

/// Text inside HTML, as it is meant.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
