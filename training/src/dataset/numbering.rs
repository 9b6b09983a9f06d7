//! Users, items and categories as whole numbers, and purchases by these numbers alone.
//!
//! Every cut-off date joins, groups and orders all purchases, and does so much faster by numbers of four bytes
//! than by ids of 64 letters. Numbers follow the order of the texts that they stand for: what is ordered by
//! number is ordered by text. Purchases lie by user, then by time, so that sums by user need neither a sort nor
//! a table of all users in memory. Prices are decimals, whose sums are the same in every order.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::config::{DatasetConfig, Entity};
use super::error::DatasetError;
use super::ids::{self, NumberedIds, Repeated, SeenIds};
use super::side::{Entities, Side};
use super::sql::{quoted, staged};
use super::tables::Tables;

/// Users (`user_number, user_id, sold, known` and the shop's columns), ordered by number; `sold` says whether there
/// is a purchase, and `known` whether the shop's own file has them.
pub(crate) const USERS: &str = "numbered_users";
/// Items, in the same way, and the numbers of their values, named by [`value`].
pub(crate) const ITEMS: &str = "numbered_items";
/// Stores: `store_number, store`.
pub(crate) const STORES: &str = "numbered_stores";
/// Transactions as the shop has them, with numbers in the place of ids: `user_number, item_number, at, price, store`.
const TRANSACTIONS: &str = "numbered_transactions";
/// Purchases: `user_number, item_number, day, moment, price, store_number` and the numbers of the item's values,
/// ordered by user, time and item, and where these are the same, by the rest. Days and microseconds (`moment`) count from 1970.
pub(crate) const PURCHASES: &str = "numbered_purchases";

/// What queries may know of the order of [`PURCHASES`].
const ORDER: [&str; 3] = ["user_number", "moment", "item_number"];

/// Ids written at a time.
const ROWS: usize = 65_536;

/// The table of an item column's values: `value_number, value`.
pub(crate) fn values(attribute: usize) -> String {
    format!("numbered_values_{attribute}")
}

/// The column of the number of an item's value, of the attribute at this place of `features.user_attributes`.
pub(crate) fn value(attribute: usize) -> String {
    format!("value_{attribute}")
}

/// Gives numbers to everything that was staged, and writes the tables: `sold` are the ids of transactions, `known`
/// those of the shop's other files.
pub(super) async fn number(
    tables: &mut Tables,
    config: &DatasetConfig,
    sold: &Entities<SeenIds>,
    known: &Entities<SeenIds>,
) -> Result<(), DatasetError> {
    let mut numbering = Numbering { tables, config };
    numbering
        .number_ids(Side::Users, &sold.users, &known.users)
        .await?;
    numbering
        .number_ids(Side::Items, &sold.items, &known.items)
        .await?;
    numbering.number_rows().await
}

/// Numbers being given.
struct Numbering<'a> {
    tables: &'a mut Tables,
    config: &'a DatasetConfig,
}

