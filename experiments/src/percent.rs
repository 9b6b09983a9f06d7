//! Shares as text, for people.

/// A relative difference with its sign: 0.0312 is `+3.1%`.
pub fn signed(fraction: f64) -> String {
    let percent = fraction * 100.0;
    // No "-0.0%".
    let rounded = (percent * 10.0).round() / 10.0 + 0.0;
    format!("{rounded:+.1}%")
}

/// A share: 0.2 is `20%`, 0.0105 is `1.05%`.
pub fn share(fraction: f64) -> String {
    let text = format!("{:.3}", fraction * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_as_people_write_them() {
        assert_eq!(signed(0.0312), "+3.1%");
        assert_eq!(signed(-0.004), "-0.4%");
        assert_eq!(signed(-0.000_01), "+0.0%");
        assert_eq!(share(0.2), "20%");
        assert_eq!(share(0.0105), "1.05%");
        assert_eq!(share(0.0), "0%");
    }
}
