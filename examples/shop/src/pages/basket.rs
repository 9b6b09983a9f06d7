//! The basket.

use maud::{Markup, html};

use super::links;
use crate::basket::{Basket, Line, MAX_QUANTITY};
use crate::catalogue::Catalogue;

/// The page of a basket.
pub(crate) fn basket(basket: &Basket, catalogue: &Catalogue) -> Markup {
    html! {
        h1 { "Basket" }
        @if basket.lines().is_empty() {
            p { "There is nothing in it yet. " a href=(links::HOME) { "See what we have for you" } }
        } @else {
            ul.lines {
                @for line in basket.lines() {
                    li { (row(line, catalogue)) }
                }
            }
            div.total {
                p { "Total " strong { (basket.total()) } }
                form action=(links::CHECK_OUT) method="post" { button.main type="submit" { "Buy" } }
            }
        }
    }
}

fn row(line: &Line, catalogue: &Catalogue) -> Markup {
    let product = catalogue.get(line.item.as_str());
    let name = product.map_or(line.item.as_str(), |product| &product.name);
    html! {
        a href=(links::product(&line.item, None)) {
            @if let Some(product) = product { (super::picture::picture(product)) }
            span.name { (name) }
        }
        span.facts { (line.price) " each" }
        form.quantity action=(links::SET) method="post" {
            input type="hidden" name="item" value=(line.item);
            label {
                span.hidden { "Quantity of " (name) }
                input type="number" name="quantity" value=(line.quantity) min="0" max=(MAX_QUANTITY) required;
            }
            button type="submit" { "Change" span.hidden { " the quantity of " (name) } }
        }
        form action=(links::SET) method="post" {
            input type="hidden" name="item" value=(line.item);
            input type="hidden" name="quantity" value="0";
            button.quiet type="submit" { "Remove" span.hidden { " " (name) } }
        }
        span.price { (line.total()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Cents;

    #[test]
    fn a_basket_shows_each_line_and_what_all_of_it_costs() {
        let mut filled = Basket::default();
        for item in ["7", "7", "<i>"] {
            filled.add(&item.into(), Cents(299), None).unwrap();
        }
        let catalogue = Catalogue::of([crate::catalogue::tests::sample("7")]);
        let page = basket(&filled, &catalogue).into_string();
        assert!(
            page.contains("$5.98") && page.contains("<strong>$8.97</strong>"),
            "{page}"
        );
        assert!(page.contains("&lt;i&gt;") && !page.contains("<i>"), "{page}");
        assert!(page.contains(links::CHECK_OUT), "{page}");
    }

    #[test]
    fn an_empty_basket_cannot_be_bought() {
        let page = basket(&Basket::default(), &Catalogue::default()).into_string();
        assert!(!page.contains(links::CHECK_OUT), "{page}");
    }
}
