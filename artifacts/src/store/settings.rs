//! Settings as people write them: a file that an editor ended with a line break, a variable that was pasted with one inside.

use url::Url;

use super::{StoreError, scheme};

/// A value without what stands around it.
pub(super) fn trimmed(value: &str) -> &str {
    value.trim_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}')
}

/// Refuses by name what can't be part of a request: clients make headers of keys and tokens, and take it for granted that this can be
/// done.
pub(super) fn check(url: &Url, shown: &str, settings: &[(String, String)]) -> Result<(), StoreError> {
    for (name, value) in settings {
        // A Google account's key is a document of several lines, and none of them becomes a header as it is.
        let is_document = value.starts_with('{');
        let mut signs = value.chars().enumerate();
        let bad = signs.find(|(_, sign)| !(' '..='~').contains(sign));
        if let Some((place, sign)) = bad.filter(|_| !is_document && scheme::takes(url, name)) {
            return Err(StoreError::Setting {
                url: shown.to_owned(),
                setting: name.to_ascii_uppercase(),
                sign: named(sign),
                position: place + 1,
            });
        }
    }
    Ok(())
}

/// A character that can't be shown as it is. Nothing else of a secret is revealed.
fn named(sign: char) -> String {
    match sign {
        '\n' | '\r' => "a line break".to_owned(),
        '\t' => "a tab".to_owned(),
        sign if sign.is_control() => format!("the control character U+{:04X}", u32::from(sign)),
        _ => "a sign that is not of ASCII".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, name: &str, value: &str) -> Result<(), String> {
        let settings = [(name.to_owned(), value.to_owned())];
        check(&Url::parse(url).unwrap(), url, &settings).map_err(|error| error.to_string())
    }

    #[test]
    fn what_stands_around_a_value_is_left_out() {
        for value in ["key", "key\n", "key\r\n", " key\n\n", "\u{feff}key\r", "\tkey "] {
            assert_eq!(trimmed(value), "key", "{value:?}");
        }
        let account = "{\n  \"type\": \"service_account\"\n}";
        assert!(checked("gs://b", "google_service_account_key", account).is_ok());
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_by_name_and_not_shown() {
        for (url, name, value, sign) in [
            (
                "s3://b",
                "aws_access_key_id",
                "AKIA\nhidden",
                "a line break at character 5",
            ),
            (
                "s3://b",
                "aws_secret_access_key",
                "a\r\nb",
                "a line break at character 2",
            ),
            ("s3://b", "aws_session_token", "a\tb", "a tab at character 2"),
            (
                "az://b",
                "azure_storage_account_key",
                "a\u{0}b",
                "the control character U+0000",
            ),
            (
                "gs://b",
                "google_bucket",
                "b\u{fc}cket",
                "a sign that is not of ASCII at character 2",
            ),
        ] {
            let refused = checked(url, name, value).unwrap_err();
            let named = format!(
                "the setting {} of the store {url} has {sign}",
                name.to_ascii_uppercase()
            );
            assert!(refused.starts_with(&named), "{refused}");
            assert!(!refused.contains("hidden"), "{refused}");
        }
        // Nobody's business.
        assert!(checked("s3://b", "aws_motd", "a\nb").is_ok());
        assert!(checked("file:///b", "aws_access_key_id", "a\nb").is_ok());
    }
}
