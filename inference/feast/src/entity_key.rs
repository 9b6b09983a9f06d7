//! Entity keys as bytes: the Redis key of an entity, and back from a Redis key to the entity.
//!
//! A Redis key is the serialized entity key and then the project's name. An entity key is its join keys in order of their bytes,
//! then their values in the same order, each number little-endian:
//!
//! | version | | for each join key | for each value |
//! |---|---|---|---|
//! | 3 | number of join keys, `u32` | type `u32` (2: text), length `u32`, bytes | type `u32`, length `u32`, bytes |
//! | 2 | | type `u32` (2: text), bytes | type `u32`, length `u32`, bytes |
//!
//! Version 2 doesn't say how long a join key is, so that a Redis key can only be read by who knows its join keys; this is how
//! [`KeyLayout::parse`] reads both versions.

use std::fmt;

/// How Feast serializes entity keys: `entity_key_serialization_version` of `feature_store.yaml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyVersion {
    /// Without lengths of join keys; Feast warns of it.
    V2,
    /// Feast's own default.
    #[default]
    V3,
}

/// A version of keys that we don't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entity_key_serialization_version {version} is not supported; it must be 2 or 3")]
pub struct UnknownKeyVersion {
    /// What was given.
    pub version: u32,
}

impl TryFrom<u32> for KeyVersion {
    type Error = UnknownKeyVersion;

    fn try_from(version: u32) -> Result<Self, UnknownKeyVersion> {
        match version {
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            version => Err(UnknownKeyVersion { version }),
        }
    }
}

/// The value of a join key. Feast takes no other types for it: no boolean, no floating-point number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyValue {
    /// Bytes.
    Bytes(Vec<u8>),
    /// A text.
    String(String),
    /// A whole number of 32 bits.
    Int32(i32),
    /// A whole number of 64 bits.
    Int64(i64),
    /// Seconds since 1970.
    UnixTimestamp(i64),
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::String(text) => f.write_str(text),
            Self::Int32(number) => number.fmt(f),
            Self::Int64(number) | Self::UnixTimestamp(number) => number.fmt(f),
        }
    }
}

/// Numbers of types in keys, as `feast.types.ValueType` has them.
mod code {
    pub(super) const BYTES: u32 = 1;
    pub(super) const STRING: u32 = 2;
    pub(super) const INT32: u32 = 3;
    pub(super) const INT64: u32 = 4;
    pub(super) const UNIX_TIMESTAMP: u32 = 8;
}

impl KeyValue {
    fn code(&self) -> u32 {
        match self {
            Self::Bytes(_) => code::BYTES,
            Self::String(_) => code::STRING,
            Self::Int32(_) => code::INT32,
            Self::Int64(_) => code::INT64,
            Self::UnixTimestamp(_) => code::UNIX_TIMESTAMP,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::String(text) => text.clone().into_bytes(),
            Self::Int32(number) => number.to_le_bytes().to_vec(),
            Self::Int64(number) | Self::UnixTimestamp(number) => number.to_le_bytes().to_vec(),
        }
    }

    fn read(code: u32, bytes: &[u8]) -> Result<Self, NotThisKey> {
        let length = NotThisKey::ValueLength {
            code,
            bytes: bytes.len(),
        };
        let eight = || bytes.try_into().map(i64::from_le_bytes);
        match code {
            code::BYTES => Ok(Self::Bytes(bytes.to_vec())),
            code::STRING => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Ok(Self::String(text)),
                Err(_) => Err(NotThisKey::NotUtf8),
            },
            code::INT32 => match bytes.try_into() {
                Ok(four) => Ok(Self::Int32(i32::from_le_bytes(four))),
                Err(_) => Err(length),
            },
            code::INT64 => eight().map(Self::Int64).map_err(|_| length),
            code::UNIX_TIMESTAMP => eight().map(Self::UnixTimestamp).map_err(|_| length),
            code => Err(NotThisKey::ValueType { code }),
        }
    }
}

/// Why there is no such entity key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntityKeyError {
    /// A join key has two values.
    #[error("join key {join_key} is given twice; give it one value")]
    Twice {
        /// Which one.
        join_key: String,
    },
    /// A part is longer than its length can say.
    #[error(
        "a join key or its value has {bytes} bytes, and can have at most {}",
        u32::MAX
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

/// The join keys of an entity and their values, in Feast's order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EntityKey(Vec<(String, KeyValue)>);

