//! UBJSON, as XGBoost writes it: the values of JSON in binary, big-endian.
//!
//! A value is a marker of one byte and what belongs to it. A list may say the type (`$`) and number (`#`) of its values
//! first; its values then have no markers of their own. Nothing is reserved for a number that the file only claims, and
//! types without content (`Z`, `T`, `F`) are refused for such lists: they would make values out of nothing.

use serde_json::{Map, Value};

/// Lists and objects within each other, at most. XGBoost's models have 7.
const DEEPEST: usize = 32;

/// Why bytes are no UBJSON that we can read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UbjsonError {
    /// The bytes end within a value.
    #[error("the UBJSON ends within a value, at byte {at}; it was cut off, fetch it again")]
    Truncated {
        /// Where the value's rest begins.
        at: usize,
    },
    /// A byte that begins no value here.
    #[error("byte {at} of the UBJSON is {marker:?}, which can't start a value of an XGBoost model")]
    Marker {
        /// Byte offset.
        at: usize,
        /// The byte.
        marker: char,
    },
    /// A length below zero.
    #[error("the length at byte {at} of the UBJSON is {length}, but it must not be below 0")]
    Length {
        /// Where it ends.
        at: usize,
        /// What it says.
        length: i64,
    },
    /// A text is not UTF-8.
    #[error("the text that ends at byte {at} of the UBJSON is not UTF-8")]
    Text {
        /// Where it ends.
        at: usize,
    },
    /// Too many lists and objects within each other.
    #[error("at byte {at} the UBJSON has more than {DEEPEST} lists and objects within each other")]
    TooDeep {
        /// Where.
        at: usize,
    },
    /// Something follows the value.
    #[error("the UBJSON value ends at byte {at}, but more follows")]
    Rest {
        /// Where the value ends.
        at: usize,
    },
}

use UbjsonError as Error;

/// Reads one value, which must take all bytes.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, UbjsonError> {
    let mut reader = Reader { bytes, at: 0 };
    let marker = reader.byte()?;
    let value = reader.value(marker, 0)?;
    match reader.at == bytes.len() {
        true => Ok(value),
        false => Err(Error::Rest { at: reader.at }),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, marker: u8, depth: usize) -> Result<Value, Error> {
        if depth > DEEPEST {
            return Err(Error::TooDeep { at: self.at });
        }
        match marker {
            b'Z' => Ok(Value::Null),
            b'T' => Ok(Value::Bool(true)),
            b'F' => Ok(Value::Bool(false)),
            b'S' => Ok(Value::String(self.text()?)),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            _ => self.number(marker),
        }
    }

    fn number(&mut self, marker: u8) -> Result<Value, Error> {
        match marker {
            b'd' => Ok(Value::from(f32::from_be_bytes(self.array()?))),
            b'D' => Ok(Value::from(f64::from_be_bytes(self.array()?))),
            _ => Ok(Value::from(self.integer(marker)?)),
        }
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => u8::from_be_bytes(self.array()?).into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(self.unexpected(marker)),
        })
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        let mut values = Vec::new();
        let mut marker = self.byte()?;
        let kind = match marker {
            b'$' => {
                let kind = self.byte()?;
                marker = self.byte()?;
                Some(kind)
            }
            _ => None,
        };
        match (marker, kind) {
            (b'#', kind) => {
                for _ in 0..self.length()? {
                    values.push(match kind {
                        Some(kind) => self.number(kind)?,
                        None => {
                            let marker = self.byte()?;
                            self.value(marker, depth + 1)?
                        }
                    });
                }
            }
            (marker, Some(_)) => return Err(self.unexpected(marker)),
            (mut marker, None) => {
                while marker != b']' {
                    values.push(self.value(marker, depth + 1)?);
                    marker = self.byte()?;
                }
            }
        }
        Ok(Value::Array(values))
    }

    /// Keys have no marker of their own.
    fn object(&mut self, depth: usize) -> Result<Value, Error> {
        let mut values = Map::new();
        while self.bytes.get(self.at) != Some(&b'}') {
            let key = self.text()?;
            let marker = self.byte()?;
            values.insert(key, self.value(marker, depth + 1)?);
        }
        self.at += 1;
        Ok(Value::Object(values))
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let text = self.take(length)?;
        String::from_utf8(text.to_vec()).map_err(|_| Error::Text { at: self.at })
    }

    fn length(&mut self) -> Result<usize, Error> {
        let marker = self.byte()?;
        let length = self.integer(marker)?;
        usize::try_from(length).map_err(|_| Error::Length { at: self.at, length })
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let at = self.at;
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Error::Truncated { at })
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let truncated = Error::Truncated { at: self.at };
        let end = self
            .at
            .checked_add(count)
            .ok_or(Error::Truncated { at: self.at })?;
        let bytes = self.bytes.get(self.at..end).ok_or(truncated)?;
        self.at = end;
        Ok(bytes)
    }

    /// The error for a marker that was just read.
    fn unexpected(&self, marker: u8) -> Error {
        Error::Marker {
            at: self.at - 1,
            marker: char::from(marker),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_refused(bytes: &[u8], error: UbjsonError) {
        assert_eq!(parse(bytes), Err(error));
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let bytes = b"{i\x01a[$d#i\x02\x3f\x00\x00\x00\xbf\x80\x00\x00i\x01b[SU\x02hiTZ]i\x01c[#i\x01I\xff\xfei\x01d[$l#L\0\0\0\0\0\0\0\0}";
        let value = json!({"a": [0.5, -1.0], "b": ["hi", true, null], "c": [-2], "d": []});
        assert_eq!(parse(bytes), Ok(value));
    }

    #[test]
    fn a_value_that_was_cut_off_is_refused() {
        let bytes = b"{i\x01a[$d#i\x02\x3f\x00\x00\x00\xbf\x80\x00\x00}";
        assert!(parse(bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(
                matches!(parse(&bytes[..cut]), Err(UbjsonError::Truncated { .. })),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn claims_that_the_bytes_do_not_bear_out_are_refused() {
        let huge = i64::MAX.to_be_bytes();
        let listed = [b"[$d#L".as_slice(), &huge].concat();
        check_refused(&listed, UbjsonError::Truncated { at: listed.len() });
        // Null takes no bytes, so a list of it could be of any length.
        let nothing = [b"[$Z#L".as_slice(), &huge].concat();
        check_refused(
            &nothing,
            UbjsonError::Marker {
                at: nothing.len() - 1,
                marker: 'Z',
            },
        );
        let text = [b"SL".as_slice(), &huge].concat();
        check_refused(&text, UbjsonError::Truncated { at: text.len() });
        check_refused(b"Si\xff", UbjsonError::Length { at: 3, length: -1 });
        check_refused(b"Si\x01\xff", UbjsonError::Text { at: 4 });
        check_refused(b"ZZ", UbjsonError::Rest { at: 1 });
    }

    #[test]
    fn depth_has_a_bound() {
        check_refused(&vec![b'['; 1_000_000], UbjsonError::TooDeep { at: DEEPEST + 2 });
    }
}
