//! The categories of a pandas data frame, as LightGBM's Python package writes them behind the trees.
//!
//! A column of the type `category` reaches the trees as codes: places in the column's list of categories. The line
//! `pandas_categorical` has those lists, in the order of the columns; which columns they are is in the parameters, or
//! shows in the header. Sets of codes become sets of values here, so that the walk compares what the workflow gives. A
//! value without a code is missing for LightGBM, and goes where a category goes that is in no set: right.

use std::collections::BTreeMap;

use super::super::model::{CategorySets, Reading};
use super::{Error, Lines, excerpt};

/// The largest value that can be a category: above it `f32` can't represent every integer.
const MAX_CATEGORY: f64 = 16_777_216.0;

/// What the codes of each category column stand for, by column; empty where the model was not trained on such a frame.
#[derive(Debug, Default)]
pub(super) struct Frame {
    categories: BTreeMap<usize, Vec<Category>>,
}

/// What one code stands for.
#[derive(Clone, Copy, Debug)]
enum Category {
    Value(u32),
    /// A number below 0, which no index of a workflow is.
    Never,
}

impl Frame {
    /// Reads what stands behind the trees of a model with `features` features.
    pub(super) fn read<'a>(
        header: &Lines<'_>,
        features: usize,
        behind: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        let (mut lists, mut columns) = (Vec::new(), Vec::new());
        for line in behind {
            if let Some(json) = line.strip_prefix("pandas_categorical:") {
                lists = serde_json::from_str::<Option<Vec<Vec<serde_json::Value>>>>(json)
                    .map_err(|source| Error::Frame {
                        cause: source.to_string(),
                    })?
                    .unwrap_or_default();
            } else if let Some(listed) = line.strip_prefix("[categorical_feature:") {
                columns = listed
                    .trim_end_matches(']')
                    .split(',')
                    .filter_map(|column| column.trim().parse().ok())
                    .collect();
            }
        }
        if lists.is_empty() {
            return Ok(Self::default());
        }
        if columns.is_empty() {
            columns = by_ranges(header);
        }
        Self::of(&lists, &columns, features)
    }

    fn of(lists: &[Vec<serde_json::Value>], columns: &[usize], features: usize) -> Result<Self, Error> {
        if lists.len() != columns.len() || columns.iter().any(|column| *column >= features) {
            return Err(Error::FrameColumns {
                lists: lists.len(),
                columns: columns.len(),
            });
        }
        let mut categories = BTreeMap::new();
        for (column, list) in columns.iter().zip(lists) {
            let list = list.iter().map(|category| read_category(*column, category));
            categories.insert(*column, list.collect::<Result<_, _>>()?);
        }
        Ok(Self { categories })
    }

    /// How a model that was trained on this frame reads values.
    pub(super) fn reading(&self) -> Reading {
        match self.categories.is_empty() {
            true => Reading::LightGbm,
            false => Reading::LightGbmFrame,
        }
    }

    /// The set of values for a set of `column`'s codes; the sets themselves where codes are values.
    pub(super) fn values(
        &self,
        tree: usize,
        column: usize,
        codes: Vec<u32>,
        sets: &mut CategorySets,
    ) -> Result<Vec<u32>, Error> {
        let Some(categories) = self.categories.get(&column) else {
            return Ok(codes);
        };
        let mut values = Vec::new();
        for code in members(&codes) {
            match categories.get(code) {
                Some(Category::Value(value)) => values.push(*value),
                Some(Category::Never) => {}
                None => {
                    return Err(Error::FrameCode {
                        tree,
                        column,
                        code,
                        categories: categories.len(),
                    });
                }
            }
        }
        Ok(sets.make(tree, &values)?)
    }
}

/// The columns whose range the header lists as categories; numbers have theirs in brackets, and a column without use none.
fn by_ranges(header: &Lines<'_>) -> Vec<usize> {
    let ranges = header.get("feature_infos").unwrap_or_default().split_whitespace();
    let listed = ranges
        .enumerate()
        .filter(|(_, range)| !range.starts_with('[') && *range != "none");
    listed.map(|(column, _)| column).collect()
}

fn read_category(column: usize, category: &serde_json::Value) -> Result<Category, Error> {
    match category.as_f64() {
        Some(value) if value.fract() == 0.0 && value < 0.0 => Ok(Category::Never),
        Some(value) if value.fract() == 0.0 && value <= MAX_CATEGORY => Ok(Category::Value(value as u32)),
        _ => Err(Error::FrameCategory {
            column,
            category: excerpt(&category.to_string()),
        }),
    }
}

/// The numbers of the bits that are set.
fn members(words: &[u32]) -> impl Iterator<Item = usize> {
    let bits = words.iter().enumerate();
    bits.flat_map(|(word, bits)| {
        (0..32)
            .filter(move |bit| bits >> bit & 1 == 1)
            .map(move |bit| word * 32 + bit)
    })
}
