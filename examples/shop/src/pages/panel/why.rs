//! Why products are shown to the customer, or where they were lost.

use gondola_request::{Explanation, Fate, Part, Source, SourcePlace};
use maud::{Markup, html};

use crate::catalogue::Catalogue;

/// How many inputs are named.
const SHOWN_PARTS: usize = 3;

/// A row for each product; nothing where none was asked about.
pub(super) fn why(explained: &Result<Vec<Explanation>, String>, catalogue: &Catalogue) -> Markup {
    html! {
        @match explained {
            Ok(items) if items.is_empty() => {},
            Ok(items) => section.wide {
                h2 { "Why these" }
                p { code { "POST /v1/explain" } }
                (table(items, catalogue))
            },
            Err(problem) => section.wide {
                h2 { "Why these" }
                p.problem { (problem) }
            },
        }
    }
}

fn table(items: &[Explanation], catalogue: &Catalogue) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Why these products" {
            table {
                thead {
                    tr {
                        th scope="col" { "Product" }
                        th.number scope="col" { "Score" }
                        th.number scope="col" { "Rank" }
                        th scope="col" { "Found by" }
                        th scope="col" { "What became of it" }
                        th scope="col" { "What counts most" }
                    }
                }
                tbody {
                    @for explained in items {
                        tr {
                            th scope="row" { (name(explained, catalogue)) }
                            td.number { @if let Some(score) = explained.score { (format!("{score:.4}")) } }
                            td.number { @if let Some(rank) = explained.rank { (rank) } }
                            td { (sources(&explained.sources)) }
                            td { (fate(explained.fate)) }
                            td { (parts(&explained.parts)) }
                        }
                    }
                }
            }
        }
    }
}

fn name<'a>(explained: &'a Explanation, catalogue: &'a Catalogue) -> &'a str {
    let product = catalogue.get(explained.item.as_str());
    product.map_or(explained.item.as_str(), |product| &product.name)
}

/// The sources that named a product, with its place at each.
fn sources(sources: &[SourcePlace]) -> String {
    let named = sources.iter().map(|SourcePlace { source, place }| {
        let source = match source {
            Source::TwoTower => "near to this customer",
            Source::BoughtBefore => "bought before",
            Source::CoBought => "bought with what they buy",
            Source::Popular => "popular",
            Source::Trained(name) => name,
        };
        format!("{source} (no. {place})")
    });
    named.collect::<Vec<_>>().join(", ")
}

/// The inputs that add most to the score, or take most away.
fn parts(parts: &[Part]) -> String {
    let named = parts.iter().take(SHOWN_PARTS);
    let named = named.map(|Part { input, adds }| format!("{input} {adds:+.3}"));
    named.collect::<Vec<_>>().join(", ")
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Unknown => "not in the pipeline’s catalogue",
        Fate::NotFound => "found by no source",
        Fate::Blocked => "blocked",
        Fate::AgainstRules => "kept out by the rules of now",
        Fate::Disliked => "not for this customer",
        Fate::Bought => "left out, since it was bought",
        Fate::Damaged => "without a score",
        Fate::TooMuchAlike => "gives way to others of its kind",
        Fate::BelowOthers => "others are better",
        Fate::Shown => "shown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_product_has_its_score_its_sources_and_what_became_of_it() {
        let explained = Explanation {
            item: "7".into(),
            fate: Fate::BelowOthers,
            sources: vec![
                SourcePlace {
                    source: Source::TwoTower,
                    place: 3,
                },
                SourcePlace {
                    source: Source::BoughtBefore,
                    place: 1,
                },
            ],
            score: Some(0.25),
            rank: Some(14),
            parts: [
                ("pair.purchases", 0.25),
                ("user.age", -0.0625),
                ("item.price", 0.01),
                ("item.brand", 0.001),
            ]
            .map(|(input, adds)| Part {
                input: input.to_owned(),
                adds,
            })
            .into(),
        };
        let markup = why(&Ok(vec![explained]), &Catalogue::default()).into_string();
        for part in [
            "0.2500",
            "<td class=\"number\">14</td>",
            "near to this customer (no. 3), bought before (no. 1)",
            "others are better",
            "<td>pair.purchases +0.250, user.age -0.062, item.price +0.010</td>",
        ] {
            assert!(markup.contains(part), "{part} is missing: {markup}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_was_asked_and_a_failure_is_told() {
        let markup = |explained| why(&explained, &Catalogue::default()).into_string();
        assert_eq!(markup(Ok(Vec::new())), "");
        assert!(markup(Err("no <route>".to_owned())).contains("no &lt;route&gt;"));
    }
}
