//! Numbers and lengths of time as text: Kubernetes keeps no floating-point numbers in its API. Each is checked when it is read.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::spec::duration;

/// A text that is no such number, name or length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}; write for example {example}")]
pub struct TextError {
    text: String,
    what: &'static str,
    example: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $example:literal, $longest:literal, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                let check: fn(&str) -> bool = $check;
                if text.len() <= $longest && check(&text) {
                    Ok(Self(text))
                } else {
                    Err(TextError { text, what: $what, example: $example })
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "maxLength": $longest})
            }
        }
    };
}

text!(
    /// A share from `0%` to `100%`, with at most three digits after the point.
    Percent, "percentage from 0% to 100%", "2.5%", 8, r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$",
    |text| text.strip_suffix('%').is_some_and(|number| is_decimal(number, 3, 3) && number.parse().is_ok_and(|value: f64| value <= 100.0))
);
text!(
    /// A probability above 0 and below 1, with at most six digits.
    Probability, "probability between 0 and 1", "0.05", 8, r"^0\.[0-9]{0,5}[1-9]$",
    |text| text.starts_with("0.") && is_decimal(text, 1, 6) && !text.ends_with('0')
);
text!(
    /// A decimal number of at most nine digits before the point and six after it, not negative.
    Factor, "decimal number", "1.2", 16, r"^[0-9]{1,9}(\.[0-9]{1,6})?$",
    |text| is_decimal(text, 9, 6)
);
text!(
    /// A length of time, such as `300ms`, `30s`, `1h30m` or `14d`.
    Length, "length of time", "30s, 1h or 14d", 32, r"^([0-9]{1,6}(ms|s|m|h|d))+$",
    |text| text.split(|letter: char| !letter.is_ascii_digit()).all(|digits| digits.len() <= 6) && duration(text).is_some()
);
text!(
    /// A length of time of a second or more, such as `30s`, `1h30m` or `14d`.
    Period, "length of time of a second or more", "30s, 1h or 14d", 32, r"^([1-9][0-9]{0,5}(s|m|h|d))+$",
    |text| is_period(text)
);
text!(
    /// A name of lower-case letters, digits and `-`, beginning with a letter.
    Name, "name", "dlrm-vs-forest", 50, r"^[a-z]([a-z0-9-]*[a-z0-9])?$",
    |text| text.starts_with(|first: char| first.is_ascii_lowercase()) && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
);
text!(
    /// The type of an outcome: letters, digits, `_`, `-` and `.`.
    EventType, "type of outcome", "purchase", 32, r"^[A-Za-z0-9_.-]+$",
    |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
);
text!(
    /// What users are split by: letters, digits, `.`, `_`, `/` and `-`.
    Salt, "salt", "shop/home/dlrm-vs-forest", 128, r"^[A-Za-z0-9._/-]+$",
    |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
);
text!(
    /// The name of a header, in lower case.
    HeaderName, "name of a header", "x-visitor-id", 64, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    |text| !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
);
text!(
    /// A text whose only meaning is whether it is another than before.
    Token, "token", "2", 64, r"^[A-Za-z0-9._-]+$",
    |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
);

impl Percent {
    /// The share, from 0 to 1.
    pub fn fraction(&self) -> f64 {
        let number = self.0.trim_end_matches('%');
        number.parse::<f64>().expect("checked when it was read") / 100.0
    }
}

impl Probability {
    /// The number.
    pub fn value(&self) -> f64 {
        self.0.parse().expect("checked when it was read")
    }
}

impl Factor {
    /// The number.
    pub fn value(&self) -> f64 {
        self.0.parse().expect("checked when it was read")
    }
}

impl Length {
    /// The time.
    pub fn duration(&self) -> Duration {
        duration(&self.0).expect("checked when it was read")
    }
}

impl Period {
    /// The time.
    pub fn duration(&self) -> Duration {
        duration(&self.0).expect("checked when it was read")
    }
}

/// Whether a text is one number above 0 after the other, each with a unit of a second or more.
fn is_period(text: &str) -> bool {
    let mut digits = text.split(|letter: char| !letter.is_ascii_digit());
    // What follows the last unit is empty.
    let numbers = digits.clone().count() - 1;
    !text.contains("ms")
        && digits
            .by_ref()
            .take(numbers)
            .all(|digits| digits.len() <= 6 && !digits.starts_with('0'))
        && duration(text).is_some()
}

/// Whether a text is digits with at most so many before and after one point.
fn is_decimal(text: &str, before: usize, after: usize) -> bool {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('.') {
        None => digits(text, before),
        Some((whole, fraction)) => digits(whole, before) && digits(fraction, after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: std::str::FromStr>(good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(text.parse::<T>().is_ok(), "{text:?} was refused");
        }
        for text in bad {
            assert!(text.parse::<T>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn texts_are_checked_when_they_are_read() {
        check::<Percent>(
            &["0%", "100%", "2.5%", "99.999%", "100.0%"],
            &["", "%", "100.1%", "5", "-1%", "1e1%", "1.2345%", " 5%"],
        );
        check::<Probability>(
            &["0.05", "0.000001"],
            &["0", "1", "0.0", "0.050", ".05", "0.0000001"],
        );
        check::<Factor>(&["1", "1.2", "0.03"], &["", "-1", "1e3", "1.", "NaN", "1.2.3"]);
        check::<Length>(&["300ms", "1h30m", "14d"], &["", "5", "1w", "1234567s", "-1s"]);
        check::<Period>(
            &["1s", "1h30m", "14d"],
            &["", "0s", "300ms", "1w", "1234567s", "1h0m", "5"],
        );
        check::<Name>(&["a", "q4-holdout"], &["", "-a", "a-", "A", "4q"]);
        check::<EventType>(&["purchase", "add_to.cart-2"], &["", "a b", "ü"]);
    }

    #[test]
    fn texts_have_values() {
        assert_eq!("2.5%".parse::<Percent>().unwrap().fraction(), 0.025);
        assert_eq!("0.05".parse::<Probability>().unwrap().value(), 0.05);
        assert_eq!("1h30m".parse::<Length>().unwrap().duration().as_secs(), 5400);
        assert_eq!("2d".parse::<Length>().unwrap().duration().as_secs(), 172_800);
    }
}
