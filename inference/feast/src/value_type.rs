//! The types that Feast's registry declares, by the numbers of `feast.types.ValueType`.

use strum::Display;

/// The type of a feature, as the registry declares it. Kinds of stored values have the same numbers ([`crate::Kind`]).
///
/// Shown as `feast` shows it: `INT64`, `DOUBLE`; in Python these are `Int64` and `Float64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, prost::Enumeration)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are Feast's")]
pub enum ValueType {
    Invalid = 0,
    Bytes = 1,
    String = 2,
    Int32 = 3,
    Int64 = 4,
    Double = 5,
    Float = 6,
    Bool = 7,
    UnixTimestamp = 8,
    BytesList = 11,
    StringList = 12,
    Int32List = 13,
    Int64List = 14,
    DoubleList = 15,
    FloatList = 16,
    BoolList = 17,
    UnixTimestampList = 18,
    Null = 19,
    Map = 20,
    MapList = 21,
    BytesSet = 22,
    StringSet = 23,
    Int32Set = 24,
    Int64Set = 25,
    DoubleSet = 26,
    FloatSet = 27,
    BoolSet = 28,
    UnixTimestampSet = 29,
    Json = 32,
    JsonList = 33,
    Struct = 34,
    StructList = 35,
    Uuid = 36,
    TimeUuid = 37,
    UuidList = 38,
    TimeUuidList = 39,
    UuidSet = 40,
    TimeUuidSet = 41,
    ValueList = 42,
    ValueSet = 43,
    Decimal = 44,
    DecimalList = 45,
    DecimalSet = 46,
    ScalarMap = 47,
    ZonedTimestamp = 48,
}
