//! The front page: what suits this customer, what goes with the last purchase, what is popular.

use maud::{Markup, html};

use super::{FEW, MANY, Shelf, links};
use crate::catalogue::{Catalogue, Product};
use crate::pipeline::Asked;

/// What the front page shows.
pub(crate) struct Home<'a> {
    /// What suits the customer.
    pub(crate) for_you: &'a Asked,
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
        asked: home.for_you,
        catalogue: home.catalogue,
        back: links::HOME,
        places: MANY,
        dislikes: true,
    };
    html! {
        h1.hidden { "The shop’s front page" }
        (shelf.render())
        @if let Some((bought, asked)) = home.because {
            @let title = format!("Because you bought {}", bought.name);
            (Shelf { id: "because", title: &title, asked, places: FEW, dislikes: false, ..shelf }.render())
        }
        (Shelf { id: "popular", title: "Popular", asked: home.popular, places: FEW, dislikes: false, ..shelf }.render())
    }
}
