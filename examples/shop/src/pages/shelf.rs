//! A shelf: the products of one answer, or why there are none; or products that the shop itself put there.

use maud::{Markup, html};

use super::{links, picture};
use crate::catalogue::names::readable;
use crate::catalogue::{Catalogue, Product};
use crate::pipeline::Asked;
use crate::pipeline::answer::Answer;
use crate::pipeline::question::Wish;
use gondola_request::ItemId;

/// Where the products of a shelf come from.
#[derive(Clone, Copy)]
pub(crate) enum Stock<'a> {
    /// What was asked, and what came of it.
    Asked(&'a Asked),
    /// What the shop knows by itself.
    Own(&'a [ItemId]),
}

/// Products side by side.
#[derive(Clone, Copy)]
pub(crate) struct Shelf<'a> {
    /// Its name within the page.
    pub(crate) id: &'a str,
    /// What stands above it.
    pub(crate) title: &'a str,
    /// Where its products come from.
    pub(crate) stock: Stock<'a>,
    /// What the products are.
    pub(crate) catalogue: &'a Catalogue,
    /// The page that it is on.
    pub(crate) back: &'a str,
    /// How many products have a place on it: more may have been asked for, because the shop does not have all of them.
    pub(crate) places: usize,
    /// Whether products can be put off it.
    pub(crate) dislikes: bool,
}

impl Shelf<'_> {
    /// The shelf as a section.
    pub(crate) fn render(&self) -> Markup {
        html! {
            section.shelf aria-labelledby=(self.id) {
                h2 id=(self.id) { (self.title) }
                @match self.stock {
                    Stock::Own(items) => (self.products(items.iter(), None)),
                    Stock::Asked(asked) => @match &asked.answer {
                        Ok(answer) => (self.answered(&asked.question.wish, answer)),
                        Err(problem) => p.problem { "Nothing can be shown here now: " (problem) },
                    }
                }
            }
        }
    }

    fn answered(&self, wish: &Wish, answer: &Answer) -> Markup {
        let items = answer.items.iter().map(|found| &found.item);
        html! {
            @if let Some(note) = note(wish, answer) {
                p.note { (note) }
            }
            (self.products(items, answer.request.as_deref()))
        }
    }

    fn products<'b>(&self, items: impl Iterator<Item = &'b ItemId>, request: Option<&str>) -> Markup {
        let products: Vec<&Product> = items
            .filter_map(|item| self.catalogue.get(item.as_str()))
            .take(self.places)
            .collect();
        html! {
            @if products.is_empty() {
                p.note { "Nothing was found." }
            }
            ul.tiles {
                @for product in products {
                    li { (self.tile(product, request)) }
                }
            }
        }
    }

    fn tile(&self, product: &Product, request: Option<&str>) -> Markup {
        html! {
            article.tile {
                a.product href=(links::product(&product.id, request)) {
                    (picture::picture(product))
                    span.name { (breakable(&product.name)) }
                }
                p.facts { (facts(product)) }
                div.buy {
                    (price(product))
                    @if product.price.is_some() {
                        (add(product, request, self.back, "Add"))
                    }
                }
                @if self.dislikes {
                    (dislike(product, self.back))
                }
            }
        }
    }
}

/// What one of it costs.
pub(super) fn price(product: &Product) -> Markup {
    html! {
        @match product.price {
            Some(price) => span.price { (price) },
            None => span.facts { "Not sold now" },
        }
    }
}

/// The button that puts one into the basket.
pub(super) fn add(product: &Product, request: Option<&str>, back: &str, label: &str) -> Markup {
    html! {
        form action=(links::ADD) method="post" {
            (hidden(product, back))
            @if let Some(request) = request {
                input type="hidden" name="request" value=(request);
            }
            button type="submit" { (label) span.hidden { " " (product.name) " to the basket" } }
        }
    }
}

/// The button that keeps it from being shown again.
pub(super) fn dislike(product: &Product, back: &str) -> Markup {
    html! {
        form action=(links::DISLIKE) method="post" {
            (hidden(product, back))
            button.quiet type="submit" { "Not for me" span.hidden { ": " (product.name) } }
        }
    }
}

fn hidden(product: &Product, back: &str) -> Markup {
    html! {
        input type="hidden" name="item" value=(product.id);
        input type="hidden" name="back" value=(back);
    }
}

