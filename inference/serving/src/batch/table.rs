//! A part's lists as Parquet: one row a user, ordered by bucket and id.
//!
//! | column | type | |
//! |---|---|---|
//! | `bucket` | u16 | the router's bucket of the user |
//! | `user` | text | |
//! | `items` | list of text | best first |
//! | `scores` | list of f32 | one for each item |
//! | `degraded` | list of text | why the list is less than it could be; empty for nearly everybody |
//! | `bundles` | a text for each role | the digests of the bundles that made the list |

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float32Builder, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StructArray, UInt16Array,
};
use arrow::datatypes::{DataType, Field, Fields};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::lists::List;

/// Why a part can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// As Parquet.
    #[error("its Parquet can't be written or read")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// As columns.
    #[error("its columns can't be written or read")]
    Arrow(#[from] arrow::error::ArrowError),
    /// It holds something else.
    #[error("it has no column {0} of the type that a batch has; it was written by something else")]
    Column(&'static str),
}

/// The lists as a Parquet file. The same lists give the same bytes.
pub fn encode(lists: &[List], bundles: &BTreeMap<String, String>) -> Result<Bytes, TableError> {
    let buckets: UInt16Array = lists.iter().map(|list| Some(list.bucket)).collect();
    let users: StringArray = lists.iter().map(|list| Some(list.user.as_str())).collect();
    let items = texts(lists, |list| list.items.iter().map(|found| found.item.as_str()));
    let degraded = texts(lists, |list| list.degraded.iter().map(|reason| reason.as_str()));
    let batch = RecordBatch::try_from_iter([
        ("bucket", Arc::new(buckets) as ArrayRef),
        ("user", Arc::new(users)),
        ("items", items),
        ("scores", scores(lists)),
        ("degraded", degraded),
        ("bundles", digests(lists.len(), bundles)),
    ])?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        // Hardly any score stands twice.
        .set_column_dictionary_enabled(ColumnPath::from("scores.list.item"), false)
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(file.into())
}

fn texts<'a, T: Iterator<Item = &'a str>>(lists: &'a [List], of: impl Fn(&'a List) -> T) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in lists {
        of(list).for_each(|text| builder.values().append_value(text));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn scores(lists: &[List]) -> ArrayRef {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for list in lists {
        list.items
            .iter()
            .for_each(|found| builder.values().append_value(found.score));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

/// The same digests in every row, which a dictionary keeps once.
fn digests(rows: usize, bundles: &BTreeMap<String, String>) -> ArrayRef {
    let fields: Fields = bundles
        .keys()
        .map(|role| Field::new(role, DataType::Utf8, false))
        .collect();
    let column = |digest: &String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(std::iter::repeat_n(digest, rows)))
    };
    let columns = bundles.values().map(column).collect();
    Arc::new(StructArray::new(fields, columns, None))
}

/// Hands each user of a file of lists, with their items, to `take`.
pub fn each(
    file: Bytes,
    mut take: impl FnMut(&str, &mut dyn Iterator<Item = &str>),
) -> Result<(), TableError> {
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        let batch = batch?;
        let column = |name| batch.column_by_name(name).ok_or(TableError::Column(name));
        let users = column("user")?
            .as_string_opt::<i32>()
            .ok_or(TableError::Column("user"))?;
        let items = column("items")?
            .as_list_opt::<i32>()
            .ok_or(TableError::Column("items"))?;
        for row in 0..batch.num_rows() {
            let items = items.value(row);
            let items = items.as_string_opt::<i32>().ok_or(TableError::Column("items"))?;
            take(users.value(row), &mut (0..items.len()).map(|at| items.value(at)));
        }
    }
    Ok(())
}
