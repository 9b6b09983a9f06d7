//! Items: how often they were sold lately, the time-weighted number, the mean price, the share of buyers who came
//! back, and what the catalog says. Where there are few buyers, that share is drawn to the usual. Items that were
//! sold but are not in the catalog have nulls there.

use super::{POPULARITY, REPEAT_RATE, weight, weighted_count};
use crate::dataset::config::DatasetConfig;
use crate::dataset::names::sold_within;
use crate::dataset::numbering::ITEMS;
use crate::dataset::sql::quoted;

/// The [`REPEAT_RATE`] of an item without buyers: what few buyers are drawn to.
pub const USUAL_REPEAT_RATE: f64 = 0.1;

/// How many buyers the usual rate counts as much as.
const USUAL_BUYERS: f64 = 5.0;

/// Days before the cut-off in which [`REPEAT_RATE`] looks for buyers.
const REPEAT_DAYS: u32 = 90;

pub(super) fn sql(config: &DatasetConfig) -> String {
    let features = &config.features;
    let windows = features.windows_days.iter();
    let sold = |days: &u32| {
        let name = sold_within(*days);
        format!(",\n    SUM(CASE WHEN age_days <= {days} THEN 1 ELSE 0 END) AS {name}")
    };
    let count = |days: &u32| {
        let name = sold_within(*days);
        format!("\n  CAST(COALESCE(sales.{name}, 0) AS DOUBLE) AS {name},")
    };
    let known = config.items.columns().into_iter();
    let known = known.map(|column| format!(",\n  items.{}", quoted(column)));
    format!(
        "WITH sales AS (
  SELECT item_number, {weighted} AS weight, SUM(price) AS price, COUNT(price) AS priced,
    MIN(age_days) AS days_since_sold{sold}
  FROM purchases GROUP BY item_number),
buyers AS (
  SELECT item_number, user_number, COUNT(*) AS times FROM purchases WHERE age_days <= {REPEAT_DAYS}
  GROUP BY item_number, user_number),
repeats AS (
  SELECT item_number, (CAST(SUM(CASE WHEN times > 1 THEN 1 ELSE 0 END) AS DOUBLE) + CAST({usual:?} AS DOUBLE))
    / (CAST(COUNT(*) AS DOUBLE) + CAST({USUAL_BUYERS:?} AS DOUBLE)) AS {REPEAT_RATE}
  FROM buyers GROUP BY item_number)
SELECT items.item_id,{counts}
  {popularity} AS {POPULARITY},
  CAST(sales.price AS DOUBLE) / CAST(sales.priced AS DOUBLE) AS mean_price, sales.days_since_sold,
  COALESCE(repeats.{REPEAT_RATE}, CAST({USUAL_REPEAT_RATE:?} AS DOUBLE)) AS {REPEAT_RATE}{known}
FROM {ITEMS} AS items
LEFT JOIN sales ON sales.item_number = items.item_number
LEFT JOIN repeats ON repeats.item_number = items.item_number
WHERE items.known OR sales.item_number IS NOT NULL
ORDER BY items.item_number",
        weighted = weighted_count(features.half_life_days),
        sold = windows.clone().map(sold).collect::<String>(),
        usual = USUAL_REPEAT_RATE * USUAL_BUYERS,
        counts = windows.map(count).collect::<String>(),
        popularity = weight("COALESCE(sales.weight, 0)"),
        known = known.collect::<String>(),
    )
}
