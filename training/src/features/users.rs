//! Users: recency, frequency, monetary amount; the most frequent and the last value of item attributes; the home
//! store; what the shop knows of them.

use gondola_models::features::activity::{FREQUENCY, MONETARY, PURCHASES, RECENCY};

use crate::dataset::config::{DatasetConfig, Entity};
use crate::dataset::names;
use crate::dataset::numbering::{STORES, USERS, value, values};
use crate::dataset::sql::quoted;

/// One more than the greatest number of a value: a count and a value's number fit into one whole number side by
/// side, so that the greatest of them is the most frequent value without any sort.
const VALUES: u64 = 1 << 32;

pub(super) fn sql(config: &DatasetConfig) -> String {
    let attributes = attributes(config);
    let values = attributes.iter().map(|attribute| value(attribute.place));
    let columns: Vec<String> = ["store_number".to_owned()].into_iter().chain(values).collect();
    let known = config.users.as_ref().map(Entity::columns).unwrap_or_default();
    let known = known
        .into_iter()
        .map(|column| format!(",\n  users.{}", quoted(column)));
    format!(
        "WITH activity AS (
  SELECT user_number, MIN(age_days) AS recency_days, COUNT(*) AS purchases, SUM(price) AS monetary{last}
  FROM purchases GROUP BY user_number),
days AS (
  SELECT user_number, COUNT(*) AS days FROM (SELECT DISTINCT user_number, day FROM purchases) AS different
  GROUP BY user_number),
most AS (
  SELECT user_number{numbers}
  FROM ({counts}) AS counts
  GROUP BY user_number)
SELECT users.user_id, activity.recency_days AS {RECENCY}, CAST(days.days AS DOUBLE) AS {FREQUENCY},
  CAST(activity.purchases AS DOUBLE) AS {PURCHASES}, CAST(activity.monetary AS DOUBLE) AS {MONETARY},
  {STORES}.store AS home_store{columns}{known}
FROM {USERS} AS users
LEFT JOIN activity ON activity.user_number = users.user_number
LEFT JOIN days ON days.user_number = users.user_number
LEFT JOIN most ON most.user_number = users.user_number
LEFT JOIN {STORES} ON {STORES}.store_number = most.store_number{joins}
WHERE users.known OR activity.user_number IS NOT NULL
ORDER BY users.user_number",
        last = each(&attributes, Attribute::last),
        numbers = columns
            .iter()
            .map(|column| most_frequent(column))
            .collect::<String>(),
        counts = columns
            .iter()
            .map(|column| counts(column))
            .collect::<Vec<_>>()
            .join("\n    UNION ALL"),
        columns = each(&attributes, Attribute::columns),
        known = known.collect::<String>(),
        joins = each(&attributes, Attribute::joins),
    )
}

/// An item column of which users have a most frequent and a last value.
struct Attribute<'a> {
    place: usize,
    name: &'a str,
}

fn attributes(config: &DatasetConfig) -> Vec<Attribute<'_>> {
    let names = config.features.user_attributes.iter().enumerate();
    names.map(|(place, name)| Attribute { place, name }).collect()
}

/// A part of the query for each attribute.
fn each<'a>(attributes: &[Attribute<'a>], part: fn(&Attribute<'a>) -> String) -> String {
    attributes.iter().map(part).collect()
}

impl Attribute<'_> {
    fn last(&self) -> String {
        let (place, value) = (self.place, value(self.place));
        format!(
            ",\n    LAST_VALUE({value} ORDER BY moment, item_number) FILTER (WHERE {value} IS NOT NULL) AS last_{place}"
        )
    }

    fn columns(&self) -> String {
        let (place, popular, last) = (self.place, names::popular(self.name), names::last(self.name));
        format!(
            ",\n  popular_{place}.value AS {}, last_{place}.value AS {}",
            quoted(&popular),
            quoted(&last)
        )
    }

    fn joins(&self) -> String {
        let (place, value, values) = (self.place, value(self.place), values(self.place));
        format!(
            "
LEFT JOIN {values} AS popular_{place} ON popular_{place}.value_number = most.{value}
LEFT JOIN {values} AS last_{place} ON last_{place}.value_number = activity.last_{place}"
        )
    }
}

/// How often each user's purchases have each number of a column: the count and the number in one, the lowest number the greatest.
///
/// The columns are counted one below the other and not side by side: each join makes the plan deeper, and Ballista reads only so deep.
fn counts(column: &str) -> String {
    format!(
        "
    SELECT user_number, '{column}' AS counted, COUNT(*) * {VALUES} + ({last} - CAST({column} AS BIGINT)) AS count_and_number
    FROM purchases WHERE {column} IS NOT NULL GROUP BY user_number, {column}",
        last = VALUES - 1
    )
}

/// The number that each user's purchases have most often, the lowest of several, which is the first by its text.
fn most_frequent(column: &str) -> String {
    format!(
        ",
    {last} - MAX(CASE WHEN counted = '{column}' THEN count_and_number END) % {VALUES} AS {column}",
        last = VALUES - 1
    )
}
