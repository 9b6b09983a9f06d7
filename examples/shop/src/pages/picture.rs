//! Pictures of products, drawn from what is known of them: a colour for the department, a glyph for the category.

use maud::{Markup, html};

use super::glyph::Glyph;
use crate::catalogue::Product;

/// Classes of the style, each a colour, by how names of departments begin.
const TONES: &[(&str, &str)] = &[
    ("GROCERY", "grocery"),
    ("PRODUCE", "produce"),
    ("SALAD BAR", "produce"),
    ("GARDEN CENTER", "produce"),
    ("MEAT", "meat"),
    ("SEAFOOD", "seafood"),
    ("DELI", "deli"),
    ("CHEF SHOPPE", "deli"),
    ("RESTAURANT", "deli"),
    ("PASTRY", "pastry"),
    ("NUTRITION", "nutrition"),
    ("FROZEN", "frozen"),
    ("DRUG GM", "drug"),
    ("COSMETICS", "cosmetics"),
    ("FLORAL", "floral"),
    ("SPIRITS", "spirits"),
];
/// The colour of all others.
const OTHER: &str = "other";

/// The picture of a product. It says nothing that the name beside it does not, so screen readers pass it by.
pub(super) fn picture(product: &Product) -> Markup {
    let glyph = Glyph::of(&product.category, &product.department);
    html! {
        svg.picture.(tone(&product.department)) viewBox="0 0 64 64" aria-hidden="true" focusable="false" {
            path d=(glyph.path()) {}
        }
    }
}

fn tone(department: &str) -> &'static str {
    let tone = TONES
        .iter()
        .find(|(beginning, _)| department.starts_with(beginning));
    tone.map_or(OTHER, |(_, tone)| tone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::sample;

    #[test]
    fn every_tone_has_a_colour_in_the_style() {
        for tone in TONES.iter().map(|(_, tone)| *tone).chain([OTHER]) {
            assert!(
                crate::pages::STYLE.contains(&format!(".{tone}{{--hue:")),
                "{tone}"
            );
        }
    }

    #[test]
    fn a_picture_follows_from_department_and_category() {
        let drawn = |department: &str, category: &str| {
            let product = Product {
                department: department.to_owned(),
                category: category.to_owned(),
                ..sample("7")
            };
            picture(&product).into_string()
        };
        let fish = drawn("SEAFOOD-PCKGD", "SEAFOOD - FROZEN");
        assert!(fish.contains("class=\"picture seafood\""), "{fish}");
        assert!(fish.contains(Glyph::Fish.path()), "{fish}");
        assert_ne!(fish, drawn("GROCERY", "SEAFOOD - FROZEN"));
        assert!(drawn("POSTAL CENTER", "").contains("picture other"));
    }
}
