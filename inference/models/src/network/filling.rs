//! How tensors of a graph are filled from rows: which columns each has, and their values.

use std::collections::BTreeMap;

use gondola_onnx::{Dimension, Element, Port, Tensor, Values};

use super::{all_described, described};
use crate::features::{EncodedRow, EncodedTable, Layout};
use crate::scoring::CandidateBatch;

/// Why an input of a graph can't be filled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillingError {
    /// Its name says nothing.
    #[error(
        "nothing says what the network's input {input} is to get; call it like a column ({columns}) or a group ({groups}), or list its columns under `tensors` in scorer.json"
    )]
    Unbound {
        /// The input.
        input: String,
        /// The columns that there are.
        columns: String,
        /// The groups that there are.
        groups: String,
    },
    /// `scorer.json` fills an input that is not there.
    #[error("scorer.json fills the input {name:?}, but the network has {inputs}")]
    NoSuchInput {
        /// Its name.
        name: String,
        /// What there is.
        inputs: String,
    },
    /// `scorer.json` names a column that the workflow does not give.
    #[error(
        "scorer.json fills the input {input:?} with {column:?}, but the workflow gives {columns} and the groups {groups}"
    )]
    NoSuchColumn {
        /// The input.
        input: String,
        /// The column.
        column: String,
        /// The columns that there are.
        columns: String,
        /// The groups that there are.
        groups: String,
    },
    /// It has a shape that rows don't have.
    #[error(
        "the network's input {input} can't be filled with {columns} columns a row; export it as [rows, {columns}] with a dynamic first dimension (or 1 there, where it reads the user alone)"
    )]
    Shape {
        /// The input.
        input: String,
        /// How many columns it is to get.
        columns: usize,
    },
    /// It consists of what columns are not.
    #[error("the network's input {input} can't be filled: float, double, int32 and int64 can; export it so")]
    Element {
        /// The input.
        input: String,
    },
    /// Fractions would be lost.
    #[error(
        "the network's input {input} has whole numbers, but {column} is a number with fractions; export it as float"
    )]
    Fractions {
        /// The input.
        input: String,
        /// The column.
        column: String,
    },
}

/// A group of columns that a tensor can have, in the order of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::EnumString, strum::IntoStaticStr)]
#[expect(missing_docs, reason = "their names say which columns they have")]
pub enum Rows {
    /// Everything, as [`Layout::inputs`] lists it.
    #[strum(serialize = "row")]
    Row,
    #[strum(serialize = "categorical")]
    Categorical,
    #[strum(serialize = "numeric")]
    Numeric,
    #[strum(serialize = "user")]
    User,
    #[strum(serialize = "user.categorical")]
    UserCategorical,
    #[strum(serialize = "user.numeric")]
    UserNumeric,
    #[strum(serialize = "item")]
    Item,
    #[strum(serialize = "item.categorical")]
    ItemCategorical,
    #[strum(serialize = "item.numeric")]
    ItemNumeric,
    #[strum(serialize = "pair")]
    Pair,
}

impl Rows {
    fn has(self, source: Source) -> bool {
        use Source::{ItemCategorical, ItemNumeric, Pair, UserCategorical, UserNumeric};
        match self {
            Self::Row => true,
            Self::Categorical => matches!(source, UserCategorical(_) | ItemCategorical(_)),
            Self::Numeric => matches!(source, UserNumeric(_) | ItemNumeric(_) | Pair(_)),
            Self::User => matches!(source, UserCategorical(_) | UserNumeric(_)),
            Self::UserCategorical => matches!(source, UserCategorical(_)),
            Self::UserNumeric => matches!(source, UserNumeric(_)),
            Self::Item => matches!(source, ItemCategorical(_) | ItemNumeric(_)),
            Self::ItemCategorical => matches!(source, ItemCategorical(_)),
            Self::ItemNumeric => matches!(source, ItemNumeric(_)),
            Self::Pair => matches!(source, Pair(_)),
        }
    }
}

/// Where a column's values are: its place among those of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    UserCategorical(usize),
    UserNumeric(usize),
    ItemCategorical(usize),
    ItemNumeric(usize),
    Pair(usize),
}

impl Source {
    fn is_index(self) -> bool {
        matches!(self, Self::UserCategorical(_) | Self::ItemCategorical(_))
    }

    fn is_of_the_user(self) -> bool {
        matches!(self, Self::UserCategorical(_) | Self::UserNumeric(_))
    }
}

/// How many columns of each kind there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) user_categorical: usize,
    pub(crate) user_numeric: usize,
    item_categorical: usize,
    item_numeric: usize,
}

impl Columns {
    pub(crate) fn of(layout: &Layout) -> Self {
        Self {
            user_categorical: layout.user_categorical.len(),
            user_numeric: layout.user_numeric.len(),
            item_categorical: layout.item_categorical.len(),
            item_numeric: layout.item_numeric.len(),
        }
    }

