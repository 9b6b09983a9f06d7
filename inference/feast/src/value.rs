//! Values as Feast stores them: the protobuf message `feast.types.Value`.
//!
//! A message without a kind (no bytes) is null, which is neither zero nor an empty text or list: these have a kind. How values become
//! those of the data plane, and back, is in [`crate::convert`].

use std::collections::BTreeMap;

use prost::Message;

use crate::ValueType;

/// Why bytes are no value.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// They are no message.
    #[error("not a feast.types.Value")]
    Damaged(#[source] prost::DecodeError),
    /// A kind of a later Feast.
    #[error(
        "a value of kind {tag} of feast.types.Value, which is not known here; kinds 1 to 48 are, as in Feast 0.67"
    )]
    UnknownKind {
        /// The kind's field in the message.
        tag: u32,
    },
}

/// One stored value.
#[derive(Clone, PartialEq, Message)]
pub struct FeastValue {
    /// What it is; none is null.
    #[prost(
        oneof = "Kind",
        tags = "1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48"
    )]
    pub kind: Option<Kind>,
}

impl FeastValue {
    /// Null, which has no bytes.
    pub const NULL: Self = Self { kind: None };

    /// Reads a hash field. How long it may be is for the caller to say ([`crate::MAX_VALUE_BYTES`]): what is read takes some 50 times its
    /// bytes at worst. Values inside of lists and maps whose kind is not known are read as null.
    pub fn read(bytes: &[u8]) -> Result<Self, ValueError> {
        let value = Self::decode(bytes).map_err(ValueError::Damaged)?;
        if value.kind.is_none() && !bytes.is_empty() {
            let (tag, _) = prost::encoding::decode_key(&mut &*bytes).map_err(ValueError::Damaged)?;
            return Err(ValueError::UnknownKind { tag });
        }
        Ok(value)
    }

    /// What a hash field holds.
    pub fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Whether nothing is known.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, None | Some(Kind::Null(_)))
    }
}

impl From<Kind> for FeastValue {
    fn from(kind: Kind) -> Self {
        Self { kind: Some(kind) }
    }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident($($attribute:tt)+): $type:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Message)]
        pub struct $name {
            /// The elements.
            #[prost($($attribute)+, tag = "1")]
            pub val: $type,
        }
    )+};
}

messages! {
    /// Byte strings.
    BytesList(bytes = "vec", repeated): Vec<Vec<u8>>;
    /// Texts.
    StringList(string, repeated): Vec<String>;
    /// Whole numbers of 32 bits.
    Int32List(int32, repeated): Vec<i32>;
    /// Whole numbers of 64 bits.
    Int64List(int64, repeated): Vec<i64>;
    /// Numbers of 64 bits.
    DoubleList(double, repeated): Vec<f64>;
    /// Numbers of 32 bits.
    FloatList(float, repeated): Vec<f32>;
    /// Truths.
    BoolList(bool, repeated): Vec<bool>;
    /// Values by name.
    Map(btree_map = "string, message"): BTreeMap<String, FeastValue>;
    /// Maps.
    MapList(message, repeated): Vec<Map>;
    /// Values of any kind.
    ValueList(message, repeated): Vec<FeastValue>;
    /// Values by keys that are no text.
    ScalarMap(message, repeated): Vec<ScalarMapEntry>;
}

/// One value of a [`ScalarMap`].
#[derive(Clone, PartialEq, Message)]
pub struct ScalarMapEntry {
    /// Its key.
    #[prost(message, optional, tag = "1")]
    pub key: Option<MapKey>,
    /// The value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<FeastValue>,
}

/// The key of a [`ScalarMapEntry`].
#[derive(Clone, PartialEq, Message)]
pub struct MapKey {
    /// What it is.
    #[prost(oneof = "MapKeyKind", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub kind: Option<MapKeyKind>,
}

/// What a [`MapKey`] is.
#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(missing_docs, reason = "the names are Feast's")]
pub enum MapKeyKind {
    #[prost(int32, tag = "1")]
    Int32(i32),
    #[prost(int64, tag = "2")]
    Int64(i64),
    #[prost(float, tag = "3")]
    Float(f32),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(bool, tag = "5")]
    Bool(bool),
    #[prost(int64, tag = "6")]
    UnixTimestamp(i64),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
    #[prost(string, tag = "8")]
    Uuid(String),
    #[prost(string, tag = "9")]
    TimeUuid(String),
    #[prost(string, tag = "10")]
    Decimal(String),
}

/// A time and the zone in which it was meant.
#[derive(Clone, PartialEq, Message)]
pub struct ZonedTimestamp {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub unix_timestamp: i64,
    /// The zone's name.
    #[prost(string, tag = "2")]
    pub zone: String,
}

