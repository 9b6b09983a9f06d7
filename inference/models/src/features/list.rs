//! Lists in a raw row: a text that is a JSON array, such as `["wine","cheese"]`.
//!
//! Models read a fixed number of inputs, so a list becomes as many categorical columns as elements are kept of it, and each reads
//! one [`ListElement`].

use arrow::array::{Array, ArrayRef, AsArray, LargeListArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

use super::table::Cell;
use super::vocabulary::Vocabulary;

/// One element of a part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListElement {
    /// Where the part begins; a negative number counts from the list's end.
    pub start: i64,
    /// Where the part ends, this place not included; without it, where the list does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// Which element of the part.
    pub position: usize,
    /// The index of an element that the list is too short for.
    pub pad: u32,
}

/// An element as JSON has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Text(String),
    Number(f64),
    Null,
}

impl ListElement {
    /// The index of the element of a list; nulls in it are unknown.
    pub fn index(&self, list: Cell<'_>, vocabulary: &Vocabulary) -> u32 {
        let elements: Vec<Element> = match list {
            Cell::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Cell::Null | Cell::Number(_) => vec![],
        };
        match self.part(elements.len()).nth(self.position) {
            None => self.pad,
            Some(place) => match &elements[place] {
                Element::Text(text) => vocabulary.index(Cell::Text(text)),
                Element::Number(number) => vocabulary.index(Cell::Number(*number)),
                Element::Null => vocabulary.indexes().unknown,
            },
        }
    }

    /// The places of the part in a list of `length` elements.
    fn part(&self, length: usize) -> std::ops::Range<usize> {
        let length = length as i64;
        let place = |at: i64| if at < 0 { at + length } else { at }.clamp(0, length) as usize;
        place(self.start)..self.end.map_or(length as usize, place)
    }
}

/// Lists of a Parquet file as the texts that a raw row has.
pub(super) fn as_texts(lists: &dyn Array) -> Result<StringArray, ArrowError> {
    let is_text = match lists.data_type() {
        DataType::List(field) | DataType::LargeList(field) => field.data_type().is_string(),
        _ => false,
    };
    let kind = if is_text {
        DataType::Utf8
    } else {
        DataType::Float64
    };
    let kind = DataType::LargeList(Field::new_list_field(kind, true).into());
    let lists = cast(lists, &kind)?;
    let lists: &LargeListArray = lists.as_list();
    let text = |list: Option<ArrayRef>| {
        let list = list?;
        Some(match is_text {
            true => json(list.as_string::<i32>().iter().collect::<Vec<_>>()),
            false => json(list.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()),
        })
    };
    Ok(lists.iter().map(text).collect())
}

fn json(elements: impl Serialize) -> String {
    serde_json::to_string(&elements).expect("texts and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Builder, ListBuilder, StringBuilder};

    use super::*;

    #[test]
    fn lists_of_a_file_become_json() {
        let mut texts = ListBuilder::new(StringBuilder::new());
        texts.append_value([Some("a"), None]);
        texts.append_null();
        let texts = as_texts(&texts.finish()).unwrap();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [Some(r#"["a",null]"#), None]);
        let mut numbers = ListBuilder::new(Int64Builder::new());
        numbers.append_value([Some(7)]);
        let numbers = as_texts(&numbers.finish()).unwrap();
        assert_eq!(numbers.value(0), "[7.0]");
    }

    fn indexes(start: i64, end: Option<i64>, list: Cell<'_>) -> Vec<u32> {
        let vocabulary = Vocabulary::fit(["a", "b", "7"].map(Cell::Text).into_iter(), 1);
        let element = |position| ListElement {
            start,
            end,
            position,
            pad: 9,
        };
        (0..2)
            .map(|position| element(position).index(list, &vocabulary))
            .collect()
    }

    #[test]
    fn the_elements_of_a_part_are_found_and_what_a_list_lacks_is_padded() {
        // In the order of their texts: 7, a, b.
        let list = Cell::Text(r#"["b", 7, null, "a"]"#);
        assert_eq!(indexes(0, Some(2), list), [4, 2]);
        assert_eq!(indexes(-2, None, list), [1, 3]);
        assert_eq!(indexes(-2, Some(-1), list), [1, 9]);
        assert_eq!(indexes(3, None, list), [3, 9]);
        assert_eq!(indexes(-2, None, Cell::Text(r#"["a"]"#)), [3, 9]);
        for no_list in [Cell::Null, Cell::Text("a"), Cell::Number(1.0), Cell::Text("[]")] {
            assert_eq!(indexes(0, Some(2), no_list), [9, 9], "{no_list:?}");
        }
    }
}
