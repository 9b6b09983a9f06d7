//! The attributes of a node, by name and type.

use super::OnnxError as Error;
use super::messages::{Attribute, Node, Tensor};

/// Finds attributes and checks what they hold.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a Node);

impl<'a> Attributes<'a> {
    fn find(self, name: &str) -> Option<&'a Attribute> {
        self.0.attributes.iter().find(|attribute| attribute.name == name)
    }

    fn needed(self, name: &str) -> Result<&'a Attribute, Error> {
        self.find(name).ok_or_else(|| Error::Lacks {
            name: name.to_owned(),
        })
    }

    pub(super) fn int(self, name: &str, default: i64) -> i64 {
        self.find(name).map_or(default, |attribute| attribute.int)
    }

    pub(super) fn text(self, name: &str, default: &str) -> String {
        self.find(name).map_or(default.to_owned(), |attribute| {
            String::from_utf8_lossy(&attribute.text).into_owned()
        })
    }

    pub(super) fn ints(self, name: &str) -> Result<&'a [i64], Error> {
        Ok(&self.needed(name)?.ints)
    }

    /// Exactly `count` numbers.
    pub(super) fn ints_of(self, name: &str, count: usize) -> Result<&'a [i64], Error> {
        let ints = self.ints(name)?;
        check_length(name, ints.len(), count)?;
        Ok(ints)
    }

    /// For each of `count` nodes, whether a flag is set; none is where the attribute is missing.
    pub(super) fn flags(self, name: &str, count: usize) -> Result<Vec<bool>, Error> {
        match self.find(name) {
            Some(attribute) if !attribute.ints.is_empty() => {
                check_length(name, attribute.ints.len(), count)?;
                Ok(attribute.ints.iter().map(|flag| *flag != 0).collect())
            }
            _ => Ok(vec![false; count]),
        }
    }

    pub(super) fn texts_of(self, name: &str, count: usize) -> Result<&'a [Vec<u8>], Error> {
        let texts = &self.needed(name)?.texts;
        check_length(name, texts.len(), count)?;
        Ok(texts)
    }

    /// The texts, or the numbers as texts, of the longer of `names`; none if both are missing.
    pub(super) fn labels(self, names: [&str; 2]) -> Vec<String> {
        names
            .into_iter()
            .filter_map(|name| self.find(name))
            .map(|attribute| {
                let texts = attribute
                    .texts
                    .iter()
                    .map(|text| String::from_utf8_lossy(text).into_owned());
                texts
                    .chain(attribute.ints.iter().map(i64::to_string))
                    .collect::<Vec<_>>()
            })
            .max_by_key(Vec::len)
            .unwrap_or_default()
    }

    /// Numbers as `name` or, with more bits, as the tensor `name_as_tensor`; none if both are missing.
    pub(super) fn floats(self, name: &str) -> Result<Vec<f64>, Error> {
        let as_tensor = format!("{name}_as_tensor");
        match (self.find(name), self.find(&as_tensor)) {
            (_, Some(attribute)) => tensor(&as_tensor, attribute),
            (Some(attribute), None) => Ok(attribute.floats.iter().copied().map(f64::from).collect()),
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Exactly `count` numbers; see [`Attributes::floats`].
    pub(super) fn floats_of(self, name: &str, count: usize) -> Result<Vec<f64>, Error> {
        let floats = self.floats(name)?;
        check_length(name, floats.len(), count)?;
        Ok(floats)
    }

    /// The numbers of a tensor; none if it is missing.
    pub(super) fn tensor(self, name: &str) -> Result<Vec<f64>, Error> {
        self.find(name)
            .map_or(Ok(Vec::new()), |attribute| tensor(name, attribute))
    }

    /// Exactly `count` numbers of a tensor.
    pub(super) fn tensor_of(self, name: &str, count: usize) -> Result<Vec<f64>, Error> {
        let numbers = self.tensor(name)?;
        check_length(name, numbers.len(), count)?;
        Ok(numbers)
    }
}

pub(super) fn check_length(name: &str, found: usize, wanted: usize) -> Result<(), Error> {
    match found == wanted {
        true => Ok(()),
        false => Err(Error::Length {
            name: name.to_owned(),
            found,
            wanted,
        }),
    }
}

/// A feature's or target's number.
pub(super) fn index(name: &str, position: usize, value: i64) -> Result<usize, Error> {
    usize::try_from(value).map_err(|_| Error::Value {
        name: name.to_owned(),
        position,
        value: value.to_string(),
        wanted: "it must not be below 0",
    })
}

fn tensor(name: &str, attribute: &Attribute) -> Result<Vec<f64>, Error> {
    const FLOAT: i32 = 1;
    const BYTE: i32 = 2;
    const DOUBLE: i32 = 11;
    let wrong = |value: String, wanted| Error::Attribute {
        name: name.to_owned(),
        value,
        wanted,
    };
    let tensor = attribute
        .tensor
        .as_ref()
        .ok_or_else(|| wrong("no tensor".to_owned(), "it must be one"))?;
    if tensor.location != 0 {
        return Err(wrong(
            "a tensor in another file".to_owned(),
            "it must be in the model's; save it without external data",
        ));
    }
    let wide = |values: &[f32]| values.iter().copied().map(f64::from).collect();
    match tensor.data_type {
        FLOAT if tensor.raw.is_empty() => Ok(wide(&tensor.floats)),
        FLOAT => Ok(wide(&raw(name, tensor, f32::from_le_bytes)?)),
        DOUBLE if tensor.raw.is_empty() => Ok(tensor.doubles.clone()),
        DOUBLE => raw(name, tensor, f64::from_le_bytes),
        BYTE if tensor.raw.is_empty() => Ok(tensor.ints.iter().copied().map(f64::from).collect()),
        BYTE => Ok(tensor.raw.iter().copied().map(f64::from).collect()),
        other => Err(wrong(
            format!("a tensor of type {other}"),
            "it must be of float (1), byte (2) or double (11)",
        )),
    }
}

/// The numbers in a tensor's bytes, of `N` bytes each.
fn raw<const N: usize, T>(name: &str, tensor: &Tensor, number: fn([u8; N]) -> T) -> Result<Vec<T>, Error> {
    let (numbers, rest) = tensor.raw.as_chunks::<N>();
    check_length(name, tensor.raw.len(), tensor.raw.len() - rest.len())?;
    Ok(numbers.iter().map(|bytes| number(*bytes)).collect())
}