impl EntityKey {
    /// A key of join keys and their values, in any order.
    pub fn new(mut parts: Vec<(String, KeyValue)>) -> Result<Self, EntityKeyError> {
        parts.sort_by(|one, other| one.0.cmp(&other.0));
        for pair in parts.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(EntityKeyError::Twice {
                    join_key: pair[0].0.clone(),
                });
            }
        }
        for (join_key, value) in &parts {
            let bytes = join_key.len().max(value.bytes().len());
            if u32::try_from(bytes).is_err() {
                return Err(EntityKeyError::TooLong { bytes });
            }
        }
        Ok(Self(parts))
    }

    /// Join keys and their values, ordered by the bytes of the join keys.
    pub fn parts(&self) -> &[(String, KeyValue)] {
        &self.0
    }

    /// As Feast serializes it: what a Redis key begins with.
    pub fn to_bytes(&self, version: KeyVersion) -> Vec<u8> {
        let join_keys: Vec<&str> = self.0.iter().map(|(join_key, _)| join_key.as_str()).collect();
        let mut bytes = prefix(version, &join_keys);
        for (_, value) in &self.0 {
            let written = value.bytes();
            put(&mut bytes, value.code());
            put(&mut bytes, length(&written));
            bytes.extend(written);
        }
        bytes
    }
}

/// What the keys of all entities with these join keys, which are sorted, begin with.
fn prefix(version: KeyVersion, join_keys: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if version == KeyVersion::V3 {
        put(&mut bytes, length(join_keys));
    }
    for join_key in join_keys {
        put(&mut bytes, code::STRING);
        if version == KeyVersion::V3 {
            put(&mut bytes, length(join_key.as_bytes()));
        }
        bytes.extend(join_key.as_bytes());
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
}

/// A length as keys have it. Longer parts were refused when the key was made; no registry names such a join key either.
fn length<T>(part: &[T]) -> u32 {
    u32::try_from(part.len()).unwrap_or(u32::MAX)
}

/// Why a Redis key does not belong to an entity with the join keys asked for. A store may well have others: who scans it skips them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotThisKey {
    /// It begins otherwise.
    #[error("the Redis key has other join keys, or another serialization version")]
    JoinKeys,
    /// It ends before its values do.
    #[error("the Redis key ends within its values")]
    Cut,
    /// A value of a type that keys don't have.
    #[error("the Redis key has a value of type {code}, and keys have types 1 to 4 and 8")]
    ValueType {
        /// The type's number.
        code: u32,
    },
    /// A number of the wrong length.
    #[error("the Redis key has a value of type {code} in {bytes} bytes")]
    ValueLength {
        /// The type's number.
        code: u32,
        /// How long its value is.
        bytes: usize,
    },
    /// A text that is none.
    #[error("the Redis key has a text that is not UTF-8")]
    NotUtf8,
    /// It ends with something else.
    #[error("the Redis key belongs to another project")]
    Project,
}

/// How a project's entities are found in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyLayout {
    /// How entity keys are serialized.
    pub version: KeyVersion,
    /// The project, with which each Redis key ends.
    pub project: String,
}

impl KeyLayout {
    /// The Redis key of an entity.
    pub fn redis_key(&self, entity: &EntityKey) -> Vec<u8> {
        let mut bytes = entity.to_bytes(self.version);
        bytes.extend(self.project.as_bytes());
        bytes
    }

    /// The pattern for `SCAN ... MATCH` that all entities with these join keys match, and maybe others: [`KeyLayout::parse`]
    /// tells them apart.
    pub fn scan_pattern(&self, join_keys: &[&str]) -> Vec<u8> {
        let mut pattern = escaped(&prefix(self.version, &sorted(join_keys)));
        pattern.push(b'*');
        pattern.extend(escaped(self.project.as_bytes()));
        pattern
    }

    /// The entity of a Redis key, if that is one of this project with just these join keys.
    pub fn parse(&self, join_keys: &[&str], redis_key: &[u8]) -> Result<EntityKey, NotThisKey> {
        let join_keys = sorted(join_keys);
        let mut rest = redis_key
            .strip_prefix(prefix(self.version, &join_keys).as_slice())
            .ok_or(NotThisKey::JoinKeys)?;
        let mut parts = Vec::with_capacity(join_keys.len());
        for join_key in join_keys {
            parts.push((join_key.to_owned(), take_value(&mut rest)?));
        }
        if rest == self.project.as_bytes() {
            Ok(EntityKey(parts))
        } else {
            Err(NotThisKey::Project)
        }
    }
}

fn sorted<'a>(join_keys: &[&'a str]) -> Vec<&'a str> {
    let mut sorted = join_keys.to_vec();
    sorted.sort_unstable();
    sorted
}

/// Bytes that stand for themselves in a pattern of Redis.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    for byte in bytes {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

fn take_value(rest: &mut &[u8]) -> Result<KeyValue, NotThisKey> {
    let code = take_number(rest)?;
    let length = take_number(rest)?;
    let length = usize::try_from(length).map_err(|_| NotThisKey::Cut)?;
    KeyValue::read(code, take(rest, length)?)
}

fn take_number(rest: &mut &[u8]) -> Result<u32, NotThisKey> {
    let (number, after) = rest.split_first_chunk().ok_or(NotThisKey::Cut)?;
    *rest = after;
    Ok(u32::from_le_bytes(*number))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotThisKey> {
    let (taken, after) = rest.split_at_checked(length).ok_or(NotThisKey::Cut)?;
    *rest = after;
    Ok(taken)
}

#[cfg(test)]
mod tests;
