//! From Feast's values to those of the data plane, and back to what the registry declares.
//!
//! The data plane knows numbers of 64 bits and texts. What becomes another value on the way is refused and never rounded, but for one:
//! a number that is written as FLOAT becomes the nearest of 32 bits, as everywhere where such a number is written.

use std::fmt;

use gondola_request::Value;

use crate::{FeastValue, Kind, ValueType};

/// Doubles hold every whole number to this one, and not the next.
const LAST_WHOLE: i64 = 9_007_199_254_740_992;

/// What a column is to models: the two kinds of values that the data plane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnKind {
    /// A quantity.
    Number,
    /// A category, an identifier or a text.
    Text,
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "numbers",
            Self::Text => "texts",
        })
    }
}

impl ValueType {
    /// What values of this type are to models; none for those that models have no use for: bytes, times, lists, maps and the like.
    pub fn column_kind(self) -> Option<ColumnKind> {
        match self {
            Self::Int32 | Self::Int64 | Self::Double | Self::Float | Self::Bool => Some(ColumnKind::Number),
            Self::String | Self::Uuid | Self::TimeUuid => Some(ColumnKind::Text),
            _ => None,
        }
    }
}

/// Why a stored value can't be handed to models.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// A whole number that a double would round.
    #[error(
        "the whole number {value} is beyond 9007199254740992, to which numbers are exact; declare the feature as String in Feast if it is \
         an identifier, or as Float64 if it is a quantity"
    )]
    LargeWhole {
        /// What is stored.
        value: i64,
    },
    /// An infinity.
    #[error("the value is infinite, which no model can hold; store what is meant, or null")]
    Infinite,
    /// A type that models have no use for.
    #[error(
        "a value of type {stored} is neither a number nor a text; give Feast a feature of type Int32, Int64, Float32, Float64, Bool or \
         String in its place, or leave it out"
    )]
    Type {
        /// The type of what is stored.
        stored: ValueType,
    },
}

/// Why a value can't be stored as the registry declares it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WriteError {
    /// Not a whole number of so many bits.
    #[error(
        "the number {number} is not a whole number that {declared} can hold, as Feast's registry declares it"
    )]
    NotWhole {
        /// What was given.
        number: f64,
        /// What the registry declares.
        declared: ValueType,
    },
    /// Neither 0 nor 1.
    #[error("the number {number} is neither 0 nor 1, and Feast's registry declares BOOL")]
    NotBool {
        /// What was given.
        number: f64,
    },
    /// An infinity, NaN, or more than 32 bits can hold.
    #[error(
        "the number {number} is not one that {declared} can hold, as Feast's registry declares it; give a finite one, or null"
    )]
    NotFinite {
        /// What was given.
        number: f64,
        /// What the registry declares.
        declared: ValueType,
    },
    /// A text for a number.
    #[error("a text was given, and Feast's registry declares {declared}; give a number, or null")]
    Text {
        /// What the registry declares.
        declared: ValueType,
    },
    /// A number for something that only texts can be.
    #[error("a number was given, and Feast's registry declares {declared}; give a text, or null")]
    Number {
        /// What the registry declares.
        declared: ValueType,
    },
    /// A type that models have no use for.
    #[error(
        "Feast's registry declares {declared}, which is neither a number nor a text; write this feature with Feast"
    )]
    Type {
        /// What the registry declares.
        declared: ValueType,
    },
}

impl FeastValue {
    /// What models see. NaN is null, as in training; a truth is 1 or 0.
    pub fn to_value(&self) -> Result<Value, ReadError> {
        let Some(kind) = &self.kind else {
            return Ok(Value::Null);
        };
        match kind {
            Kind::Null(_) => Ok(Value::Null),
            Kind::Int32(number) => Ok(Value::Number((*number).into())),
            Kind::Int64(number) => whole(*number),
            Kind::Double(number) => quantity(*number),
            Kind::Float(number) => quantity((*number).into()),
            Kind::Bool(truth) => Ok(Value::Number((*truth).into())),
            Kind::String(text) | Kind::Uuid(text) | Kind::TimeUuid(text) => Ok(Value::Text(text.clone())),
            other => Err(ReadError::Type {
                stored: other.value_type(),
            }),
        }
    }