/// What tells a product from others of its name; its category where nothing does.
fn facts(product: &Product) -> String {
    let own = product.own_brand.then_some("Our brand");
    let known: Vec<&str> = own.into_iter().chain(product.size.as_deref()).collect();
    match known.as_slice() {
        [] => readable(&product.category),
        known => known.join(", "),
    }
}

/// What a customer should know of an answer that is less than it could be. Somebody of whom nothing is known is what was asked about
/// where it is not about a customer.
fn note(wish: &Wish, answer: &Answer) -> Option<&'static str> {
    let degraded: Vec<&str> = answer.degraded.iter().map(String::as_str).collect();
    match (wish, degraded.as_slice()) {
        (_, []) | (Wish::ForAnybody, ["unknown_user"]) => None,
        (_, ["unknown_user"]) => Some("We know nothing of you yet, so this is what most people like."),
        _ => Some("This list is not as good as it could be; the panel below says why."),
    }
}

/// A name that may be broken after each slash.
fn breakable(name: &str) -> String {
    name.replace('/', "/\u{200b}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answer: Result<Answer, String>) -> Asked {
        Asked {
            question: Wish::For("1".into()).of(12),
            answer,
        }
    }

    fn answer(items: &[&str], degraded: &[&str]) -> Answer {
        let items: Vec<_> = items
            .iter()
            .map(|item| serde_json::json!({"item": item, "score": 0.5}))
            .collect();
        let json = serde_json::json!({"variant": "dlrm", "items": items, "degraded": degraded});
        Answer {
            request: Some("r-7".to_owned()),
            ..serde_json::from_value(json).unwrap()
        }
    }

    fn rendered(answer: Result<Answer, String>, dislikes: bool) -> String {
        let catalogue = Catalogue::of([crate::catalogue::tests::sample("7")]);
        let shelf = Shelf {
            id: "for-you",
            title: "For you",
            stock: Stock::Asked(&asked(answer)),
            catalogue: &catalogue,
            back: "/",
            places: 1,
            dislikes,
        };
        shelf.render().into_string()
    }

    #[test]
    fn a_product_is_a_link_that_says_which_answer_it_was_in_and_its_name_is_no_markup() {
        let shelf = rendered(Ok(answer(&["7"], &[])), false);
        assert!(shelf.contains("href=\"/product/7?request=r-7\""), "{shelf}");
        assert!(shelf.contains("Tea &amp; &lt;b&gt;biscuits&lt;/b&gt;"), "{shelf}");
        assert!(!shelf.contains("<b>"), "{shelf}");
        assert!(shelf.contains("$2.99") && !shelf.contains("/dislike"), "{shelf}");
        assert!(rendered(Ok(answer(&["7"], &[])), true).contains("/dislike"));
    }

    #[test]
    fn brand_and_size_tell_products_of_one_name_apart() {
        let product = crate::catalogue::tests::sample("7");
        assert_eq!(facts(&product), "Our brand, 20 ct");
        let product = Product {
            own_brand: false,
            ..product
        };
        assert_eq!(facts(&product), "20 ct");
        let product = Product {
            size: None,
            ..product
        };
        assert_eq!(facts(&product), "Teas");
    }

    #[test]
    fn what_the_shop_does_not_have_is_left_out_and_what_has_no_place_too() {
        let shelf = rendered(Ok(answer(&["7", "7"], &[])), false);
        assert_eq!(shelf.matches("<li>").count(), 1, "{shelf}");
        let shelf = rendered(Ok(answer(&["8", "7"], &[])), false);
        assert_eq!(shelf.matches("<li>").count(), 1, "{shelf}");
        assert!(rendered(Ok(answer(&["8"], &[])), false).contains("Nothing was found."));
    }

    #[test]
    fn a_question_that_failed_costs_its_shelf_alone() {
        let shelf = rendered(Err("no <route>".to_owned()), false);
        assert!(
            shelf.contains("Nothing can be shown here now: no &lt;route&gt;"),
            "{shelf}"
        );
    }

    #[test]
    fn a_customer_is_told_when_a_list_is_less_than_it_could_be() {
        assert!(
            rendered(Ok(answer(&["7"], &["unknown_user"])), false).contains("We know nothing of you yet")
        );
        assert!(rendered(Ok(answer(&["7"], &["scoring"])), false).contains("not as good as it could be"));
        assert!(!rendered(Ok(answer(&["7"], &[])), false).contains("class=\"note\""));
        let anybody = answer(&["7"], &["unknown_user"]);
        assert_eq!(note(&Wish::ForAnybody, &anybody), None);
    }
}
