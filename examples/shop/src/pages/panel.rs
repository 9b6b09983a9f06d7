//! The panel at the bottom: what the pipeline said, and what it was told.
//!
//! For each question of the page it shows the variant that answered, why it was this one, how long each stage took, what is degraded,
//! and the bundles; and [why] each product is shown. Another variant can be chosen here, and what is [known] of the customer changed;
//! and here is what the customer did, as the pipeline took it.

use std::collections::BTreeMap;

use gondola_request::Explanation;
use maud::{Markup, html};

mod known;
mod why;

use super::links;
use crate::catalogue::Catalogue;
use crate::pipeline::Asked;
use crate::pipeline::answer::{Answer, Loaded};
use crate::visit::Visit;

/// Digits of a digest that are shown.
const DIGITS: usize = 12;

/// What the panel shows.
pub(crate) struct Panel<'a> {
    /// The questions of this page, with the names of their shelves.
    pub(crate) asked: &'a [(&'a str, &'a Asked)],
    /// What became of products in the list for the customer, or why that is not known.
    pub(crate) why: &'a Result<Vec<Explanation>, String>,
    /// The variants to choose from, or why they are not known.
    pub(crate) loaded: &'a Result<Loaded, String>,
    /// Who looks.
    pub(crate) visit: &'a Visit,
    /// What products are.
    pub(crate) catalogue: &'a Catalogue,
    /// The page that it is on.
    pub(crate) back: &'a str,
}

/// The panel.
pub(crate) fn panel(panel: &Panel<'_>) -> Markup {
    let open = panel.visit.notice.as_ref().is_some_and(|notice| notice.panel);
    html! {
        details open[open] {
            summary { "What the pipeline said" span.facts { (summary(panel.asked)) } }
            div.panels {
                (arms(panel))
                (known::known(panel))
                (why::why(panel.why, panel.catalogue))
                @for (title, asked) in panel.asked {
                    (question(title, asked))
                }
                (told(panel.visit, panel.catalogue))
            }
        }
    }
}

/// The first answer in a few words: its variant and its microseconds.
fn summary(asked: &[(&str, &Asked)]) -> String {
    match asked.first().map(|(_, asked)| &asked.answer) {
        Some(Ok(answer)) => format!("{}, {} µs", answer.variant, total(answer)),
        Some(Err(_)) => "no answer".to_owned(),
        None => String::new(),
    }
}

fn total(answer: &Answer) -> u64 {
    answer.timing.values().sum()
}

fn arms(panel: &Panel<'_>) -> Markup {
    let chosen = panel.visit.arm.as_deref();
    html! {
        section {
            h2 { "Variant" }
            @match panel.loaded {
                Err(problem) => p.problem { (problem) },
                Ok(loaded) => {
                    p { "The pipeline " strong { (loaded.pipeline) } " has " (loaded.variants.len()) " variants." }
                    form action=(links::ARM) method="post" {
                        input type="hidden" name="back" value=(panel.back);
                        label for="arm" { "Recommendations come from" }
                        select #arm name="arm" {
                            option value="" selected[chosen.is_none()] { "this customer’s own variant" }
                            @for variant in &loaded.variants {
                                option value=(variant.name) selected[chosen == Some(&variant.name)] { (variant.name) }
                            }
                        }
                        button type="submit" { "Choose" }
                    }
                },
            }
        }
    }
}

fn question(title: &str, asked: &Asked) -> Markup {
    html! {
        section {
            h2 { (title) }
            p { code { "GET " (asked.question.path()) } }
            @match &asked.answer {
                Ok(answer) => (answered(answer)),
                Err(problem) => p.problem { (problem) },
            }
        }
    }
}

fn answered(answer: &Answer) -> Markup {
    html! {
        p {
            "Answered by " strong { (answer.variant) }
            @if let Some(reason) = &answer.reason { " (" (reason) ")" }
            ". "
            @if answer.degraded.is_empty() {
                "Nothing is degraded."
            } @else {
                "Degraded: " strong.degraded { (answer.degraded.join(", ")) } "."
            }
        }
        (stages(answer))
        (bundles(&answer.bundles))
    }
}

