//! Texts of a form: names, references, and numbers and lengths of time, since Kubernetes keeps no floating-point numbers in its API.
//!
//! The form is the pattern of the schema: the API server checks it, and so does reading, so that every value has the form.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A text that does not have its required form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct TextError {
    text: String,
    problem: &'static str,
}

/// What texts of one form look like.
#[derive(Debug)]
pub(crate) struct Form {
    /// All of them, and nothing else.
    pub(crate) pattern: &'static str,
    /// What is wrong with any other text, and the way out.
    pub(crate) problem: &'static str,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $example:literal, $max_length:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub(crate) const FORM: Form = Form {
                pattern: $pattern,
                problem: concat!("is not a ", $what, "; write for example ", $example),
            };

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new($pattern).expect("a test reads every pattern of the schema")
                });
                if text.len() <= $max_length && PATTERN.is_match(&text) {
                    Ok(Self(text))
                } else {
                    Err(TextError { text, problem: Self::FORM.problem })
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
                json_schema!({"type": "string", "pattern": $pattern, "maxLength": $max_length})
            }
        }
    };
}

text!(
    /// Names a bundle: `name@channel` follows a channel, `name/version` stays at one version.
    BundleRef, "reference to a bundle", "name@channel or name/version", 192,
    r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?[@/][A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$"
);
text!(
    /// A share from `0%` to `100%`, with at most three digits after the point.
    Percent, "percentage from 0% to 100%", "2.5%", 8, r"^(100(\.0{1,3})?|[0-9]{1,2}(\.[0-9]{1,3})?)%$"
);
text!(
    /// Where an OpenTelemetry collector takes spans over gRPC, in plain text.
    CollectorUrl, "URL of a collector", "http://collector.observability:4317", 253,
    r"^http://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[0-9]{1,5}$"
);
text!(
    /// A probability above 0 and below 1, with at most six digits.
    Probability, "probability between 0 and 1", "0.05", 8, r"^0\.[0-9]{0,5}[1-9]$"
);
text!(
    /// A decimal number of at most nine digits before the point and six after it, not negative.
    Factor, "decimal number", "1.2", 16, r"^[0-9]{1,9}(\.[0-9]{1,6})?$"
);
text!(
    /// A length of time, such as `300ms`, `30s`, `1h30m` or `14d`.
    Length, "length of time", "30s, 1h or 14d", 32, r"^([0-9]{1,6}(ms|s|m|h|d))+$"
);
text!(
    /// A length of time of a second or more, such as `30s`, `1h30m` or `14d`.
    Period, "length of time of a second or more", "30s, 1h or 14d", 32, r"^([1-9][0-9]{0,5}(s|m|h|d))+$"
);
text!(
    /// A name of lower-case letters, digits and `-`, beginning with a letter.
    Name, "name", "dlrm-vs-forest", 50, r"^[a-z]([a-z0-9-]*[a-z0-9])?$"
);
text!(
    /// The type of an outcome: letters, digits, `_`, `-` and `.`.
    EventType, "type of outcome", "purchase", 32, r"^[A-Za-z0-9_.-]+$"
);
text!(
    /// The salt of the hash that splits users: letters, digits, `.`, `_`, `/` and `-`.
    Salt, "salt", "shop/home/dlrm-vs-forest", 128, r"^[A-Za-z0-9._/-]+$"
);
text!(
    /// The name of a header, in lower case.
    HeaderName, "name of a header", "x-visitor-id", 64, r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
);
text!(
    /// A text whose only meaning is whether it has changed.
    Token, "token", "2", 64, r"^[A-Za-z0-9._-]+$"
);
text!(
    /// How often something is looked up: a length of time of 5 seconds or more.
    PollInterval, "length of time of 5 seconds or more", "30s, 1m or 1h", 32,
    r"^([1-9][0-9]{0,5}[mhd]|([5-9]|[1-9][0-9]{1,5})s)$"
);
text!(
    /// A decimal above 0, at most 1000.
    Temperature, "temperature above 0 and at most 1000", "0.5", 8,
    r"^(1000(\.0{1,3})?|[1-9][0-9]{0,2}(\.[0-9]{1,3})?|0\.([1-9][0-9]{0,2}|0[1-9][0-9]?|00[1-9]))$"
);

/// Where an S3-compatible store answers: `http://` or `https://`, a host without a user, and perhaps a path.
pub(crate) const ENDPOINT: &str = r"^https?://[^@/?#]+(/.*)?$";
/// Names of variants. Names of children are joined with two hyphens, so that none can be read in two ways.
pub(crate) const VARIANT_NAME: &str = r"^[a-z]([a-z0-9]|-[a-z0-9])*$";

/// The forms of all texts that have advice of their own.
pub(crate) const FORMS: [Form; 15] = [
    Form {
        pattern: ENDPOINT,
        problem: "is not an address; write for example http://minio:9000",
    },
    Form {
        pattern: VARIANT_NAME,
        problem: "can't be part of a Deployment's name; use at most 31 lower-case letters, digits and single '-', beginning with a letter and ending with a letter or digit",
    },
    BundleRef::FORM,
    Percent::FORM,
    Probability::FORM,
    Factor::FORM,
    Length::FORM,
    Period::FORM,
    Name::FORM,
    EventType::FORM,
    Salt::FORM,
    HeaderName::FORM,
    Token::FORM,
    PollInterval::FORM,
    Temperature::FORM,
];

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

impl Temperature {
    /// The number, above 0.
    pub fn value(&self) -> f32 {
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

impl PollInterval {
    /// The time.
    pub fn duration(&self) -> Duration {
        duration(&self.0).expect("checked when it was read")
    }
}

/// The length of time that a text such as `1h30m` writes.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let units = [
            ("ms", 1),
            ("s", 1000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ];
        let (after, milliseconds) = units
            .into_iter()
            .find_map(|(unit, milliseconds)| Some((rest[digits..].strip_prefix(unit)?, milliseconds)))?;
        total += Duration::from_millis(number.checked_mul(milliseconds)?);
        rest = after;
    }
    (!text.is_empty()).then_some(total)
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
        check::<BundleRef>(
            &["a@b", "two-tower@stable", "item.text/2026-11-24_1", "a/3F9a"],
            &[
                "", "a", "@b", "a@", "A@b", "a@b@c", "a/b/c", "../a@b", "a/..", "-a@b", "a@b-", "a b@c",
                "ä@b",
            ],
        );
        check::<PollInterval>(
            &["1m", "30s", "5s", "1h", "2d", "10s", "999999s"],
            &["", "30", "4s", "0h", "1w", "250ms", "1000000s"],
        );
        check::<Temperature>(
            &["0.5", "1", "1000", "12.125", "0.001"],
            &["0", "01", "1000.1", "1.", "0.0001"],
        );
        check::<Name>(&["a", "q4-holdout"], &["", "-a", "a-", "A", "4q"]);
        check::<EventType>(&["purchase", "add_to.cart-2"], &["", "a b", "ü"]);
    }

    #[test]
    fn texts_have_values() {
        assert_eq!("2.5%".parse::<Percent>().unwrap().fraction(), 0.025);
        assert_eq!("0.05".parse::<Probability>().unwrap().value(), 0.05);
        assert_eq!("1h30m".parse::<Length>().unwrap().duration().as_secs(), 5400);
        assert_eq!("12.125".parse::<Temperature>().unwrap().value(), 12.125);
        assert_eq!(
            "999999d".parse::<PollInterval>().unwrap().duration().as_secs(),
            86_399_913_600
        );
        assert_eq!("2d".parse::<Length>().unwrap().duration().as_secs(), 172_800);
    }
}
