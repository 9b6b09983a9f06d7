//! The columns that a configuration names.

use super::super::config::{ConfigError, DatasetConfig, Entity};
use super::super::names;
use super::{different, refused};

/// The most bytes of a categorical column's name in the name of its vocabulary's file.
const MAX_NAME: usize = 220;

/// Refuses columns that have the same name, or that don't exist.
pub(super) fn check(config: &DatasetConfig) -> Result<(), ConfigError> {
    let transactions = &config.transactions;
    let roles = [
        ("transactions.user", Some(&transactions.user)),
        ("transactions.item", Some(&transactions.item)),
        ("transactions.time", Some(&transactions.time)),
        ("transactions.price", transactions.price.as_ref()),
        ("transactions.store", transactions.store.as_ref()),
    ];
    for (field, column) in roles {
        column.map_or(Ok(()), |column| named(field, column))?;
    }
    if let Some(users) = &config.users {
        entity("users", users, &names::of_users(config))?;
        if let Some(column) = users.rules.first() {
            let wanted =
                "rules ask for columns of items alone; leave it out, or name it in users.categorical";
            return Err(refused("users.rules", format!("{column:?}"), wanted));
        }
    }
    entity("items", &config.items, &names::of_items(config))?;
    for (field, names) in [
        ("features.user_attributes", &config.features.user_attributes),
        ("features.affinities", &config.features.affinities),
    ] {
        different(field, names)?;
        if let Some(name) = names.iter().find(|name| !config.items.categorical.contains(name)) {
            return Err(ConfigError::NoItemColumn {
                field,
                name: name.clone(),
                known: config.items.categorical.clone(),
            });
        }
    }
    thresholds(config)
}

fn entity(which: &str, entity: &Entity, computed: &[String]) -> Result<(), ConfigError> {
    named(&format!("{which}.key"), &entity.key)?;
    let roles = [
        ("categorical", &entity.categorical),
        ("numeric", &entity.numeric),
        ("text", &entity.text),
        ("rules", &entity.rules),
    ];
    for (role, columns) in roles {
        let field = format!("{which}.{role}");
        for column in columns {
            named(&field, column)?;
            if computed.contains(column) {
                return Err(ConfigError::Computed {
                    field,
                    column: column.clone(),
                    file: entity.file.clone(),
                });
            }
        }
    }
    different(&format!("{which}.categorical"), &entity.categorical)?;
    different(&format!("{which}.numeric"), &entity.numeric)?;
    different(&format!("{which}.rules"), &entity.rules)
}

/// Refuses the name of a column that is none, or that no file can be called by.
fn named(field: &str, column: &str) -> Result<(), ConfigError> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes: usize = column
        .as_bytes()
        .iter()
        .map(|byte| if plain(byte) { 1 } else { 3 })
        .sum();
    match bytes {
        0 => Err(refused(field, "\"\"", "it must name a column")),
        1..=MAX_NAME => Ok(()),
        _ => {
            let wanted = "its name is too long for a file's name; give the column a shorter one";
            Err(refused(field, format!("{column:?}"), wanted))
        }
    }
}

/// Refuses a threshold of a column that has none: it would be left out without a word.
fn thresholds(config: &DatasetConfig) -> Result<(), ConfigError> {
    let known = categories(config);
    let unknown = |name: &&String| *name != "default" && !known.contains(name);
    match config.features.frequency_thresholds.keys().find(unknown) {
        None => Ok(()),
        Some(name) => Err(ConfigError::NoCategory {
            name: name.clone(),
            known,
        }),
    }
}

/// The categorical columns of users and items, computed ones as well.
fn categories(config: &DatasetConfig) -> Vec<String> {
    let attributes = config.features.user_attributes.iter();
    let attributes = attributes.flat_map(|column| [names::popular(column), names::last(column)]);
    let store = config.transactions.store.iter().map(|_| "home_store".to_owned());
    let users = config
        .users
        .iter()
        .flat_map(|users| users.categorical.iter().cloned());
    let users = store
        .chain(attributes)
        .chain(users)
        .map(|column| format!("user.{column}"));
    let items = config
        .items
        .categorical
        .iter()
        .map(|column| format!("item.{column}"));
    users.chain(items).collect()
}
