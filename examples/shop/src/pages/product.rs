//! The page of a product.

use maud::{Markup, html};

use super::shelf::{Stock, add, dislike, price};
use super::{FEW, Shelf, links, picture};
use crate::catalogue::names::readable;
use crate::catalogue::{Catalogue, Product};
use crate::pipeline::Asked;

/// The page of a product; `request` is the answer that led there.
pub(crate) fn product(
    product: &Product,
    request: Option<&str>,
    similar: &Asked,
    together: &Asked,
    catalogue: &Catalogue,
) -> Markup {
    // With the answer, so that whoever comes back looks at the same page, and not at another.
    let back = links::product(&product.id, request);
    let shelf = Shelf {
        id: "similar",
        title: "Similar products",
        stock: Stock::Asked(similar),
        catalogue,
        back: &back,
        places: FEW,
        dislikes: false,
    };
    html! {
        article.detail {
            (picture::picture(product))
            div {
                h1 { (product.name) }
                p.large { (price(product)) }
                div.actions {
                    @if product.price.is_some() {
                        (add(product, request, &back, "Add to basket"))
                    }
                    (dislike(product, links::HOME))
                }
                (facts(product))
            }
        }
        (shelf.render())
        @if has_items(together) {
            (Shelf { id: "together", title: "Bought together", stock: Stock::Asked(together), ..shelf }.render())
        }
    }
}

/// Whether there is anything to show: of what few people buy, nothing is known to be bought with it.
fn has_items(asked: &Asked) -> bool {
    asked.answer.as_ref().is_ok_and(|answer| !answer.items.is_empty())
}

/// The page of a product that the shop does not have.
pub(crate) fn missing() -> Markup {
    html! {
        h1 { "There is nothing here" }
        p { "The shop has no such page or product. " a href=(links::HOME) { "Go to the front page" } }
    }
}

fn facts(product: &Product) -> Markup {
    let brand = if product.own_brand {
        "Our own"
    } else {
        "National brand"
    };
    html! {
        dl.facts {
            @for (name, value) in [
                ("Department", readable(&product.department)),
                ("Category", readable(&product.category)),
                ("Brand", brand.to_owned()),
                ("Manufacturer", product.manufacturer.clone()),
                ("Package", product.size.clone().unwrap_or_default()),
                ("Product", product.id.to_string()),
            ] {
                @if !value.is_empty() {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::sample;
    use crate::pipeline::question::Wish;

    fn page(shown: &Product) -> String {
        let asked = Asked {
            question: Wish::LikeItem(shown.id.clone()).of(6),
            answer: Err("nobody is there".to_owned()),
        };
        product(shown, Some("r-7"), &asked, &asked, &Catalogue::default()).into_string()
    }

    #[test]
    fn a_product_can_be_bought_though_the_pipeline_is_away() {
        let page = page(&sample("7"));
        assert!(
            page.contains("<h1>Tea &amp; &lt;b&gt;biscuits&lt;/b&gt;</h1>"),
            "{page}"
        );
        assert!(page.contains("name=\"request\" value=\"r-7\""), "{page}");
        assert!(
            page.contains("name=\"back\" value=\"/product/7?request=r-7\""),
            "{page}"
        );
        assert!(page.contains("nobody is there"), "{page}");
    }

    #[test]
    fn what_has_no_price_has_no_button_to_buy_it() {
        let page = page(&Product {
            price: None,
            ..sample("7")
        });
        assert!(
            page.contains("Not sold now") && !page.contains(links::ADD),
            "{page}"
        );
    }
}
