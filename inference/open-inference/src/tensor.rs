//! Values with a name, a type and a shape.
//!
//! Bytes are little-endian, row by row; a text is its length in four bytes, and then itself.

use strum::{EnumString, IntoStaticStr};

/// What the values of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, strum::Display)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Datatype {
    /// Texts, in UTF-8 here.
    Bytes,
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Whole numbers of 32 bits without a sign.
    Uint32,
    /// Whole numbers of 64 bits without a sign.
    Uint64,
    /// Numbers of 32 bits.
    Fp32,
}

impl Datatype {
    /// The type that a tensor of a request is said to have.
    pub fn of_request(tensor: &str, datatype: &str) -> Result<Self, WrongTensor> {
        datatype.parse().map_err(|_| {
            let problem = format!("is of type {datatype}; give BYTES, INT32, INT64, UINT32, UINT64 or FP32");
            WrongTensor::new(tensor, problem)
        })
    }
}

/// Values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Whole numbers of 32 bits.
    Int32(Vec<i32>),
    /// Whole numbers of 64 bits.
    Int64(Vec<i64>),
    /// Whole numbers of 32 bits without a sign.
    Uint32(Vec<u32>),
    /// Whole numbers of 64 bits without a sign.
    Uint64(Vec<u64>),
    /// Numbers of 32 bits.
    Fp32(Vec<f32>),
}

/// Values with a name and a shape, of which they are as many.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// How many values there are along each axis.
    pub shape: Vec<usize>,
    /// The values, row by row.
    pub values: Values,
}

/// Why something is no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tensor {name:?} {problem}")]
pub struct WrongTensor {
    name: String,
    problem: String,
}

impl WrongTensor {
    /// What is wrong with a tensor, as the rest of a sentence about it.
    pub fn new(name: &str, problem: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            problem: problem.into(),
        }
    }
}

impl Values {
    /// Their type.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Texts(_) => Datatype::Bytes,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Fp32(_) => Datatype::Fp32,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Texts(values) => values.len(),
            Self::Int32(values) => values.len(),
            Self::Int64(values) => values.len(),
            Self::Uint32(values) => values.len(),
            Self::Uint64(values) => values.len(),
            Self::Fp32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads bytes.
    pub fn read(datatype: Datatype, bytes: &[u8]) -> Result<Self, String> {
        Ok(match datatype {
            Datatype::Bytes => Self::Texts(texts(bytes)?),
            Datatype::Int32 => Self::Int32(numbers(bytes, i32::from_le_bytes)?),
            Datatype::Int64 => Self::Int64(numbers(bytes, i64::from_le_bytes)?),
            Datatype::Uint32 => Self::Uint32(numbers(bytes, u32::from_le_bytes)?),
            Datatype::Uint64 => Self::Uint64(numbers(bytes, u64::from_le_bytes)?),
            Datatype::Fp32 => Self::Fp32(numbers(bytes, f32::from_le_bytes)?),
        })
    }

    /// Their bytes.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Self::Texts(values) => {
                let mut bytes = Vec::new();
                for value in values {
                    bytes.extend((value.len() as u32).to_le_bytes());
                    bytes.extend(value.as_bytes());
                }
                bytes
            }
            Self::Int32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Int64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Uint64(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::Fp32(values) => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    /// Ids: texts as they are, whole numbers as they are written.
    pub fn ids(&self) -> Option<Vec<String>> {
        Some(match self {
            Self::Texts(values) => values.clone(),
            Self::Int32(values) => values.iter().map(ToString::to_string).collect(),
            Self::Int64(values) => values.iter().map(ToString::to_string).collect(),
            Self::Uint32(values) => values.iter().map(ToString::to_string).collect(),
            Self::Uint64(values) => values.iter().map(ToString::to_string).collect(),
            Self::Fp32(_) => return None,
        })
    }

    /// Whole numbers from 0 on; none where they are something else.
    pub fn counts(&self) -> Option<Vec<usize>> {
        match self {
            Self::Int32(values) => values.iter().map(|value| usize::try_from(*value).ok()).collect(),
            Self::Int64(values) => values.iter().map(|value| usize::try_from(*value).ok()).collect(),
            Self::Uint32(values) => values.iter().map(|value| usize::try_from(*value).ok()).collect(),
            Self::Uint64(values) => values.iter().map(|value| usize::try_from(*value).ok()).collect(),
            Self::Texts(_) | Self::Fp32(_) => None,
        }
    }
}

impl Tensor {
    /// A tensor of a request: its shape has to be that of its values.
    pub fn of_request(name: &str, shape: &[i64], values: Values) -> Result<Self, WrongTensor> {
        let wrong = |problem: String| WrongTensor::new(name, problem);
        let sizes: Option<Vec<usize>> = shape.iter().map(|size| usize::try_from(*size).ok()).collect();
        let sizes = sizes.ok_or_else(|| wrong(format!("has the shape {shape:?}; give sizes from 0 on")))?;
        let wanted = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
        if wanted != Some(values.len()) {
            return Err(wrong(format!(
                "has the shape {shape:?} and {} values; give as many as the shape says",
                values.len()
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            shape: sizes,
            values,
        })
    }
}

fn texts(mut bytes: &[u8]) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let cut =
            || "ends in the middle of a text; each is its length in four bytes, and then itself".to_owned();
        let (length, rest) = bytes.split_first_chunk().ok_or_else(cut)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        let text = std::str::from_utf8(text).map_err(|_| "has a text that is not UTF-8".to_owned())?;
        texts.push(text.to_owned());
        bytes = rest;
    }
    Ok(texts)
}

fn numbers<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, String> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(format!(
            "has {} bytes, which are no whole numbers of {N}",
            bytes.len()
        ));
    }
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_their_bytes_and_back() {
        for values in [
            Values::Texts(vec![String::new(), "été".to_owned()]),
            Values::Int32(vec![-1, i32::MAX]),
            Values::Int64(vec![i64::MIN, 7]),
            Values::Uint32(vec![0, u32::MAX]),
            Values::Uint64(vec![u64::MAX]),
            Values::Fp32(vec![0.5, -1.0]),
        ] {
            let read = Values::read(values.datatype(), &values.write());
            assert_eq!(read, Ok(values));
        }
        assert_eq!(
            Values::Texts(vec!["ab".to_owned()]).write(),
            [2, 0, 0, 0, b'a', b'b']
        );
    }

    #[test]
    fn bytes_that_are_no_values_are_refused() {
        for (datatype, bytes, said) in [
            (Datatype::Bytes, &[2, 0, 0][..], "ends in the middle of a text"),
            (
                Datatype::Bytes,
                &[2, 0, 0, 0, b'a'],
                "ends in the middle of a text",
            ),
            (
                Datatype::Bytes,
                &[255, 255, 255, 255, 0],
                "ends in the middle of a text",
            ),
            (
                Datatype::Bytes,
                &[1, 0, 0, 0, 0xff],
                "has a text that is not UTF-8",
            ),
            (
                Datatype::Int64,
                &[0; 12],
                "has 12 bytes, which are no whole numbers of 8",
            ),
        ] {
            let error = Values::read(datatype, bytes).unwrap_err();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_shape_says_how_many_values_there_are() {
        let ids = || Values::Int64(vec![1, 2, 3, 4]);
        assert!(Tensor::of_request("user", &[4, 1], ids()).is_ok());
        assert!(Tensor::of_request("user", &[2, 2], ids()).is_ok());
        for shape in [&[3][..], &[-4], &[], &[i64::MAX, i64::MAX]] {
            assert!(Tensor::of_request("user", shape, ids()).is_err(), "{shape:?}");
        }
    }
}
