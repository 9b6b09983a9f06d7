//! What pictures of products show: one line drawing for each kind of category.

/// A drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Glyph {
    Apple,
    Bag,
    Book,
    Bottle,
    Bowl,
    Box,
    Bread,
    Bulb,
    Can,
    Candy,
    Carton,
    Cheese,
    Cone,
    Cup,
    Egg,
    Fish,
    Flower,
    Gift,
    Glass,
    Jar,
    Leaf,
    Paw,
    Pill,
    Pizza,
    Pump,
    Roll,
    Snow,
    Spray,
    Steak,
}

/// Which part of a category's name means which drawing; the first that fits counts. Departments stand for categories that nothing fits.
const MEANINGS: &[(&str, Glyph)] = &[
    ("PIZZA", Glyph::Pizza),
    ("SEAFOOD", Glyph::Fish),
    ("SUSHI", Glyph::Fish),
    ("CAT ", Glyph::Paw),
    ("DOG FOOD", Glyph::Paw),
    ("PET CARE", Glyph::Paw),
    ("BIRD", Glyph::Paw),
    ("ICE CREAM", Glyph::Cone),
    ("NOVELTIES", Glyph::Cone),
    ("FRZN MEAT", Glyph::Bowl),
    ("FRZN", Glyph::Snow),
    ("FROZEN", Glyph::Snow),
    ("YOGURT", Glyph::Cup),
    ("COFFEE", Glyph::Cup),
    ("TEA", Glyph::Cup),
    ("COCOA", Glyph::Cup),
    ("CHEESE", Glyph::Cheese),
    ("BUTTER", Glyph::Cheese),
    ("MARGARINE", Glyph::Cheese),
    ("PNT BTR", Glyph::Jar),
    ("CANDY", Glyph::Candy),
    ("EGGS", Glyph::Egg),
    ("MILK", Glyph::Carton),
    ("JUICE", Glyph::Carton),
    ("DAIRY", Glyph::Carton),
    ("SOUP", Glyph::Bowl),
    ("CEREAL", Glyph::Bowl),
    ("DINNER MXS", Glyph::Bowl),
    ("NOODLES", Glyph::Bowl),
    ("PREPARED", Glyph::Bowl),
    ("SALD DRSNG", Glyph::Jar),
    ("SALAD", Glyph::Leaf),
    ("VEGETABLES - SHELF", Glyph::Can),
    ("FRUIT - SHELF", Glyph::Can),
    ("MEAT - SHELF", Glyph::Can),
    ("BEANS", Glyph::Can),
    ("CANNED", Glyph::Can),
    ("BABY FOOD", Glyph::Jar),
    ("CONDIMENTS", Glyph::Jar),
    ("SAUCE", Glyph::Jar),
    ("SPICES", Glyph::Jar),
    ("PICKLE", Glyph::Jar),
    ("OLIVES", Glyph::Jar),
    ("SYRUP", Glyph::Bottle),
    ("OIL", Glyph::Bottle),
    ("SOFT DRINKS", Glyph::Bottle),
    ("WATER", Glyph::Bottle),
    ("ISOTONIC", Glyph::Bottle),
    ("BEVERAGE", Glyph::Bottle),
    ("BEER", Glyph::Glass),
    ("WINE", Glyph::Glass),
    ("LIQUOR", Glyph::Glass),
    ("NAPKIN", Glyph::Roll),
    ("TISSUE", Glyph::Roll),
    ("TOWELS", Glyph::Roll),
    ("CRACKERS", Glyph::Bag),
    ("SNACK", Glyph::Bag),
    ("CHIPS", Glyph::Bag),
    ("POPCORN", Glyph::Bag),
    ("NUTS", Glyph::Bag),
    ("SNKS", Glyph::Bag),
    ("DIAPERS", Glyph::Bag),
    ("SUGAR", Glyph::Bag),
    ("FLOUR", Glyph::Bag),
    ("BREAD", Glyph::Bread),
    ("ROLLS", Glyph::Bread),
    ("CAKES", Glyph::Bread),
    ("PIES", Glyph::Bread),
    ("BAKED", Glyph::Bread),
    ("COOKIES", Glyph::Bread),
    ("BREAKFAST SWEETS", Glyph::Bread),
    ("SWEET GOODS", Glyph::Bread),
    ("DOUGH", Glyph::Bread),
    ("BAKING", Glyph::Bag),
    ("BEEF", Glyph::Steak),
    ("PORK", Glyph::Steak),
    ("CHICKEN", Glyph::Steak),
    ("TURKEY", Glyph::Steak),
    ("LAMB", Glyph::Steak),
    ("MEAT", Glyph::Steak),
    ("BACON", Glyph::Steak),
    ("SAUSAGE", Glyph::Steak),
    ("HOT DOG", Glyph::Steak),
    ("APPLES", Glyph::Apple),
    ("FRUIT", Glyph::Apple),
    ("CITRUS", Glyph::Apple),
    ("BERRIES", Glyph::Apple),
    ("GRAPES", Glyph::Apple),
    ("MELONS", Glyph::Apple),
    ("PEARS", Glyph::Apple),
    ("FLORAL", Glyph::Flower),
    ("ROSES", Glyph::Flower),
    ("GARDEN", Glyph::Flower),
    ("DETERGENT", Glyph::Spray),
    ("CLEANG", Glyph::Spray),
    ("BLEACH", Glyph::Spray),
    ("AIR CARE", Glyph::Spray),
    ("LAUNDRY", Glyph::Spray),
    ("INSECTICIDES", Glyph::Spray),
    ("VITAMINS", Glyph::Pill),
    ("ANALGESICS", Glyph::Pill),
    ("COLD AND FLU", Glyph::Pill),
    ("ANTACIDS", Glyph::Pill),
    ("ALLERGY", Glyph::Pill),
    ("LAXATIVES", Glyph::Pill),
    ("FIRST AID", Glyph::Pill),
    ("DIET", Glyph::Pill),
    ("HAIR", Glyph::Pump),
    ("SOAP", Glyph::Pump),
    ("HAND/BODY", Glyph::Pump),
    ("MAKEUP", Glyph::Pump),
    ("DEODORANTS", Glyph::Pump),
    ("SHAVING", Glyph::Pump),
    ("ORAL", Glyph::Pump),
    ("BATH", Glyph::Pump),
    ("SUNTAN", Glyph::Pump),
    ("MAGAZINE", Glyph::Book),
    ("BOOK", Glyph::Book),
    ("NEWSPAPER", Glyph::Book),
    ("STATIONERY", Glyph::Book),
    ("GREETING", Glyph::Gift),
    ("SEASONAL", Glyph::Gift),
    ("TOYS", Glyph::Gift),
    ("HALLOWEEN", Glyph::Gift),
    ("VALENTINE", Glyph::Gift),
    ("EASTER", Glyph::Gift),
    ("ELECTRICAL", Glyph::Bulb),
    ("HARDWARE", Glyph::Bulb),
    ("BATTERIES", Glyph::Bulb),
    ("CANDLES", Glyph::Bulb),
    // Departments.
    ("PRODUCE", Glyph::Leaf),
    ("DELI", Glyph::Bread),
    ("PASTRY", Glyph::Bread),
    ("COSMETICS", Glyph::Pump),
    ("NUTRITION", Glyph::Leaf),
    ("SPIRITS", Glyph::Glass),
];

