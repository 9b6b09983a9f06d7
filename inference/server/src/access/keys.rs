//! API keys: which digests are known, and what each may.
//!
//! A Secret has an entry a client, whose name is the client's; a line of it is a key and its scopes, as
//! `sha256:DIGEST read write`. Several lines are several keys of that client, so that a key can be replaced without a gap. Nobody
//! who reads the Secret, or the memory of a router, has a key.

use std::path::PathBuf;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::scope::{Scope, Scopes};
use crate::reloading::{Files, FilesError};

/// Longest key that a client may send, in bytes.
const MAX_KEY_BYTES: usize = 512;
/// Most keys: each request is compared with all, which takes a hundredth of a millisecond for so many.
const MAX_KEYS: usize = 1000;
/// How the form of a line is told.
const FORM: &str = "write lines such as 'sha256:DIGEST read', with the SHA-256 of the key as 64 hexadecimal digits and some of read, write and \
                    outcomes";

/// A digest that is known.
#[derive(Clone)]
struct Key {
    digest: [u8; 32],
    client: Arc<str>,
    scopes: Scopes,
}

/// All keys.
#[derive(Default)]
pub(crate) struct Keys(Vec<Key>);

impl Keys {
    /// Reads a folder of them.
    pub(super) fn read(files: &[Files]) -> Result<Self, FilesError> {
        let mut keys = Vec::new();
        for (client, content) in files.iter().flatten() {
            let wrong = |problem: String| FilesError::Content {
                path: PathBuf::from(client),
                what: "a list of API keys",
                problem,
            };
            let text = std::str::from_utf8(content).map_err(|_| wrong(FORM.to_owned()))?;
            let lines = text.lines().map(str::trim).enumerate();
            for (place, line) in lines.filter(|(_, line)| !line.is_empty()) {
                let (digest, scopes) =
                    read_line(line).map_err(|problem| wrong(format!("line {}: {problem}", place + 1)))?;
                let client = client.as_str().into();
                keys.push(Key {
                    digest,
                    client,
                    scopes,
                });
            }
        }
        if keys.len() > MAX_KEYS {
            let problem = format!("there are {} keys; give at most {MAX_KEYS}", keys.len());
            return Err(FilesError::Content {
                path: PathBuf::from("the Secret"),
                what: "a list of API keys",
                problem,
            });
        }
        Ok(Self(keys))
    }

    /// Whose key it is, and what it may do. Takes the same time for every key of a length: all digests are compared to their ends.
    pub(super) fn find(&self, key: &[u8]) -> Option<(Arc<str>, Scopes)> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return None;
        }
        let asked = digest(&SHA256, key);
        let mut found = u32::MAX;
        for (place, known) in (0u32..).zip(&self.0) {
            let same: Choice = known.digest.as_slice().ct_eq(asked.as_ref());
            found.conditional_assign(&place, same);
        }
        let key = self.0.get(found as usize)?;
        Some((Arc::clone(&key.client), key.scopes))
    }
}

/// The problem names no part of the line, which may be a key that somebody forgot to hash.
fn read_line(line: &str) -> Result<([u8; 32], Scopes), String> {
    let mut words = line.split_ascii_whitespace();
    let mut digest = [0; 32];
    let hexadecimal = words.next().and_then(|word| word.strip_prefix("sha256:"));
    hexadecimal
        .and_then(|text| hex::decode_to_slice(text, &mut digest).ok())
        .ok_or_else(|| FORM.to_owned())?;
    let mut scopes = Scopes::default();
    for word in words {
        scopes = scopes.with(word.parse::<Scope>().map_err(|()| FORM.to_owned())?);
    }
    if scopes.is_empty() {
        return Err("the key may do nothing; write some of read, write and outcomes after it".to_owned());
    }
    Ok((digest, scopes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, String)]) -> [Files; 1] {
        let entries = entries
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes()));
        [entries.collect()]
    }

    fn line(key: &str, scopes: &str) -> String {
        format!(
            "sha256:{} {scopes}\n",
            hex::encode(digest(&SHA256, key.as_bytes()))
        )
    }

    #[test]
    fn a_key_is_known_by_its_digest_and_may_what_its_line_says() {
        let two = line("old", "read") + &line("new", "read write");
        let keys = Keys::read(&files(&[("website", two), ("pos", line("till", "outcomes"))])).unwrap();
        let found = |key: &str| {
            keys.find(key.as_bytes())
                .map(|(client, scopes)| format!("{client}: {scopes}"))
        };
        assert_eq!(found("old").as_deref(), Some("website: read"));
        assert_eq!(found("new").as_deref(), Some("website: read and write"));
        assert_eq!(found("till").as_deref(), Some("pos: outcomes"));
        for unknown in ["", "olD", "till ", &"x".repeat(513)] {
            assert_eq!(found(unknown), None, "{unknown:?}");
        }
        let digest = hex::encode(digest(&SHA256, b"old"));
        assert_eq!(found(&digest), None, "a digest is no key");
        assert!(Keys::read(&[]).unwrap().find(b"old").is_none());
    }

    #[test]
    fn a_line_of_another_form_is_refused_without_being_repeated() {
        for (text, expected) in [
            ("s3cret".to_owned(), "line 1: write lines such as"),
            (
                line("a", "read").replace("sha256:", "md5:"),
                "line 1: write lines",
            ),
            (
                line("a", "read") + &line("s3cret", "admin"),
                "line 2: write lines",
            ),
            (line("a", ""), "line 1: the key may do nothing"),
            ("sha256:s3cret read".to_owned(), "line 1: write lines"),
        ] {
            let error = Keys::read(&files(&[("website", text)]))
                .err()
                .unwrap()
                .to_string();
            assert!(
                error.starts_with("website is not a list of API keys: ") && error.contains(expected),
                "{error}"
            );
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
