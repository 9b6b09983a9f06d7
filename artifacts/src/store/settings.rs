//! Settings as people write them: a file that an editor ended with a line break, a variable that was pasted with one inside.

use url::Url;

use super::{StoreError, scheme};

/// The settings without what stands around their values. What can't be part of a request is refused by name: clients make headers of
/// keys and tokens, and take it for granted that this can be done.
pub(super) fn printable(
    url: &Url,
    shown: &str,
    settings: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, StoreError> {
    let clean = |(name, value): (String, String)| {
        let value = value.trim_matches(|sign: char| sign.is_whitespace() || sign == '\u{feff}');
        // A Google account's key is a document of several lines, and none of them becomes a header as it is.
        let is_document = value.starts_with('{');
        let bad = value.chars().position(|sign| !(' '..='~').contains(&sign));
        match bad.filter(|_| !is_document && scheme::takes(url, &name)) {
            None => Ok((name, value.to_owned())),
            Some(position) => Err(StoreError::Setting {
                url: shown.to_owned(),
                setting: name.to_ascii_uppercase(),
                sign: named(value.chars().nth(position)),
                position: position + 1,
            }),
        }
    };
    settings.into_iter().map(clean).collect()
}

/// A sign that can't be shown as it is. Nothing else of a secret is told.
fn named(sign: Option<char>) -> String {
    match sign {
        Some('\n' | '\r') => "a line break".to_owned(),
        Some('\t') => "a tab".to_owned(),
        Some(sign) if sign.is_control() => format!("the control character U+{:04X}", u32::from(sign)),
        _ => "a sign that is not of ASCII".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(url: &str, name: &str, value: &str) -> Result<String, String> {
        let settings = vec![(name.to_owned(), value.to_owned())];
        let cleaned =
            printable(&Url::parse(url).unwrap(), url, settings).map_err(|error| error.to_string())?;
        Ok(cleaned[0].1.clone())
    }

    #[test]
    fn what_stands_around_a_value_is_left_out() {
        for value in ["key", "key\n", "key\r\n", " key\n\n", "\u{feff}key\r", "\tkey "] {
            assert_eq!(
                cleaned("s3://b", "aws_access_key_id", value).as_deref(),
                Ok("key"),
                "{value:?}"
            );
        }
        let account = "{\n  \"type\": \"service_account\"\n}\n";
        assert_eq!(
            cleaned("gs://b", "google_service_account_key", account).as_deref(),
            Ok(account.trim())
        );
    }

    #[test]
    fn what_can_be_no_header_is_refused_by_name_and_not_shown() {
        for (url, name, value, sign) in [
            (
                "s3://b",
                "aws_access_key_id",
                "AKIA\nSECRET",
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
            let refused = cleaned(url, name, value).unwrap_err();
            let named = format!(
                "the setting {} of the store {url} has {sign}",
                name.to_ascii_uppercase()
            );
            assert!(refused.starts_with(&named), "{refused}");
            assert!(!refused.contains("SECRET"), "{refused}");
        }
        // Nobody's business.
        assert!(cleaned("s3://b", "aws_motd", "a\nb").is_ok());
        assert!(cleaned("file:///b", "aws_access_key_id", "a\nb").is_ok());
    }
}
