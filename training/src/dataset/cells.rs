//! What the cells of a column mean, by the column's role: the one place where a shop's values become ours.
//!
//! Ids, categories and texts become text, quantities doubles, times nanoseconds. Empty cells and NaN are
//! null, whatever wrote them. Everything else is a value of its role or is refused, with the row and the way
//! out: nothing is guessed.

mod number;
mod time;

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, PrimitiveArray, StringArray, TimestampNanosecondArray,
};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Float32Type, Float64Type, TimeUnit};

/// Doubles hold every whole number to this one, and not the next.
const LAST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Ten thousand million such prices are a decimal of 22 digits before the point, as sums are.
const LARGEST_PRICE: f64 = 1e12;

/// Characters of a value that messages show.
const SHOWN: usize = 80;

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ids.
    Id,
    /// Categories.
    Category,
    /// Texts.
    Text,
    /// Quantities.
    Quantity,
    /// Amounts of money, which are summed.
    Price,
    /// Dates or times.
    Time,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id => "ids",
            Self::Category => "categories",
            Self::Text => "texts",
            Self::Quantity => "quantities",
            Self::Price => "prices",
            Self::Time => "times",
        })
    }
}

/// Why a column can't be taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// No column of this type has such values.
    Type(DataType),
    /// One of its cells.
    Cell {
        /// Which row of the column, from 0.
        row: usize,
        /// What it says.
        value: String,
        /// What is wrong with that.
        problem: Problem,
    },
}

/// What is wrong with a cell, and the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not a number.
    #[error("is not a number; write it as 1234.5, and leave the cell empty where nothing is known")]
    NoNumber,
    /// A number as people write it.
    #[error(
        "is not a number; write a point before the decimals and nothing between the thousands, as in 1234.5"
    )]
    Comma,
    /// A number that models can't hold.
    #[error("is beyond 3.4e38, which no model can hold; write what is meant, or leave the cell empty")]
    TooLarge,
    /// A price that no sum can hold.
    #[error("is beyond a million million, and no price; write what was paid, or leave the cell empty")]
    LargePrice,
    /// Not a time.
    #[error("is not a time; write it as 2024-01-31 or 2024-01-31T18:30:00")]
    NoTime,
    /// A time that nanoseconds can't hold.
    #[error("is before 1677 or after 2262; write when it was, or leave the cell empty")]
    FarTime,
    /// A number that is not a time.
    #[error(
        "is not a time; write dates as 2024-01-31, or times in seconds, milliseconds, microseconds or nanoseconds since 1970"
    )]
    NumberNoTime,
    /// An id with decimals.
    #[error("is a floating-point number with decimals, and no id; write ids as text or as whole numbers")]
    FractionalId,
    /// An id that a double can't hold.
    #[error(
        "is an id kept as a floating-point number, which is exact to 9007199254740992 only, so that ids of several may have become \
         one; write ids as text or as 64-bit integers"
    )]
    LargeId,
    /// An id that was rounded on its way into a text.
    #[error(
        "is an id that was rounded when it was written as a number; write ids as text or as whole numbers"
    )]
    RoundedId,
    /// Bytes that are no text.
    #[error("is not UTF-8; write text in UTF-8")]
    NotUtf8,
}

/// Takes the cells of a column for what its role says.
pub fn convert(column: &ArrayRef, role: Role) -> Result<ArrayRef, Refusal> {
    let column = &plain(column)?;
    Ok(match role {
        Role::Id => Arc::new(ids(column)?),
        Role::Category | Role::Text => Arc::new(texts(column)?),
        Role::Quantity => Arc::new(quantities(column)?),
        Role::Price => Arc::new(prices(column)?),
        Role::Time => Arc::new(times(column)?),
    })
}

/// The same column without dictionaries and views; bytes as the text that they are.
fn plain(column: &ArrayRef) -> Result<ArrayRef, Refusal> {
    let values = match column.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        DataType::RunEndEncoded(_, values) => values.data_type().clone(),
        other => other.clone(),
    };
    match values {
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView => casted(column, &DataType::Utf8, Problem::NotUtf8),
        DataType::Float16 => casted(column, &DataType::Float32, Problem::NoNumber),
        values => casted(column, &values, Problem::NoNumber),
    }
}

