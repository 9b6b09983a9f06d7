//! What each user bought: how often, how long ago the last time was, and how often with old times counted less.
//! Users and items are given by their rows in the other two tables, from 0.

use super::{weight, weighted_count};
use crate::dataset::config::DatasetConfig;
use crate::dataset::numbering::{ITEMS, USERS};

pub(super) fn sql(config: &DatasetConfig) -> String {
    format!(
        "WITH bought AS (
  SELECT user_number, item_number, COUNT(*) AS purchases, MIN(age_days) AS days_since_last, {weighted} AS weight
  FROM purchases GROUP BY user_number, item_number),
user_rows AS ({users}),
item_rows AS ({items})
SELECT user_rows.place AS user_row, item_rows.place AS item_row, CAST(bought.purchases AS REAL) AS purchases,
  CAST(bought.days_since_last AS REAL) AS days_since_last, CAST({recent} AS REAL) AS recent_purchases
FROM bought
JOIN user_rows ON user_rows.number = bought.user_number
JOIN item_rows ON item_rows.number = bought.item_number
ORDER BY user_row, item_row",
        weighted = weighted_count(config.features.history_half_life_days),
        users = rows(USERS, "user_number"),
        items = rows(ITEMS, "item_number"),
        recent = weight("bought.weight"),
    )
}

/// Which row a number has in the table of a cut-off, which lacks those that were unknown then.
fn rows(table: &str, number: &str) -> String {
    format!(
        "
  SELECT everyone.{number} AS number, CAST(ROW_NUMBER() OVER (ORDER BY everyone.{number}) - 1 AS INTEGER) AS place
  FROM {table} AS everyone
  LEFT JOIN (SELECT DISTINCT {number} FROM purchases) AS sold ON sold.{number} = everyone.{number}
  WHERE everyone.known OR sold.{number} IS NOT NULL"
    )
}