    /// What Feast stores for `value` where its registry declares `declared`. A number that is declared as STRING is written as
    /// vocabularies write it: 1, and not 1.0.
    pub fn from_value(value: &Value, declared: ValueType) -> Result<Self, WriteError> {
        let kind = match value {
            Value::Null => return nothing(declared),
            Value::Number(number) => of_number(*number, declared)?,
            Value::Text(text) => of_text(text, declared)?,
        };
        Ok(kind.into())
    }
}

fn whole(number: i64) -> Result<Value, ReadError> {
    if (-LAST_WHOLE..=LAST_WHOLE).contains(&number) {
        Ok(Value::Number(number as f64))
    } else {
        Err(ReadError::LargeWhole { value: number })
    }
}

fn quantity(number: f64) -> Result<Value, ReadError> {
    match number {
        number if number.is_nan() => Ok(Value::Null),
        number if number.is_infinite() => Err(ReadError::Infinite),
        number => Ok(Value::Number(number)),
    }
}

fn nothing(declared: ValueType) -> Result<FeastValue, WriteError> {
    match declared.column_kind() {
        Some(_) => Ok(FeastValue::NULL),
        None => Err(WriteError::Type { declared }),
    }
}

fn of_number(number: f64, declared: ValueType) -> Result<Kind, WriteError> {
    let not_finite = WriteError::NotFinite { number, declared };
    if !number.is_finite() {
        return Err(not_finite);
    }
    match declared {
        ValueType::Int32 => match whole_within(number, i32::MIN.into(), 2_147_483_648.0) {
            true => Ok(Kind::Int32(number as i32)),
            false => Err(WriteError::NotWhole { number, declared }),
        },
        ValueType::Int64 => match whole_within(number, i64::MIN as f64, 9_223_372_036_854_775_808.0) {
            true => Ok(Kind::Int64(number as i64)),
            false => Err(WriteError::NotWhole { number, declared }),
        },
        ValueType::Double => Ok(Kind::Double(number)),
        ValueType::Float => match number as f32 {
            single if single.is_finite() => Ok(Kind::Float(single)),
            _ => Err(not_finite),
        },
        ValueType::Bool => match number {
            0.0 => Ok(Kind::Bool(false)),
            1.0 => Ok(Kind::Bool(true)),
            number => Err(WriteError::NotBool { number }),
        },
        ValueType::String => Ok(Kind::String(number.to_string())),
        ValueType::Uuid | ValueType::TimeUuid => Err(WriteError::Number { declared }),
        declared => Err(WriteError::Type { declared }),
    }
}

/// Whether a number is whole, `first` or more and less than `end`.
fn whole_within(number: f64, first: f64, end: f64) -> bool {
    number.fract() == 0.0 && number >= first && number < end
}