    pub(crate) fn item(&self) -> usize {
        self.item_categorical + self.item_numeric
    }

    /// Puts the part of a row that is the item's into blocks: indexes as the bits of floats, which copies keep, then numbers.
    pub(crate) fn prepare(&self, items: &EncodedTable, out: &mut [f32]) {
        if self.item() == 0 {
            return;
        }
        for (row, block) in out.chunks_exact_mut(self.item()).enumerate() {
            let (indexes, numbers) = block.split_at_mut(self.item_categorical);
            for (to, index) in indexes.iter_mut().zip(items.categorical(row)) {
                *to = f32::from_bits(*index);
            }
            numbers.copy_from_slice(items.numeric(row));
        }
    }
}

/// A user, and the candidates of a run.
pub(crate) struct Row<'a> {
    user: &'a EncodedRow,
    candidates: &'a CandidateBatch<'a>,
    item_categorical: usize,
}

/// A value of a column.
enum Value {
    Index(u32),
    Number(f32),
}

impl<'a> Row<'a> {
    pub(crate) fn new(user: &'a EncodedRow, candidates: &'a CandidateBatch<'a>, columns: &Columns) -> Self {
        Self {
            user,
            candidates,
            item_categorical: columns.item_categorical,
        }
    }

    pub(crate) fn candidates(&self) -> usize {
        self.candidates.blocks.len()
    }

    fn value(&self, candidate: usize, source: Source) -> Value {
        let block = |place: usize| self.candidates.blocks[candidate][place];
        match source {
            Source::UserCategorical(place) => Value::Index(self.user.categorical[place]),
            Source::UserNumeric(place) => Value::Number(self.user.numeric[place]),
            Source::ItemCategorical(place) => Value::Index(block(place).to_bits()),
            Source::ItemNumeric(place) => Value::Number(block(self.item_categorical + place)),
            Source::Pair(place) => {
                let pairs = &self.candidates.pairs[candidate * self.candidates.pair_width..];
                Value::Number(pairs[place])
            }
        }
    }
}

/// An input of a graph, and what it gets.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    name: String,
    sources: Vec<Source>,
    kind: Kind,
    /// Whether its shape has columns, or is a list of one a row.
    has_columns: bool,
    /// Whether it has one row, the user's, whatever the number of candidates.
    once: bool,
}

/// What the values of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Double,
    Int32,
    Int64,
}

/// What a tensor is filled in.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    floats: Vec<f32>,
    doubles: Vec<f64>,
    ints: Vec<i32>,
    longs: Vec<i64>,
    shape: Vec<usize>,
}

impl Input {
    /// Fills a buffer with what the tensor gets for one user and some candidates.
    pub(crate) fn fill(&self, row: &Row<'_>, buffer: &mut Buffer) {
        let rows = if self.once { 1 } else { row.candidates() };
        buffer.shape.clear();
        buffer.shape.push(rows);
        if self.has_columns {
            buffer.shape.push(self.sources.len());
        }
        match self.kind {
            Kind::Float => self.each(row, rows, &mut buffer.floats, |value| match value {
                Value::Index(index) => index as f32,
                Value::Number(number) => number,
            }),
            Kind::Double => self.each(row, rows, &mut buffer.doubles, |value| match value {
                Value::Index(index) => f64::from(index),
                Value::Number(number) => f64::from(number),
            }),
            Kind::Int32 => self.each(row, rows, &mut buffer.ints, |value| match value {
                Value::Index(index) => index as i32,
                Value::Number(number) => number as i32,
            }),
            Kind::Int64 => self.each(row, rows, &mut buffer.longs, |value| match value {
                Value::Index(index) => i64::from(index),
                Value::Number(number) => number as i64,
            }),
        }
    }

    fn each<T>(&self, row: &Row<'_>, rows: usize, to: &mut Vec<T>, made: impl Fn(Value) -> T) {
        to.clear();
        for candidate in 0..rows {
            to.extend(
                self.sources
                    .iter()
                    .map(|source| made(row.value(candidate, *source))),
            );
        }
    }

    /// What [`Input::fill`] left in a buffer.
    pub(crate) fn tensor<'a>(&'a self, buffer: &'a Buffer) -> Tensor<'a> {
        Tensor {
            name: &self.name,
            shape: &buffer.shape,
            values: match self.kind {
                Kind::Float => Values::Float(&buffer.floats),
                Kind::Double => Values::Double(&buffer.doubles),
                Kind::Int32 => Values::Int32(&buffer.ints),
                Kind::Int64 => Values::Int64(&buffer.longs),
            },
        }
    }
}

