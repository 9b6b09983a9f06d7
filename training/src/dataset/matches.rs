//! Whether the ids of transactions are those of the other tables.
//!
//! Ids that are written in two ways match nothing, and everything that is known of users or items would be
//! lost without a word. So no match at all is an error, and how many match is in every report.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::SessionContext;
use serde::{Deserialize, Serialize};

use super::config::{DatasetConfig, Entity};
use super::error::DatasetError;
use super::numbering;
use super::side::Side;

/// How many of the ids in transactions another table has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Whose.
    pub side: Side,
    /// The other table's file.
    pub file: String,
    /// Different ids in transactions.
    pub sold: u64,
    /// Those of them that the other table has.
    pub known: u64,
    /// The first id that the other table lacks.
    pub missing: Option<String>,
    /// Ids that the other table has in another spelling, as it seems.
    pub misspelt: Option<Misspelt>,
}

/// Ids that the other table would have if zeros at the beginning, capitals, spaces and `.0` played no part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misspelt {
    /// How many.
    pub ids: u64,
    /// One of them, as transactions have it.
    pub sold: String,
    /// The same in the other table.
    pub known: String,
}

impl Match {
    /// What is compared, for reports.
    pub fn title(&self) -> String {
        let what = match self.side {
            Side::Users => "users who bought",
            Side::Items => "items that were sold",
        };
        format!("{what}, and how many of them {} has", self.file)
    }

    /// How many, for reports.
    pub fn counts(&self) -> String {
        let Self { sold, known, .. } = self;
        format!("{sold}, {known} ({:.1} %)", 100.0 * *known as f64 / *sold as f64)
    }

    /// What people should look at: ids that seem to be written in two ways, or most of them missing.
    pub fn notice(&self) -> Option<String> {
        let Self {
            file, sold, known, ..
        } = self;
        let what = match self.side {
            Side::Users => "users who bought something",
            Side::Items => "items that were sold",
        };
        if let Some(Misspelt { ids, sold, known }) = &self.misspelt {
            return Some(format!(
                "{file} lacks {ids} {what}, but has ids that differ in zeros at the beginning, capitals, spaces or .0 alone, as {known:?} \
                 for {sold:?}. If they are the same, write them alike in all files: nothing else is known of them now"
            ));
        }
        let missing = self.missing.as_ref().filter(|_| known * 2 < *sold)?;
        Some(format!(
            "{file} has only {known} of the {sold} {what}; it lacks {missing:?}, for example. If that is not meant, write ids alike in all \
             files: nothing else is known of the others now"
        ))
    }
}

/// The table of all users or of all items.
fn numbered(side: Side) -> &'static str {
    match side {
        Side::Users => numbering::USERS,
        Side::Items => numbering::ITEMS,
    }
}

/// Compares the ids of transactions with those of every other table.
pub(super) async fn compare_all(
    config: &DatasetConfig,
    sql: &SessionContext,
) -> Result<Vec<Match>, DatasetError> {
    let mut matches = Vec::new();
    for side in [Side::Items, Side::Users] {
        if let Some(entity) = config.entity(side) {
            matches.push(compare(config, sql, side, entity).await?);
        }
    }
    Ok(matches)
}

async fn compare(
    config: &DatasetConfig,
    engine: &SessionContext,
    side: Side,
    entity: &Entity,
) -> Result<Match, DatasetError> {
    let (view, id) = (side.view(), side.id());
    let sql = format!(
        "SELECT COUNT(*) AS sold, COUNT(CASE WHEN known THEN 1 END) AS known,
           MIN(CASE WHEN NOT known THEN {id} END) AS missing
         FROM {table} WHERE sold",
        table = numbered(side),
    );
    let ([sold, known], [missing]) = row(engine, &sql).await?;
    if sold > 0 && known == 0 {
        let transactions = &config.transactions;
        let column = match side {
            Side::Users => &transactions.user,
            Side::Items => &transactions.item,
        };
        let sql = format!("SELECT MIN({id}) AS first FROM {view}");
        let ([], [example]) = row(engine, &sql).await?;
        return Err(DatasetError::NoMatch {
            sold,
            what: view,
            transactions: transactions.file.clone(),
            column: column.clone(),
            missing: missing.unwrap_or_default(),
            file: entity.file.clone(),
            key: entity.key.clone(),
            example: example.unwrap_or_default(),
        });
    }
    let misspelt = match missing {
        Some(_) => misspelt(engine, side).await?,
        None => None,
    };
    Ok(Match {
        side,
        file: entity.file.clone(),
        sold,
        known,
        missing,
        misspelt,
    })
}

async fn misspelt(engine: &SessionContext, side: Side) -> Result<Option<Misspelt>, DatasetError> {
    let (view, id) = (side.view(), side.id());
    let plain = |id: &str| {
        let whole = format!("CASE WHEN ends_with({id}, '.0') THEN split_part({id}, '.0', 1) ELSE {id} END");
        format!("ltrim(lower(btrim({whole})), '0')")
    };
    let sql = format!(
        "SELECT COUNT(DISTINCT missing.id) AS ids, MIN(missing.id) AS sold,
           FIRST_VALUE(known.id ORDER BY missing.id, known.id) AS known
         FROM (SELECT {id} AS id FROM {table} WHERE sold AND NOT known) missing
         JOIN (SELECT {id} AS id FROM {view}) known ON {missing} = {known}",
        table = numbered(side),
        missing = plain("missing.id"),
        known = plain("known.id"),
    );
    let ([ids], [sold, known]) = row(engine, &sql).await?;
    Ok(sold.zip(known).map(|(sold, known)| Misspelt { ids, sold, known }))
}

/// The row of an aggregate: counts, and texts after them.
async fn row<const COUNTS: usize, const TEXTS: usize>(
    engine: &SessionContext,
    sql: &str,
) -> Result<([u64; COUNTS], [Option<String>; TEXTS]), DatasetError> {
    let wrap = DatasetError::query("how many ids match");
    let frame = engine.sql(sql).await.map_err(&wrap)?;
    let batches = frame.collect().await.map_err(&wrap)?;
    let batch = batches.iter().find(|batch| batch.num_rows() == 1);
    let batch = batch.expect("an aggregate without groups has one row");
    let count = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0) as u64;
    let mut texts = [const { None }; TEXTS];
    for (text, column) in texts.iter_mut().zip(COUNTS..) {
        let column = cast(batch.column(column), &DataType::Utf8).map_err(|error| wrap(error.into()))?;
        *text = column
            .as_string::<i32>()
            .iter()
            .next()
            .flatten()
            .map(str::to_owned);
    }
    Ok((std::array::from_fn(count), texts))
}
