//! Numbers as text.

use super::{Problem, is_missing};

/// A quantity that a text says; NaN in any spelling is none.
pub(super) fn quantity_of_text(text: &str) -> Result<Option<f64>, Problem> {
    let text = text.trim();
    if is_missing(text) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Ok(None),
        Ok(number) => quantity(number).map(Some),
        Err(_) if text.contains(',') => Err(Problem::Comma),
        Err(_) => Err(Problem::NoNumber),
    }
}

/// A number that models can hold: they reckon in singles.
pub(super) fn quantity(number: f64) -> Result<f64, Problem> {
    if number.abs() <= f64::from(f32::MAX) {
        Ok(number)
    } else {
        Err(Problem::TooLarge)
    }
}

/// Whether a text is a whole number without a point.
pub(super) fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// The whole number of a text such as `1025.0`: what stands before a point with nothing but zeros after it.
pub(super) fn whole_part(text: &str) -> Option<&str> {
    let (whole, decimals) = text.split_once('.')?;
    let zeros = !decimals.is_empty() && decimals.bytes().all(|digit| digit == b'0');
    (zeros && is_whole(whole)).then_some(whole)
}

/// Whether a text is a number with a power of ten and a sign in it, as `1.23457E+11`: what spreadsheets and
/// programs make of long ids, whose last digits are lost. Ids that happen to have an E between digits have no
/// sign after it.
pub(super) fn is_rounded(text: &str) -> bool {
    let Some((number, power)) = text.split_once(['e', 'E']) else {
        return false;
    };
    let number = number.strip_prefix('-').unwrap_or(number);
    let (first, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let power = power.strip_prefix('+');
    first.len() == 1 && [first, decimals].into_iter().chain(power).all(is_whole) && power.is_some()
}
