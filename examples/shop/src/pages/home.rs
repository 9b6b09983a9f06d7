//! The front page: what suits this customer, what they buy again and again, what goes with the last purchase, what is popular.

use gondola_request::ItemId;
use maud::{Markup, html};

use super::shelf::Stock;
use super::{FEW, MANY, Shelf, links};
use crate::catalogue::{Catalogue, Product};
use crate::pipeline::Asked;

/// What the front page shows.
pub(crate) struct Home<'a> {
    /// What suits the customer.
    pub(crate) for_you: &'a Asked,
    /// What the customer buys again and again, as the shop's own books say.
    pub(crate) regulars: &'a [ItemId],
    /// What is like the product that was bought last, if one was bought.
    pub(crate) because: Option<(&'a Product, &'a Asked)>,
    /// What suits somebody of whom nothing is known.
    pub(crate) popular: &'a Asked,
    /// What products are.
    pub(crate) catalogue: &'a Catalogue,
}

/// The front page.
pub(crate) fn home(home: &Home<'_>) -> Markup {
    let shelf = Shelf {
        id: "for-you",
        title: "For you",
        stock: Stock::Asked(home.for_you),
        catalogue: home.catalogue,
        back: links::HOME,
        places: MANY,
        dislikes: true,
    };
    html! {
        h1.hidden { "The shop’s front page" }
        (shelf.render())
        @if !home.regulars.is_empty() {
            (Shelf { id: "again", title: "Buy again", stock: Stock::Own(home.regulars), places: FEW, dislikes: false, ..shelf }.render())
        }
        @if let Some((bought, asked)) = home.because {
            @let title = format!("Because you bought {}", bought.name);
            (Shelf { id: "because", title: &title, stock: Stock::Asked(asked), places: FEW, dislikes: false, ..shelf }.render())
        }
        (Shelf { id: "popular", title: "Popular", stock: Stock::Asked(home.popular), places: FEW, dislikes: false, ..shelf }.render())
    }
}