/// A column as another type; a value that doesn't fit is a problem, and no null.
fn casted(column: &ArrayRef, to: &DataType, problem: Problem) -> Result<ArrayRef, Refusal> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    let unknown = || Refusal::Type(column.data_type().clone());
    if column.data_type().is_nested() || !can_cast_types(column.data_type(), to) {
        return Err(unknown());
    }
    let found = cast(column, to).map_err(|_| unknown())?;
    // A dictionary's nulls may stand among its values.
    let nulls = column.logical_nulls();
    let was_null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let lost = (0..column.len()).find(|row| found.is_null(*row) && !was_null(*row));
    match lost {
        Some(row) => Err(Refusal::Cell {
            row,
            value: shown(column, row),
            problem,
        }),
        None => Ok(found),
    }
}

/// A value for messages.
fn shown(column: &ArrayRef, row: usize) -> String {
    let value = arrow::util::display::array_value_to_string(column, row).unwrap_or_default();
    shortened(&value)
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// Takes each cell of a column of texts for something.
fn each_text<T>(
    column: &ArrayRef,
    take: impl Fn(&str) -> Result<Option<T>, Problem>,
) -> Result<Vec<Option<T>>, Refusal> {
    let texts = column.as_string::<i32>().iter().enumerate();
    let taken = texts.map(|(row, text)| {
        let text = text.unwrap_or_default();
        take(text).map_err(|problem| Refusal::Cell {
            row,
            value: shortened(text),
            problem,
        })
    });
    taken.collect()
}

/// Takes each cell of a column of numbers for something; NaN is null.
fn each_float<F: ArrowPrimitiveType, T>(
    column: &ArrayRef,
    take: impl Fn(F::Native) -> Result<T, Problem>,
) -> Result<Vec<Option<T>>, Refusal>
where
    F::Native: Into<f64> + fmt::Display,
{
    let numbers: &PrimitiveArray<F> = column.as_primitive();
    let taken = numbers.iter().enumerate().map(|(row, number)| match number {
        Some(number) if !number.into().is_nan() => {
            let taken = take(number).map_err(|problem| Refusal::Cell {
                row,
                value: number.to_string(),
                problem,
            });
            taken.map(Some)
        }
        _ => Ok(None),
    });
    taken.collect()
}

/// Whether a text stands for nothing: empty, or NaN as programs write it.
fn is_missing(text: &str) -> bool {
    matches!(text, "" | "NaN" | "nan")
}

fn ids(column: &ArrayRef) -> Result<StringArray, Refusal> {
    let whole = |number: f64, written: String| match number {
        number if number.abs() >= LAST_WHOLE => Err(Problem::LargeId),
        number if number.fract() != 0.0 => Err(Problem::FractionalId),
        _ => Ok(written),
    };
    let ids = match column.data_type() {
        DataType::Utf8 => each_text(column, id_of_text)?,
        DataType::Float32 => each_float::<Float32Type, _>(column, |number| {
            // What singles hold exactly ends earlier.
            let exact = number.abs() < 16_777_216.0;
            if exact {
                whole(number.into(), number.to_string())
            } else {
                Err(Problem::LargeId)
            }
        })?,
        DataType::Float64 => {
            each_float::<Float64Type, _>(column, |number| whole(number, number.to_string()))?
        }
        kind if kind.is_decimal() => {
            each_text(&casted(column, &DataType::Utf8, Problem::NotUtf8)?, id_of_decimal)?
        }
        _ => {
            return Ok(casted(column, &DataType::Utf8, Problem::NotUtf8)?
                .as_string()
                .clone());
        }
    };
    Ok(ids.into_iter().collect())
}

fn id_of_text(text: &str) -> Result<Option<String>, Problem> {
    if is_missing(text) {
        return Ok(None);
    }
    if number::is_rounded(text) {
        return Err(Problem::RoundedId);
    }
    let large = number::whole_part(text).is_some_and(|whole| {
        let whole: Result<f64, _> = whole.parse();
        whole.is_ok_and(|whole| whole.abs() >= LAST_WHOLE)
    });
    if large {
        Err(Problem::LargeId)
    } else {
        Ok(Some(text.to_owned()))
    }
}

fn id_of_decimal(text: &str) -> Result<Option<String>, Problem> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    match (is_missing(text), decimals.bytes().all(|digit| digit == b'0')) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(whole.to_owned())),
        (false, false) => Err(Problem::FractionalId),
    }
}