/// Says what each input of a graph gets: what `bound` lists for it, else what its name says; a graph's only input has the whole row.
pub(crate) fn inputs(
    ports: &[Port],
    bound: &BTreeMap<String, Vec<String>>,
    layout: &Layout,
) -> Result<Vec<Input>, FillingError> {
    let known = Known::of(layout);
    if let Some(name) = bound
        .keys()
        .find(|name| ports.iter().all(|port| port.name != **name))
    {
        return Err(FillingError::NoSuchInput {
            name: name.clone(),
            inputs: all_described(ports),
        });
    }
    let input = |port: &Port| {
        let columns = match bound.get(&port.name) {
            Some(columns) => known.listed(&port.name, columns)?,
            None => known.named(port, ports.len() == 1)?,
        };
        input(port, &columns)
    };
    ports.iter().map(input).collect()
}

/// A column by its name and by its place.
type Column<'a> = (&'a str, Source);

/// The columns of a layout, in its order.
struct Known {
    columns: Vec<(String, Source)>,
}

impl Known {
    fn of(layout: &Layout) -> Self {
        let places = |columns: &[String], source: fn(usize) -> Source| -> Vec<Source> {
            (0..columns.len()).map(source).collect()
        };
        let sources = [
            places(&layout.user_categorical, Source::UserCategorical),
            places(&layout.user_numeric, Source::UserNumeric),
            places(&layout.item_categorical, Source::ItemCategorical),
            places(&layout.item_numeric, Source::ItemNumeric),
            places(&layout.pair, Source::Pair),
        ]
        .concat();
        Self {
            columns: layout.inputs().into_iter().zip(sources).collect(),
        }
    }

    /// The columns that a list of `scorer.json` names.
    fn listed(&self, input: &str, names: &[String]) -> Result<Vec<Column<'_>>, FillingError> {
        let mut columns = Vec::new();
        for name in names {
            columns.extend(self.of_name(name).ok_or_else(|| FillingError::NoSuchColumn {
                input: input.to_owned(),
                column: name.clone(),
                columns: self.names(),
                groups: groups(),
            })?);
        }
        Ok(columns)
    }

    /// The columns that an input's own name says.
    fn named(&self, port: &Port, alone: bool) -> Result<Vec<Column<'_>>, FillingError> {
        let columns = self.of_name(&port.name);
        let columns = columns.or_else(|| self.of_name("row").filter(|_| alone));
        columns.ok_or_else(|| FillingError::Unbound {
            input: described(port),
            columns: self.names(),
            groups: groups(),
        })
    }

    fn of_name(&self, name: &str) -> Option<Vec<Column<'_>>> {
        let columns = || self.columns.iter().map(|(name, source)| (name.as_str(), *source));
        match name.parse::<Rows>() {
            Ok(rows) => Some(columns().filter(|(_, source)| rows.has(*source)).collect()),
            Err(_) => columns()
                .find(|(column, _)| *column == name)
                .map(|column| vec![column]),
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }
}

fn groups() -> String {
    use strum::IntoEnumIterator;
    Rows::iter().map(<&str>::from).collect::<Vec<_>>().join(", ")
}

fn input(port: &Port, columns: &[Column<'_>]) -> Result<Input, FillingError> {
    let kind = match port.element {
        Element::Float => Kind::Float,
        Element::Double => Kind::Double,
        Element::Int32 => Kind::Int32,
        Element::Int64 => Kind::Int64,
        Element::Other(_) => {
            return Err(FillingError::Element {
                input: described(port),
            });
        }
    };
    let fractions = columns.iter().find(|(_, source)| !source.is_index());
    if let (Kind::Int32 | Kind::Int64, Some((column, _))) = (kind, fractions) {
        return Err(FillingError::Fractions {
            input: described(port),
            column: (*column).to_owned(),
        });
    }
    let wrong_shape = || FillingError::Shape {
        input: described(port),
        columns: columns.len(),
    };
    let fits = |size: Dimension| size == Dimension::Any || size == Dimension::Fixed(columns.len());
    let (rows, has_columns) = match port.shape[..] {
        [rows] if columns.len() == 1 => (rows, false),
        [rows, width] if !columns.is_empty() && fits(width) => (rows, true),
        _ => return Err(wrong_shape()),
    };
    let of_the_user = columns.iter().all(|(_, source)| source.is_of_the_user());
    let once = match rows {
        Dimension::Any => false,
        Dimension::Fixed(1) if of_the_user => true,
        // skl2onnx writes 0 for a number of rows that it does not know.
        Dimension::Fixed(0) => false,
        Dimension::Fixed(_) => return Err(wrong_shape()),
    };
    Ok(Input {
        name: port.name.clone(),
        sources: columns.iter().map(|(_, source)| *source).collect(),
        kind,
        has_columns,
        once,
    })
}