fn stages(answer: &Answer) -> Markup {
    let all = total(answer).max(1);
    html! {
        table {
            caption { "Stages" }
            thead { tr { th scope="col" { "Stage" } th.number scope="col" { "µs" } th { span.hidden { "Share" } } } }
            tbody {
                @for (stage, micros) in answer.stages() {
                    tr {
                        th scope="row" { (stage) }
                        td.number { (micros) }
                        td.share { (bar(micros, all)) }
                    }
                }
                tr { th scope="row" { "all" } td.number { (total(answer)) } td {} }
            }
        }
    }
}

fn bar(part: u64, all: u64) -> Markup {
    html! {
        svg.bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(part * 100 / all) height="8" {}
        }
    }
}

fn bundles(bundles: &BTreeMap<String, String>) -> Markup {
    html! {
        @if !bundles.is_empty() {
            dl.bundles {
                @for (role, digest) in bundles {
                    div { dt { (role) } dd { code title=(digest) { (short(digest)) } } }
                }
            }
        }
    }
}

/// The beginning of a digest, without the name of its function.
fn short(digest: &str) -> &str {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..DIGITS).unwrap_or(digits)
}

fn told(visit: &Visit, catalogue: &Catalogue) -> Markup {
    html! {
        section {
            h2 { "What it was told" }
            p { code { "POST /v1/interactions" } }
            @if visit.told.is_empty() {
                p.note { "Nothing yet." }
            }
            ol.told {
                @for told in &visit.told {
                    li {
                        strong { (told.kind) } " "
                        (catalogue.get(told.item.as_str()).map_or(told.item.as_str(), |product| &product.name))
                        @match &told.problem {
                            None => span.good { " taken" },
                            Some(problem) => span.problem { " not taken: " (problem) },
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::question::Wish;

    fn answer() -> Answer {
        let json = serde_json::json!({
            "variant": "dlrm", "reason": "forced", "items": [],
            "bundles": {"scorer": "sha256:6d5e00000000000000aa"}, "degraded": ["online_store", "<b>"],
            "timing": {"scoring": 300, "features": 100}
        });
        serde_json::from_value(json).unwrap()
    }

    fn loaded() -> Result<Loaded, String> {
        let json =
            serde_json::json!({"pipeline": "shop", "variants": [{"name": "dlrm"}, {"name": "forest"}]});
        Ok(serde_json::from_value(json).unwrap())
    }

    fn page(visit: &Visit, answer: Result<Answer, String>, loaded: &Result<Loaded, String>) -> String {
        let asked = Asked {
            question: Wish::For("1".into()).of(12),
            answer,
        };
        let view = Panel {
            asked: &[("For you", &asked)],
            why: &Ok(Vec::new()),
            loaded,
            visit,
            catalogue: &Catalogue::default(),
            back: "/",
        };
        panel(&view).into_string()
    }

    #[test]
    fn the_panel_says_who_answered_how_long_it_took_and_what_is_degraded() {
        let page = page(&Visit::new("ab", &"1".into()), Ok(answer()), &loaded());
        for part in [
            "<summary>What the pipeline said<span class=\"facts\">dlrm, 400 µs</span>",
            "<strong>dlrm</strong> (forced)",
            "online_store, &lt;b&gt;",
            "<code>GET /v1/recommend?user=1&amp;k=12&amp;explain=timing</code>",
            ">6d5e00000000</code>",
            "<rect width=\"75\"",
        ] {
            assert!(page.contains(part), "{part} is missing: {page}");
        }
    }

    #[test]
    fn the_chosen_variant_is_selected_and_the_panel_is_open_after_it_was_used() {
        let mut visit = Visit::new("ab", &"1".into());
        assert!(!page(&visit, Ok(answer()), &loaded()).contains("<details open"));
        visit.choose_arm(Some("forest".to_owned()));
        let page = page(&visit, Ok(answer()), &loaded());
        assert!(page.contains("<option value=\"forest\" selected>"), "{page}");
        assert!(page.contains("<details open>"), "{page}");
    }

    #[test]
    fn a_pipeline_that_is_away_leaves_a_panel_that_says_so() {
        let visit = Visit::new("ab", &"1".into());
        let page = page(&visit, Err("cannot reach it".to_owned()), &Err("late".to_owned()));
        assert!(
            page.contains("no answer") && page.contains("cannot reach it"),
            "{page}"
        );
        assert!(page.contains("late") && !page.contains("<select"), "{page}");
    }
}
