//! Whose events they are: ids as keyed hashes, so that nobody without the key can tell who a unit is.

use std::fmt;
use std::path::Path;

use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The fewest bytes of a key.
const MIN_KEY: usize = 16;
/// The file of the key in a mounted Secret.
pub const KEY_FILE: &str = "unit-key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It can't be read.
    #[error("the key of units can't be read from {path}; create the Secret with the key unit-key")]
    Read {
        /// Where it should be.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It could be guessed.
    #[error("the key of units in {path} has {bytes} bytes; give at least {MIN_KEY} random ones")]
    Short {
        /// Where it is.
        path: String,
        /// How long it is.
        bytes: usize,
    },
}

/// The key that ids are hashed with.
#[derive(Clone)]
pub struct UnitKey(hmac::Key);

impl fmt::Debug for UnitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnitKey(..)")
    }
}

impl UnitKey {
    /// A key of at least 16 bytes.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        Self::checked(key, "the arguments")
    }

    /// Reads a key: a file, or a folder with the file `unit-key`. A line's end at its end is not part of it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = if path.is_dir() {
            path.join(KEY_FILE)
        } else {
            path.to_owned()
        };
        let place = file.display().to_string();
        let bytes = std::fs::read(&file).map_err(|source| KeyError::Read {
            path: place.clone(),
            source,
        })?;
        Self::checked(bytes.trim_ascii_end(), &place)
    }

    fn checked(key: &[u8], path: &str) -> Result<Self, KeyError> {
        if key.len() < MIN_KEY {
            return Err(KeyError::Short {
                path: path.to_owned(),
                bytes: key.len(),
            });
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The hash of an id, which is taken as it was received.
    pub fn hash(&self, id: &str) -> UnitHash {
        UnitHash(first_half(hmac::sign(&self.0, id.as_bytes()).as_ref()))
    }
}

/// A unit: the first 16 bytes of HMAC-SHA-256 of its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitHash(pub [u8; 16]);

impl UnitHash {
    /// Its first 8 bytes: enough to tell units apart where all of them are in one place.
    pub fn short(self) -> u64 {
        first_eight(self.0)
    }
}

/// Tells one event from another, however often it is sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventId(pub [u8; 16]);

impl fmt::Debug for UnitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl EventId {
    /// The id of what these parts describe; parts are set apart by `|`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                hash.update(b"|");
            }
            hash.update(part);
        }
        Self(first_half(&hash.finalize()))
    }

    /// Its first 8 bytes: enough to tell the events of one unit apart.
    pub fn short(self) -> u64 {
        first_eight(self.0)
    }
}

fn first_eight(hash: [u8; 16]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(bytes)
}

fn first_half(digest: &[u8]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_the_hmac_that_others_compute() {
        // python3 -c "import hmac,hashlib;print(hmac.new(b'0123456789abcdef',b'alice',hashlib.sha256).hexdigest()[:32])"
        let key = UnitKey::new(b"0123456789abcdef").unwrap();
        assert_eq!(format!("{:?}", key.hash("alice")), HASH);
    }

    const HASH: &str = "fdbf8b1cacd3d578e062d0e41104357d";

    #[test]
    fn a_key_that_could_be_guessed_is_refused() {
        let error = UnitKey::new(b"secret").unwrap_err().to_string();
        assert!(error.contains("has 6 bytes; give at least 16"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let missing = UnitKey::read(&folder.path().join("nothing")).unwrap_err();
        assert!(missing.to_string().contains("create the Secret"), "{missing}");
        std::fs::write(folder.path().join(KEY_FILE), "0123456789abcdef\n").unwrap();
        let read = UnitKey::read(folder.path()).unwrap();
        assert_eq!(
            read.hash("bob"),
            UnitKey::new(b"0123456789abcdef").unwrap().hash("bob")
        );
    }

    #[test]
    fn ids_of_events_depend_on_every_part() {
        let id = EventId::of(&[b"a", b"b"]);
        assert_ne!(id, EventId::of(&[b"a", b"c"]));
        assert_ne!(id, EventId::of(&[b"ab"]));
        assert_eq!(id, EventId::of(&[b"a", b"b"]));
    }
}
