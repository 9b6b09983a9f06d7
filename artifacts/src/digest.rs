//! sha256 as a type: written `sha256:` and 64 hexadecimal digits.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The sha256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// What was read is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a digest; write sha256: and 64 hexadecimal digits in lower case")]
pub struct DigestError {
    text: String,
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of a file's content and its length; reads it in pieces, and blocks.
    pub fn of_file(path: &Path) -> std::io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        let length = hasher.read_all(&mut std::fs::File::open(path)?)?;
        Ok((hasher.digest(), length))
    }

    /// The 64 digits alone, for file names.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    fn from_hex(digits: &str) -> Option<Self> {
        let lower = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let mut bytes = [0; 32];
        (lower && hex::decode_to_slice(digits, &mut bytes).is_ok()).then_some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix("sha256:");
        digits.and_then(Self::from_hex).ok_or_else(|| DigestError {
            text: text.chars().take(100).collect(),
        })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// Takes bytes as they come.
#[derive(Default, Clone)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Takes all that `from` gives, and says how many bytes that was.
    pub(crate) fn read_all(&mut self, from: &mut impl Read) -> std::io::Result<u64> {
        let mut buffer = vec![0; 256 << 10];
        let mut total = 0;
        loop {
            match from.read(&mut buffer)? {
                0 => return Ok(total),
                read => {
                    self.update(&buffer[..read]);
                    total += read as u64;
                }
            }
        }
    }

    pub(crate) fn digest(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Serde for fields that are called `sha256` already: the digits without the prefix.
pub(crate) mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Digest, DigestError};

    pub(crate) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&digest.hex())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(from)?;
        Digest::from_hex(&text).ok_or_else(|| {
            D::Error::custom(DigestError {
                text: text.chars().take(100).collect(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
    }

    #[test]
    fn what_is_not_a_digest_is_refused() {
        for text in [
            "",
            "sha256:",
            "md5:00",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        ] {
            let message = text.parse::<Digest>().unwrap_err().to_string();
            assert!(
                message.ends_with("is not a digest; write sha256: and 64 hexadecimal digits in lower case"),
                "{message}"
            );
        }
    }
}
