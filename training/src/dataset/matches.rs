//! Whether the ids of transactions are those of the other tables.
//!
//! Ids that are written in two ways match nothing, and everything that is known of users or items would be lost without a word. So
//! no match at all is an error, and how many match stands in every report.

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use super::error::DatasetError;
use super::source::Dataset;

/// Whose ids are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who buys.
    Users,
    /// What is bought.
    Items,
}

impl Side {
    pub(super) fn view(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Items => "items",
        }
    }

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Users => "user_id",
            Self::Items => "item_id",
        }
    }
}

/// How many of the ids in transactions another table has.
#[derive(Clone, Debug, PartialEq, Eq)]
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

    /// What people should look at, where most are missing.
    pub fn notice(&self) -> Option<String> {
        let Self {
            file, sold, known, ..
        } = self;
        let missing = self.missing.as_ref().filter(|_| known * 2 < *sold)?;
        let what = match self.side {
            Side::Users => "users who bought something",
            Side::Items => "items that were sold",
        };
        Some(format!(
            "{file} has only {known} of the {sold} {what}; it lacks {missing:?}, for example. Of the others nothing else is known: if \
             that is not meant, write ids alike in all files"
        ))
    }
}

/// Compares the ids of transactions with those of another table.
pub(super) async fn compare(
    dataset: &Dataset,
    side: Side,
    file: &str,
    key: &str,
) -> Result<Match, DatasetError> {
    let (view, id) = (side.view(), side.id());
    let joined = format!(
        "(SELECT DISTINCT {id} AS id FROM transactions) sold LEFT JOIN (SELECT {id} AS id FROM {view}) known ON known.id = sold.id"
    );
    let sql = format!(
        "SELECT COUNT(*) AS sold, COUNT(known.id) AS known, MIN(CASE WHEN known.id IS NULL THEN sold.id END) AS missing FROM {joined}"
    );
    let ([sold, known], missing) = counts(dataset, &sql).await?;
    if sold > 0 && known == 0 {
        let sql = format!("SELECT COUNT(*) AS rows, COUNT({id}) AS ids, MIN({id}) AS first FROM {view}");
        let transactions = &dataset.config.transactions;
        let column = match side {
            Side::Users => &transactions.user,
            Side::Items => &transactions.item,
        };
        return Err(DatasetError::NoMatch {
            sold,
            what: view,
            transactions: transactions.file.clone(),
            column: column.clone(),
            missing: missing.unwrap_or_default(),
            file: file.to_owned(),
            key: key.to_owned(),
            example: counts(dataset, &sql).await?.1.unwrap_or_default(),
        });
    }
    Ok(Match {
        side,
        file: file.to_owned(),
        sold,
        known,
        missing,
    })
}

/// Two counts and a text.
async fn counts(dataset: &Dataset, sql: &str) -> Result<([u64; 2], Option<String>), DatasetError> {
    let wrap = DatasetError::query("how many ids match");
    let frame = dataset.sql.sql(sql).await.map_err(&wrap)?;
    let batches = frame.collect().await.map_err(&wrap)?;
    let batch = batches.first().filter(|batch| batch.num_rows() == 1);
    let batch = batch.expect("an aggregate without groups has one row");
    let count = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(0) as u64;
    let text = cast(batch.column(2), &DataType::Utf8).map_err(|error| wrap(error.into()))?;
    let text = text.as_string::<i32>().iter().next().flatten();
    Ok(([count(0), count(1)], text.map(str::to_owned)))
}
