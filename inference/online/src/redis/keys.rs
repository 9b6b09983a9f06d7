//! Names of keys and of their fields.
//!
//! All keys of a user or an item have its id in braces: in a cluster they are then in one slot, and each id in one of its own.

use gondola_request::{ItemId, UserId};

/// The field that says whether a row is whole or stands over the snapshot's: `whole` or `over`.
pub(super) const ROW: &str = "row";
/// The field with the time of the last change of the row.
pub(super) const AT: &str = "at";
/// The field of a user's purchases, as JSON.
pub(super) const HISTORY: &str = "history";
/// The field of an item that is kept out of every answer.
pub(super) const BLOCKED: &str = "blocked";
/// The field of what was deleted.
pub(super) const DELETED: &str = "deleted";
/// What names of columns begin with.
pub(super) const COLUMN: &str = "=";
/// News of a user.
pub(super) const USER: &str = "u";
/// News of an item.
pub(super) const ITEM: &str = "i";
/// News of the rules.
pub(super) const RULES: &str = "r";

/// The field of a column.
pub(super) fn column(name: &str) -> String {
    format!("{COLUMN}{name}")
}

/// Names the keys of one pipeline.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn of(scope: &str) -> Self {
        Self {
            prefix: format!("gondola:{}", without_braces(scope)),
        }
    }

    pub(super) fn user(&self, user: &UserId) -> String {
        format!("{}:user:{{{}}}", self.prefix, without_braces(user.as_str()))
    }

    pub(super) fn interactions(&self, user: &UserId) -> String {
        format!(
            "{}:interactions:{{{}}}",
            self.prefix,
            without_braces(user.as_str())
        )
    }

    pub(super) fn item(&self, item: &ItemId) -> String {
        format!("{}:item:{{{}}}", self.prefix, without_braces(item.as_str()))
    }

    /// The set of all items of which something is held.
    pub(super) fn items(&self) -> String {
        format!("{}:items", self.prefix)
    }

    /// The rules over those of the manifest, as JSON.
    pub(super) fn rules(&self) -> String {
        format!("{}:rules", self.prefix)
    }

    /// The stream of news.
    pub(super) fn news(&self) -> String {
        format!("{}:news", self.prefix)
    }
}

/// The first pair of braces says which slot a key is in: an id's own must not.
fn without_braces(id: &str) -> String {
    id.replace('%', "%25").replace('{', "%7B").replace('}', "%7D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_of_a_user_are_in_the_slot_of_the_id() {
        let keys = Keys::of("shop/grocery");
        assert_eq!(keys.user(&"anna".into()), "gondola:shop/grocery:user:{anna}");
        let odd = UserId::from("}{%");
        assert_eq!(keys.user(&odd), "gondola:shop/grocery:user:{%7D%7B%25}");
        assert_eq!(
            keys.interactions(&odd),
            "gondola:shop/grocery:interactions:{%7D%7B%25}"
        );
    }
}