impl Glyph {
    /// What a category of a department looks like.
    pub(super) fn of(category: &str, department: &str) -> Self {
        let meaning = |text: &str| MEANINGS.iter().find(|(part, _)| text.contains(part));
        let found = meaning(category).or_else(|| meaning(department));
        found.map_or(Self::Box, |(_, glyph)| *glyph)
    }

    /// Its lines, in a square of 64 by 64.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Apple => {
                "M32 22c-4-5-18-4-18 11 0 10 7 19 12 19 3 0 4-1.5 6-1.5s3 1.5 6 1.5c5 0 12-9 12-19 0-15-14-16-18-11zM32 22c0-5 2-9 7-11"
            }
            Self::Bag => "M18 12h28l-2 6 2 28-2 6H20l-2-6 2-28zM20 18h24M20 46h24",
            Self::Book => "M32 18c-4-4-12-4-18-3v33c6-1 14-1 18 3 4-4 12-4 18-3V15c-6-1-14-1-18 3zM32 18v33",
            Self::Bottle => "M27 10h10v9l5 8v23a4 4 0 0 1-4 4H26a4 4 0 0 1-4-4V27l5-8zM22 34h20M22 45h20",
            Self::Bowl => {
                "M10 30h44c0 12-8 20-16 22H26c-8-2-16-10-16-22zM25 22c0-4 4-4 4-9M36 22c0-4 4-4 4-9"
            }
            Self::Box => "M12 22l20-10 20 10v21L32 54 12 43zM12 22l20 10 20-10M32 32v22",
            Self::Bread => "M14 30a9 9 0 0 1 9-12h18a9 9 0 0 1 9 12l-3 3v17H17V33zM26 26l4 6M35 26l4 6",
            Self::Bulb => {
                "M32 10a14 14 0 0 0-8 25c2 2 3 4 3 7h10c0-3 1-5 3-7a14 14 0 0 0-8-25zM28 48h8M29 54h6"
            }
            Self::Can => {
                "M16 16c0-3 7-6 16-6s16 3 16 6v32c0 3-7 6-16 6s-16-3-16-6zM16 16c0 3 7 6 16 6s16-3 16-6M16 30c0 3 7 6 16 6s16-3 16-6"
            }
            Self::Candy => {
                "M22 32a10 10 0 1 0 20 0 10 10 0 1 0-20 0zM22 30l-11-8v20l11-8M42 30l11-8v20l-11-8"
            }
            Self::Carton => "M20 26l6-13h12l6 13v28H20zM20 26h24M26 13l6 13 6-13M26 36h12M26 44h12",
            Self::Cheese => "M10 36l30-20c8 2 14 10 14 20v14H10zM10 36h44M22 43h.1M36 43h.1M46 43h.1",
            Self::Cone => "M20 28a12 12 0 0 1 24 0zM20 28l12 28 12-28M25 40l12-12",
            Self::Cup => {
                "M14 24h30v16a10 10 0 0 1-10 10H24a10 10 0 0 1-10-10zM44 28h4a6 6 0 0 1 0 12h-4M24 18v-5M34 18v-5"
            }
            Self::Egg => "M32 10c-9 0-17 14-17 26a17 17 0 0 0 34 0c0-12-8-26-17-26z",
            Self::Fish => "M10 32c8-13 24-15 33-3l11-8v22l-11-8C34 47 18 45 10 32zM20 30h.1",
            Self::Flower => {
                "M32 26c-7-5-7-14 0-14s7 9 0 14zM32 26c-7 5-16 0-14-5s11-2 14 5zM32 26c7 5 16 0 14-5s-11-2-14 5zM32 26v28M32 46c-8 0-12-4-12-9 7 0 12 3 12 9z"
            }
            Self::Gift => {
                "M12 24h40v8H12zM16 32v20h32V32M32 24v28M32 24c-4-10-15-10-13-4 1 3 7 4 13 4zM32 24c4-10 15-10 13-4-1 3-7 4-13 4z"
            }
            Self::Glass => "M20 10h24c2 14-3 22-12 22s-14-8-12-22zM32 32v20M22 52h20M19 20h26",
            Self::Jar => {
                "M20 10h24v8H20zM19 18h26c4 3 5 7 5 11v19a6 6 0 0 1-6 6H20a6 6 0 0 1-6-6V29c0-4 1-8 5-11zM14 34h36M14 44h36"
            }
            Self::Leaf => "M14 50C12 26 26 14 50 14c1 24-11 38-36 36zM14 50l22-22M26 38V28M26 38h10",
            Self::Paw => {
                "M32 34c-7 0-13 8-13 13 0 4 4 5 7 5s4-1 6-1 3 1 6 1 7-1 7-5c0-5-6-13-13-13zM16 28a3 4 0 1 0 6 0 3 4 0 1 0-6 0zM24 18a3 4 0 1 0 6 0 3 4 0 1 0-6 0zM34 18a3 4 0 1 0 6 0 3 4 0 1 0-6 0zM42 28a3 4 0 1 0 6 0 3 4 0 1 0-6 0z"
            }
            Self::Pill => {
                "M18 46a10 10 0 0 1 0-14l14-14a10 10 0 0 1 14 14L32 46a10 10 0 0 1-14 0zM25 25l14 14"
            }
            Self::Pizza => "M10 20c14-8 30-8 44 0L32 56zM14 27c11-5 25-5 36 0M27 37h.1M37 34h.1M32 45h.1",
            Self::Pump => {
                "M24 26h16c4 0 6 3 6 7v17a4 4 0 0 1-4 4H22a4 4 0 0 1-4-4V33c0-4 2-7 6-7zM28 26v-7h8v7M32 19v-7h12M24 38h16"
            }
            Self::Roll => {
                "M12 22c0-6 4-10 8-10h24c4 0 8 4 8 10v30H28V22c0-6-4-10-8-10M12 22c0 6 4 10 8 10s8-4 8-10M20 22h.1M28 42h24"
            }
            Self::Snow => "M32 10v44M13 21l38 22M51 21L13 43M32 18l-5-5M32 18l5-5M32 46l-5 5M32 46l5 5",
            Self::Spray => {
                "M22 30h16v20a4 4 0 0 1-4 4h-8a4 4 0 0 1-4-4zM26 30v-8h10v8M20 22h18v-8H24zM38 16h8M46 12l6-2M46 16h6M46 20l6 2"
            }
            Self::Steak => {
                "M14 38c-2-11 8-24 20-24 10 0 18 7 18 15 0 9-9 9-13 14s-6 8-12 8c-7 0-12-5-13-13zM30 27a4 4 0 1 0 8 0 4 4 0 1 0-8 0z"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_drawn_as_what_it_is() {
        for (category, department, glyph) in [
            ("FLUID MILK PRODUCTS", "GROCERY", Glyph::Carton),
            ("TROPICAL FRUIT", "PRODUCE", Glyph::Apple),
            ("TOMATOES", "PRODUCE", Glyph::Leaf),
            ("CAT FOOD", "GROCERY", Glyph::Paw),
            ("VEGETABLES - SHELF STABLE", "GROCERY", Glyph::Can),
            ("FRZN VEGETABLE/VEG DSH", "GROCERY", Glyph::Snow),
            ("FROZEN PIZZA", "GROCERY", Glyph::Pizza),
            ("TICKETS", "TRAVEL & LEISURE", Glyph::Box),
            ("", "SPIRITS", Glyph::Glass),
        ] {
            assert_eq!(Glyph::of(category, department), glyph, "{category}");
        }
    }

    #[test]
    fn no_meaning_is_behind_one_that_always_fits_before_it() {
        for (place, (part, _)) in MEANINGS.iter().enumerate() {
            let earlier = MEANINGS[..place]
                .iter()
                .find(|(earlier, _)| part.contains(earlier));
            assert_eq!(earlier, None, "{part}");
        }
    }
}
