//! What was found for a text.

use maud::{Markup, html};

use super::shelf::Stock;
use super::{MANY, Shelf, links};
use crate::catalogue::Catalogue;
use crate::pipeline::Asked;

/// The page of a search.
pub(crate) fn results(text: &str, asked: &Asked, catalogue: &Catalogue) -> Markup {
    let shelf = Shelf {
        id: "found",
        title: "Products nearest to what you wrote",
        stock: Stock::Asked(asked),
        catalogue,
        back: &links::search(text),
        places: MANY,
        dislikes: false,
    };
    html! {
        h1 { "“" (text) "”" }
        (shelf.render())
    }
}