fn of_text(text: &str, declared: ValueType) -> Result<Kind, WriteError> {
    let text = text.to_owned();
    match declared {
        ValueType::String => Ok(Kind::String(text)),
        ValueType::Uuid => Ok(Kind::Uuid(text)),
        ValueType::TimeUuid => Ok(Kind::TimeUuid(text)),
        declared => Err(match declared.column_kind() {
            Some(_) => WriteError::Text { declared },
            None => WriteError::Type { declared },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Int64List;

    #[track_caller]
    fn check(kind: Kind, value: Value) {
        let declared = kind.value_type();
        let stored = FeastValue::from(kind);
        assert_eq!(stored.to_value(), Ok(value.clone()));
        assert_eq!(FeastValue::from_value(&value, declared), Ok(stored));
    }

    #[test]
    fn numbers_and_texts_come_and_go_unchanged() {
        check(Kind::Int32(i32::MIN), Value::Number(-2_147_483_648.0));
        check(Kind::Int64(LAST_WHOLE), Value::Number(9_007_199_254_740_992.0));
        check(Kind::Int64(-LAST_WHOLE), Value::Number(-9_007_199_254_740_992.0));
        check(Kind::Double(0.1), Value::Number(0.1));
        check(Kind::Float(0.1), Value::Number(0.1_f32.into()));
        check(Kind::Bool(true), Value::Number(1.0));
        check(Kind::Bool(false), Value::Number(0.0));
        check(Kind::String(String::new()), "".into());
        check(Kind::String("été".to_owned()), "été".into());
        check(Kind::Uuid("6ba7b810".to_owned()), "6ba7b810".into());
        assert_eq!(FeastValue::NULL.to_value(), Ok(Value::Null));
        assert_eq!(
            FeastValue::from_value(&Value::Null, ValueType::Int64),
            Ok(FeastValue::NULL)
        );
    }

    #[test]
    fn nan_is_null_as_in_training() {
        for kind in [Kind::Double(f64::NAN), Kind::Float(f32::NAN), Kind::Null(0)] {
            assert_eq!(FeastValue::from(kind).to_value(), Ok(Value::Null));
        }
    }

    #[track_caller]
    fn unreadable(kind: Kind, message: &str) {
        let error = FeastValue::from(kind).to_value().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn what_would_change_on_the_way_to_models_is_refused() {
        unreadable(
            Kind::Int64(LAST_WHOLE + 1),
            "the whole number 9007199254740993 is beyond",
        );
        unreadable(
            Kind::Int64(i64::MAX),
            "the whole number 9223372036854775807 is beyond",
        );
        unreadable(
            Kind::Int64(i64::MIN),
            "the whole number -9223372036854775808 is beyond",
        );
        unreadable(Kind::Float(f32::INFINITY), "the value is infinite");
        unreadable(Kind::Bytes(vec![1]), "a value of type BYTES is neither");
        unreadable(
            Kind::UnixTimestamp(1),
            "a value of type UNIX_TIMESTAMP is neither",
        );
        unreadable(
            Kind::Int64List(Int64List { val: vec![1] }),
            "a value of type INT64_LIST is neither",
        );
    }

    #[track_caller]
    fn unwritable(value: impl Into<Value>, declared: ValueType, message: &str) {
        let error = FeastValue::from_value(&value.into(), declared)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn what_the_registry_does_not_declare_is_refused() {
        let number = Value::Number;
        unwritable(
            number(1.5),
            ValueType::Int64,
            "the number 1.5 is not a whole number that INT64 can hold",
        );
        unwritable(
            number(2_147_483_648.0),
            ValueType::Int32,
            "the number 2147483648 is not a whole number that INT32",
        );
        unwritable(
            number(9_223_372_036_854_775_808.0),
            ValueType::Int64,
            "the number 9223372036854776000 is not",
        );
        unwritable(
            number(1e39),
            ValueType::Float,
            "the number 1000000000000000000000000000000000000000 is not one that FLOAT can hold",
        );
        unwritable(
            number(f64::NAN),
            ValueType::Double,
            "the number NaN is not one that DOUBLE",
        );
        unwritable(number(2.0), ValueType::Bool, "the number 2 is neither 0 nor 1");
        unwritable(
            number(2.0),
            ValueType::Uuid,
            "a number was given, and Feast's registry declares UUID",
        );
        unwritable(
            "7",
            ValueType::Int64,
            "a text was given, and Feast's registry declares INT64",
        );
        unwritable("7", ValueType::Map, "Feast's registry declares MAP");
        unwritable(Value::Null, ValueType::Map, "Feast's registry declares MAP");
        assert_eq!(
            FeastValue::from_value(&number(7.0), ValueType::String),
            Ok(Kind::String("7".to_owned()).into())
        );
    }
}
