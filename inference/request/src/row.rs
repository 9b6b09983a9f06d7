//! Raw features: what a shop's data says of one user or item.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One raw feature value, as a shop's data has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Value {
    /// Nothing is known.
    #[default]
    Null,
    /// A quantity.
    Number(f64),
    /// A category, an identifier or a text.
    Text(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

/// The raw features of one user or item, by column name. A column that is absent is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RawRow(pub BTreeMap<String, Value>);

impl RawRow {
    /// The value of `column`; null where the row does not have it.
    pub fn get(&self, column: &str) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }
}

impl<const N: usize> From<[(&str, Value); N]> for RawRow {
    fn from(values: [(&str, Value); N]) -> Self {
        Self(
            values
                .into_iter()
                .map(|(column, value)| (column.to_owned(), value))
                .collect(),
        )
    }
}