impl Numbering<'_> {
    async fn number_rows(&mut self) -> Result<(), DatasetError> {
        let attributes = self.config.features.user_attributes.clone();
        for (place, attribute) in attributes.iter().enumerate() {
            let sql = numbers(&quoted(attribute), "value", &staged(Side::Items.view()));
            self.tables
                .keep("the values of an item column", &values(place), &sql, &[])
                .await?;
        }
        self.number_entities(Side::Users, USERS, &[]).await?;
        self.number_entities(Side::Items, ITEMS, &attributes).await?;
        let transactions = self.transactions_sql();
        self.tables
            .view("the transactions by number", transactions)
            .await?;
        let with_ids = with_ids_sql();
        self.tables.view("the view of transactions", with_ids).await?;
        let stores = numbers("store", "store", TRANSACTIONS);
        self.tables.keep("the stores", STORES, &stores, &[]).await?;
        let purchases = purchases_sql(attributes.len());
        self.tables
            .keep("the purchases by user", PURCHASES, &purchases, &ORDER)
            .await
    }

    /// Writes the ids of one side, and the number of each place among the ids of transactions.
    async fn number_ids(&mut self, side: Side, sold: &SeenIds, known: &SeenIds) -> Result<(), DatasetError> {
        let (ids, numbers) = NumberedIds::of(sold, known).map_err(|repeated| self.twice(side, repeated))?;
        let column = |name: &str, kind| Field::new(name, kind, true);
        let schema = Arc::new(Schema::new(vec![
            column(side.number(), DataType::Int32),
            column(side.id(), DataType::Utf8),
            column("sold", DataType::Boolean),
            column("place", DataType::Int32),
        ]));
        let rows = (0..ids.len()).step_by(ROWS).map(|start| {
            let rows = start..(start + ROWS).min(ids.len());
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int32Array::from_iter_values(rows.clone().map(|row| row as i32))),
                Arc::new(StringArray::from_iter_values(
                    rows.clone().map(|row| ids.id(row as u32)),
                )),
                Arc::new(BooleanArray::from(ids.sold[rows.clone()].to_vec())),
                Arc::new(Int32Array::from(ids.known[rows].to_vec())),
            ];
            RecordBatch::try_new(schema.clone(), columns).expect("the columns are of the schema's types")
        });
        self.tables
            .keep_batches(&ids::table(side), schema.clone(), rows)
            .await?;
        self.keep_places(side, numbers).await
    }

    async fn keep_places(&mut self, side: Side, numbers: Vec<i32>) -> Result<(), DatasetError> {
        let column = |name: &str| Field::new(name, DataType::Int32, false);
        let schema = Arc::new(Schema::new(vec![column("place"), column(side.number())]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(0..numbers.len() as i32)),
            Arc::new(Int32Array::from(numbers)),
        ];
        let places =
            RecordBatch::try_new(schema.clone(), columns).expect("the columns are of the schema's types");
        self.tables
            .keep_batches(&places_of(side), schema, [places].into_iter())
            .await
    }

    fn twice(&self, side: Side, Repeated { id, rows }: Repeated) -> DatasetError {
        let (file, key) = match self.config.entity(side) {
            Some(Entity { file, key, .. }) => (file.clone(), key.clone()),
            None => (side.view().to_owned(), side.id().to_owned()),
        };
        DatasetError::Twice { file, key, id, rows }
    }

    /// Writes everything that is known of users or items, and makes the view of the shop's file.
    async fn number_entities(
        &mut self,
        side: Side,
        table: &str,
        attributes: &[String],
    ) -> Result<(), DatasetError> {
        let (view, id, number) = (side.view(), side.id(), side.number());
        let columns = self.config.entity(side).map(Entity::columns).unwrap_or_default();
        let known: String = columns
            .iter()
            .map(|column| format!(", known.{}", quoted(column)))
            .collect();
        let own: String = columns
            .iter()
            .map(|column| format!(", {}", quoted(column)))
            .collect();
        let file = match self.config.entity(side) {
            Some(_) => format!(
                " LEFT JOIN {} AS known ON known.place = ids.place",
                staged(side.view())
            ),
            None => String::new(),
        };
        let places = attributes.iter().enumerate();
        let codes = places.clone().map(|(place, _)| {
            let table = values(place);
            format!(", {table}.value_number AS {}", value(place))
        });
        let joins = places.map(|(place, attribute)| {
            let (table, attribute) = (values(place), quoted(attribute));
            format!(" LEFT JOIN {table} ON {table}.value = known.{attribute}")
        });
        let sql = format!(
            "SELECT ids.{number}, ids.{id}, ids.sold, ids.place IS NOT NULL AS known{known}{codes}
             FROM {ids} AS ids{file}{joins}
             ORDER BY ids.{number}",
            ids = ids::table(side),
            codes = codes.collect::<String>(),
            joins = joins.collect::<String>(),
        );
        self.tables
            .keep("the numbers of users and items", table, &sql, &[number])
            .await?;
        let sql = format!("CREATE VIEW {view} AS SELECT {id}{own} FROM {table} WHERE known");
        self.tables.view("the view of users or items", sql).await
    }

    fn transactions_sql(&self) -> String {
        let roles = &self.config.transactions;
        let price = roles
            .price
            .as_ref()
            .map_or("CAST(0 AS DOUBLE)", |_| "staged.price");
        let store = roles
            .store
            .as_ref()
            .map_or("CAST(NULL AS VARCHAR)", |_| "staged.store");
        format!(
            "CREATE VIEW {TRANSACTIONS} AS
             SELECT users.user_number, items.item_number, staged.at, {price} AS price, {store} AS store
             FROM {staged} AS staged
             JOIN {users} AS users ON users.place = staged.user_place
             JOIN {items} AS items ON items.place = staged.item_place",
            staged = staged("transactions"),
            users = places_of(Side::Users),
            items = places_of(Side::Items),
        )
    }
}

/// The table of the ids of transactions, by their places there.
fn places_of(side: Side) -> String {
    format!("places_of_{}", side.view())
}

/// The different values of a column, numbered in their order.
fn numbers(column: &str, name: &str, table: &str) -> String {
    format!(
        "SELECT {name}, CAST(ROW_NUMBER() OVER (ORDER BY {name}) - 1 AS INTEGER) AS {name}_number
         FROM (SELECT DISTINCT {column} AS {name} FROM {table} WHERE {column} IS NOT NULL) AS different
         ORDER BY {name}_number"
    )
}

/// The shop's transactions with our names, ids and all, for people and tests who look at them.
fn with_ids_sql() -> String {
    format!(
        "CREATE VIEW transactions AS
         SELECT users.user_id, items.item_id, numbered.at, numbered.price, numbered.store
         FROM {TRANSACTIONS} AS numbered
         JOIN {USERS} AS users ON users.user_number = numbered.user_number
         JOIN {ITEMS} AS items ON items.item_number = numbered.item_number"
    )
}

fn purchases_sql(attributes: usize) -> String {
    let codes: String = (0..attributes)
        .map(|place| format!(", {ITEMS}.{}", value(place)))
        .collect();
    format!(
        "SELECT transactions.user_number, transactions.item_number, CAST(CAST(transactions.at AS DATE) AS INTEGER) AS day,
           CAST(CAST(transactions.at AS TIMESTAMP(6)) AS BIGINT) AS moment,
           CAST(transactions.price AS DECIMAL(38, 16)) AS price, {STORES}.store_number{codes}
         FROM {TRANSACTIONS} AS transactions
         JOIN {ITEMS} ON {ITEMS}.item_number = transactions.item_number
         LEFT JOIN {STORES} ON {STORES}.store = transactions.store
         ORDER BY {order}, price, store_number",
        order = ORDER.join(", ")
    )
}