/// What a value is: the kinds of Feast 0.67, by the numbers of [`ValueType`].
#[derive(Clone, PartialEq, prost::Oneof)]
#[expect(missing_docs, reason = "the names are Feast's")]
pub enum Kind {
    #[prost(bytes = "vec", tag = "1")]
    Bytes(Vec<u8>),
    #[prost(string, tag = "2")]
    String(String),
    #[prost(int32, tag = "3")]
    Int32(i32),
    #[prost(int64, tag = "4")]
    Int64(i64),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(float, tag = "6")]
    Float(f32),
    #[prost(bool, tag = "7")]
    Bool(bool),
    #[prost(int64, tag = "8")]
    UnixTimestamp(i64),
    #[prost(message, tag = "11")]
    BytesList(BytesList),
    #[prost(message, tag = "12")]
    StringList(StringList),
    #[prost(message, tag = "13")]
    Int32List(Int32List),
    #[prost(message, tag = "14")]
    Int64List(Int64List),
    #[prost(message, tag = "15")]
    DoubleList(DoubleList),
    #[prost(message, tag = "16")]
    FloatList(FloatList),
    #[prost(message, tag = "17")]
    BoolList(BoolList),
    #[prost(message, tag = "18")]
    UnixTimestampList(Int64List),
    #[prost(int32, tag = "19")]
    Null(i32),
    #[prost(message, tag = "20")]
    Map(Map),
    #[prost(message, tag = "21")]
    MapList(MapList),
    #[prost(message, tag = "22")]
    BytesSet(BytesList),
    #[prost(message, tag = "23")]
    StringSet(StringList),
    #[prost(message, tag = "24")]
    Int32Set(Int32List),
    #[prost(message, tag = "25")]
    Int64Set(Int64List),
    #[prost(message, tag = "26")]
    DoubleSet(DoubleList),
    #[prost(message, tag = "27")]
    FloatSet(FloatList),
    #[prost(message, tag = "28")]
    BoolSet(BoolList),
    #[prost(message, tag = "29")]
    UnixTimestampSet(Int64List),
    #[prost(string, tag = "32")]
    Json(String),
    #[prost(message, tag = "33")]
    JsonList(StringList),
    #[prost(message, tag = "34")]
    Struct(Map),
    #[prost(message, tag = "35")]
    StructList(MapList),
    #[prost(string, tag = "36")]
    Uuid(String),
    #[prost(string, tag = "37")]
    TimeUuid(String),
    #[prost(message, tag = "38")]
    UuidList(StringList),
    #[prost(message, tag = "39")]
    TimeUuidList(StringList),
    #[prost(message, tag = "40")]
    UuidSet(StringList),
    #[prost(message, tag = "41")]
    TimeUuidSet(StringList),
    #[prost(message, tag = "42")]
    ValueList(ValueList),
    #[prost(message, tag = "43")]
    ValueSet(ValueList),
    #[prost(string, tag = "44")]
    Decimal(String),
    #[prost(message, tag = "45")]
    DecimalList(StringList),
    #[prost(message, tag = "46")]
    DecimalSet(StringList),
    #[prost(message, tag = "47")]
    ScalarMap(ScalarMap),
    #[prost(message, tag = "48")]
    ZonedTimestamp(ZonedTimestamp),
}

impl Kind {
    /// The type of such a value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Bytes(_) => ValueType::Bytes,
            Self::String(_) => ValueType::String,
            Self::Int32(_) => ValueType::Int32,
            Self::Int64(_) => ValueType::Int64,
            Self::Double(_) => ValueType::Double,
            Self::Float(_) => ValueType::Float,
            Self::Bool(_) => ValueType::Bool,
            Self::UnixTimestamp(_) => ValueType::UnixTimestamp,
            Self::BytesList(_) => ValueType::BytesList,
            Self::StringList(_) => ValueType::StringList,
            Self::Int32List(_) => ValueType::Int32List,
            Self::Int64List(_) => ValueType::Int64List,
            Self::DoubleList(_) => ValueType::DoubleList,
            Self::FloatList(_) => ValueType::FloatList,
            Self::BoolList(_) => ValueType::BoolList,
            Self::UnixTimestampList(_) => ValueType::UnixTimestampList,
            Self::Null(_) => ValueType::Null,
            Self::Map(_) => ValueType::Map,
            Self::MapList(_) => ValueType::MapList,
            Self::BytesSet(_) => ValueType::BytesSet,
            Self::StringSet(_) => ValueType::StringSet,
            Self::Int32Set(_) => ValueType::Int32Set,
            Self::Int64Set(_) => ValueType::Int64Set,
            Self::DoubleSet(_) => ValueType::DoubleSet,
            Self::FloatSet(_) => ValueType::FloatSet,
            Self::BoolSet(_) => ValueType::BoolSet,
            Self::UnixTimestampSet(_) => ValueType::UnixTimestampSet,
            Self::Json(_) => ValueType::Json,
            Self::JsonList(_) => ValueType::JsonList,
            Self::Struct(_) => ValueType::Struct,
            Self::StructList(_) => ValueType::StructList,
            Self::Uuid(_) => ValueType::Uuid,
            Self::TimeUuid(_) => ValueType::TimeUuid,
            Self::UuidList(_) => ValueType::UuidList,
            Self::TimeUuidList(_) => ValueType::TimeUuidList,
            Self::UuidSet(_) => ValueType::UuidSet,
            Self::TimeUuidSet(_) => ValueType::TimeUuidSet,
            Self::ValueList(_) => ValueType::ValueList,
            Self::ValueSet(_) => ValueType::ValueSet,
            Self::Decimal(_) => ValueType::Decimal,
            Self::DecimalList(_) => ValueType::DecimalList,
            Self::DecimalSet(_) => ValueType::DecimalSet,
            Self::ScalarMap(_) => ValueType::ScalarMap,
            Self::ZonedTimestamp(_) => ValueType::ZonedTimestamp,
        }
    }
}

#[cfg(test)]
mod tests;
