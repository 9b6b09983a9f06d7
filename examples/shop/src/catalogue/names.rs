//! Names for people: the data set writes in capitals and abbreviates.

/// Abbreviations of the data set, and what they stand for.
const WORDS: &[(&str, &str)] = &[
    ("BG", "bag"),
    ("BKD", "baked"),
    ("BN", "bean"),
    ("BRKFST", "breakfast"),
    ("BTR", "butter"),
    ("CHKN", "chicken"),
    ("CKYS", "cookies"),
    ("CLEANG", "cleaning"),
    ("CNDY", "candy"),
    ("CNTRL", "central"),
    ("CRKR", "cracker"),
    ("CRYSTL", "crystal"),
    ("DNR", "dinner"),
    ("DRNK", "drink"),
    ("DRNKS", "drinks"),
    ("DRSNG", "dressing"),
    ("FD", "food"),
    ("FLVRD", "flavored"),
    ("FRSH", "fresh"),
    ("FRZN", "frozen"),
    ("GM", "general merchandise"),
    ("JCE", "juice"),
    ("MIXS", "mixes"),
    ("MX", "mix"),
    ("MXS", "mixes"),
    ("PCKGD", "packaged"),
    ("PKGD", "packaged"),
    ("PKLD", "pickled"),
    ("PNT", "peanut"),
    ("PWDR", "powder"),
    ("REFRGRATD", "refrigerated"),
    ("SALD", "salad"),
    ("SNDWCH", "sandwich"),
    ("SNKS", "snacks"),
    ("SPLY", "supply"),
    ("SPRD", "spread"),
    ("TISS", "tissue"),
    ("TRSH", "trash"),
    ("VEG", "vegetable"),
    ("WHLSM", "wholesome"),
    ("WTR", "water"),
];

/// A text of the data set as people write: `FRZN JCE CONC/DRNKS` becomes `Frozen juice conc/drinks`.
pub fn readable(text: &str) -> String {
    let mut readable = String::with_capacity(text.len());
    let mut word = String::new();
    for sign in text.trim().chars() {
        if sign.is_alphanumeric() {
            word.push(sign);
            continue;
        }
        finish(&mut word, &mut readable);
        // A colon or comma is followed by a space, and one space is enough.
        if !(sign == ' ' && readable.ends_with(' ')) {
            readable.push(sign);
        }
        if matches!(sign, ':' | ',') {
            readable.push(' ');
        }
    }
    finish(&mut word, &mut readable);
    capitalized(&readable)
}

/// Writes the word so far, in full, and begins another.
fn finish(word: &mut String, readable: &mut String) {
    let full = WORDS.iter().find(|(short, _)| *short == word.as_str());
    match full {
        Some((_, full)) => readable.push_str(full),
        None => readable.push_str(&word.to_lowercase()),
    }
    word.clear();
}

fn capitalized(text: &str) -> String {
    let mut signs = text.chars();
    match signs.next() {
        Some(first) => first.to_uppercase().chain(signs).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_people_write() {
        for (text, expected) in [
            ("FLUID MILK WHITE ONLY", "Fluid milk white only"),
            ("FRZN JCE CONC/DRNKS", "Frozen juice conc/drinks"),
            ("BREAD:ITALIAN/FRENCH", "Bread: italian/french"),
            ("CHRISTMAS  SEASONAL", "Christmas seasonal"),
            ("PNT BTR/JELLY/JAMS ", "Peanut butter/jelly/jams"),
            ("MEAT-PCKGD", "Meat-packaged"),
            ("", ""),
        ] {
            assert_eq!(readable(text), expected, "{text}");
        }
    }

    #[test]
    fn abbreviations_are_in_alphabetical_order_and_none_is_there_twice() {
        assert!(WORDS.is_sorted_by(|(one, _), (next, _)| one < next));
    }
}
