//! The features bundle: raw rows, purchases, and a workflow whose vocabularies are numbered values.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use gondola_models::features::columns::{CategoricalColumn, NumericColumn};
use gondola_models::features::operation::Operation;
use gondola_models::features::vocabulary::{Vocabulary, write_parquet};
use gondola_models::features::{EntityWorkflow, Schema, Workflow};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use rand::RngExt;

use super::draw;
use super::{Column, ITEM_CATEGORICAL, ITEM_NUMERIC, PAIR, USER_CATEGORICAL, USER_NUMERIC};
use crate::user_id;

const PURCHASES_PER_USER: usize = 20;
/// One in twenty values is null.
const NULLS: f64 = 0.05;

pub(super) fn item_id(number: usize) -> String {
    format!("{number:010}")
}

/// Writes the whole bundle.
pub(super) fn write(folder: &Path, items: usize, users: usize) -> anyhow::Result<Workflow> {
    Schema::new("2020-09-23", "count_7d").save(folder)?;
    let workflow = workflow();
    workflow.save(folder)?;
    write_rows(
        &folder.join("users.parquet"),
        "user_id",
        (0..users).map(user_id),
        &USER_CATEGORICAL,
        &USER_NUMERIC,
    )?;
    write_rows(
        &folder.join("items.parquet"),
        "item_id",
        (0..items).map(item_id),
        &ITEM_CATEGORICAL,
        &ITEM_NUMERIC,
    )?;
    write_history(&folder.join("history.parquet"), items, users)?;
    Ok(workflow)
}

/// The value of a category. Ids of customers are as long as theirs are.
fn label(column: &str, number: usize) -> String {
    if column == "customer" {
        user_id(number)
    } else {
        format!("{column} {number:06}")
    }
}

fn workflow() -> Workflow {
    let categorical = |columns: &[Column]| {
        let column = |(name, values): &Column| {
            let values = (0..*values).map(|number| label(name, number));
            CategoricalColumn::of(
                name,
                Vocabulary::from_values(StringArray::from_iter_values(values)),
            )
        };
        columns.iter().map(column).collect()
    };
    let entity = |columns: &[Column], numeric: &[&str]| EntityWorkflow {
        categorical: categorical(columns),
        numeric: numeric.iter().map(|name| column(name, 40.0, 28.28)).collect(),
    };
    Workflow {
        user: entity(&USER_CATEGORICAL, &USER_NUMERIC),
        item: entity(&ITEM_CATEGORICAL, &ITEM_NUMERIC),
        pair: PAIR.iter().map(|name| column(name, 1.0, 2.0)).collect(),
    }
}

fn column(name: &str, mean: f64, standard_deviation: f64) -> NumericColumn {
    let normalize = Operation::Normalize {
        mean,
        standard_deviation,
    };
    NumericColumn::of(name, vec![Operation::Fill(mean), normalize])
}

fn write_rows(
    path: &Path,
    key: &str,
    ids: impl Iterator<Item = String>,
    categorical: &[Column],
    numeric: &[&str],
) -> anyhow::Result<()> {
    let mut rng = draw::rng(key.len() as u64);
    let ids = StringArray::from_iter_values(ids);
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (name, values) in categorical {
        let value = |row: usize, rng: &mut _| match *name {
            // Every customer is themselves.
            "customer" => Some(label(name, row)),
            _ => Some(label(name, draw::category(rng, *values))),
        };
        let cells = (0..ids.len()).map(|row| {
            if rng.random_bool(NULLS) {
                None
            } else {
                value(row, &mut rng)
            }
        });
        columns.push(((*name).to_owned(), Arc::new(cells.collect::<StringArray>())));
    }
    for name in numeric {
        let cells = (0..ids.len()).map(|_| (!rng.random_bool(NULLS)).then(|| draw::amount(&mut rng)));
        columns.push(((*name).to_owned(), Arc::new(cells.collect::<Float64Array>())));
    }
    columns.insert(0, (key.to_owned(), Arc::new(ids)));
    write_parquet(path, &RecordBatch::try_from_iter(columns)?)?;
    Ok(())
}

/// Compressed, since each user's long id is in every row of theirs.
fn write_history(path: &Path, items: usize, users: usize) -> anyhow::Result<()> {
    let mut rng = draw::rng(7);
    let rows = users * PURCHASES_PER_USER;
    let mut item_ids = Vec::with_capacity(rows);
    for _ in 0..users {
        let mut bought: Vec<usize> = (0..PURCHASES_PER_USER)
            .map(|_| draw::category(&mut rng, items))
            .collect();
        bought.sort_unstable();
        item_ids.extend(bought.into_iter().map(item_id));
    }
    let days: Float64Array = (0..rows)
        .map(|_| Some(f64::from(rng.random_range(0..365u16))))
        .collect();
    let purchases: Float64Array = (0..rows)
        .map(|_| Some(f64::from(rng.random_range(1..4u16))))
        .collect();
    let user_ids = StringArray::from_iter_values((0..rows).map(|row| user_id(row / PURCHASES_PER_USER)));
    let batch = RecordBatch::try_from_iter([
        ("user_id", Arc::new(user_ids) as ArrayRef),
        ("item_id", Arc::new(StringArray::from(item_ids))),
        ("purchases", Arc::new(purchases.clone())),
        ("days_since_last", Arc::new(days)),
        ("recent_purchases", Arc::new(purchases)),
    ])?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
