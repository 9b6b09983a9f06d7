//! The page of an experiment: one HTML document without scripts or outside assets, as a pure function of a
//! step.
//!
//! From top to bottom: the verdict in a sentence, what would change it, lift over time, arms, guardrails,
//! sample ratio, ramp, operations, and how complete the data are. The sums themselves are a link away, so
//! that an analyst can compute all of it again. The frame around it, its style and its charts are
//! `gondola-pages`'.

mod health;
mod metrics;
mod progress;
mod sections;

use std::time::Duration;

use gondola_pages::{Document, Layout};
use gondola_wire::evidence::Evidence;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::report::sentence;
use crate::settings::Settings;
use crate::step::Step;

/// Names the formulas, so that whoever computes them again knows which.
pub const FORMULAS: &str = "gondola-statistics/1";

/// After how long a browser asks again: evidence comes by the minute.
const REFRESH: Duration = Duration::from_secs(30);

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
    pub now: Timestamp,
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
    let title = format!("{} · {pipeline}", settings.name);
    let body = html! {
        header {
            p.where { (pipeline) ", epoch " (step.ledger.epoch) " " (phase(step.ledger.phase.as_str())) }
            h1 { (settings.name) }
            p.verdict { (sentence(settings, step)) }
        }
        (sections::all(view))
    };
    document(&title, body)
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
    let list = html! {
        @if entries.is_empty() {
            p { "No pipeline has an experiment." }
        } @else {
            table {
                tr { th { "Experiment" } th { "Pipeline" } th { "Phase" } th { "Verdict" } }
                @for entry in entries { (row(entry)) }
            }
        }
    };
    let body = html! {
        header { h1 { "Experiments" } }
        section { (list) }
    };
    document("Experiments", body)
}

fn row(entry: &Entry) -> Markup {
    html! {
        tr {
            td { a href=(entry.link) { (entry.name) } }
            td { (entry.pipeline) }
            td { (phase(entry.phase)) }
            td { (entry.sentence) }
        }
    }
}

fn phase(name: &str) -> Markup {
    html! { span class={ "phase " (name) } { (name) } }
}

fn document(title: &str, body: Markup) -> String {
    let document = Document {
        title,
        layout: Layout::Panels,
        refresh: Some(REFRESH),
        body,
    };
    document.render()
}

#[cfg(test)]
mod tests;