fn texts(column: &ArrayRef) -> Result<StringArray, Refusal> {
    let texts = match column.data_type() {
        DataType::Utf8 => each_text(column, |text| Ok((!is_missing(text)).then(|| text.to_owned())))?,
        // As the vocabulary writes the numbers that are put: 1, and not 1.0.
        DataType::Float32 => each_float::<Float32Type, _>(column, |number| Ok(number.to_string()))?,
        DataType::Float64 => each_float::<Float64Type, _>(column, |number| Ok(number.to_string()))?,
        _ => {
            return Ok(casted(column, &DataType::Utf8, Problem::NotUtf8)?
                .as_string()
                .clone());
        }
    };
    Ok(texts.into_iter().collect())
}

fn prices(column: &ArrayRef) -> Result<Float64Array, Refusal> {
    let prices = quantities(column)?;
    match prices
        .iter()
        .position(|price| price.is_some_and(|price| price.abs() > LARGEST_PRICE))
    {
        Some(row) => Err(Refusal::Cell {
            row,
            value: shown(column, row),
            problem: Problem::LargePrice,
        }),
        None => Ok(prices),
    }
}

fn quantities(column: &ArrayRef) -> Result<Float64Array, Refusal> {
    let numbers = match column.data_type() {
        DataType::Utf8 => each_text(column, number::quantity_of_text)?,
        DataType::Float32 => each_float::<Float32Type, _>(column, |number| number::quantity(number.into()))?,
        kind if kind.is_numeric() || *kind == DataType::Boolean => {
            let doubles = casted(column, &DataType::Float64, Problem::TooLarge)?;
            each_float::<Float64Type, _>(&doubles, number::quantity)?
        }
        other => return Err(Refusal::Type(other.clone())),
    };
    Ok(numbers.into_iter().collect())
}

fn times(column: &ArrayRef) -> Result<TimestampNanosecondArray, Refusal> {
    let times = match column.data_type() {
        DataType::Utf8 => each_text(column, time::time_of_text)?,
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => {
            let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
            return Ok(casted(column, &nanoseconds, Problem::FarTime)?
                .as_primitive()
                .clone());
        }
        // Singles are too coarse: they would shift times by a minute.
        kind if kind.is_numeric() && *kind != DataType::Float32 => {
            let doubles = casted(column, &DataType::Float64, Problem::NumberNoTime)?;
            each_float::<Float64Type, _>(&doubles, time::time_of_number)?
        }
        other => return Err(Refusal::Type(other.clone())),
    };
    Ok(times.into_iter().collect())
}

/// How the ids of a column are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    /// Whole numbers with a point and zeros after it, as programs write them that took the column for floats.
    floats: u64,
    /// Anything that is not a whole number, such as `1.5`, which shows that points are part of the ids.
    others: u64,
}

impl Spelling {
    /// Adds the ids of a column.
    pub fn add(&mut self, ids: &StringArray) {
        for id in ids.iter().flatten() {
            match number::whole_part(id) {
                Some(_) => self.floats += 1,
                None if number::is_whole(id) => {}
                None => self.others += 1,
            }
        }
    }

    /// Whether every id is a whole number, and some were written as floats: they are the same ids without the
    /// zeros.
    pub fn is_of_floats(self) -> bool {
        self.floats > 0 && self.others == 0
    }
}

/// An id that was written as a float, as the whole number that is meant.
pub(super) fn whole(id: &str) -> &str {
    number::whole_part(id).unwrap_or(id)
}

#[cfg(test)]
mod tests;
