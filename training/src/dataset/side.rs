//! The two sides of a purchase.

use serde::{Deserialize, Serialize};

/// Who buys, or what is bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

    pub(super) fn number(self) -> &'static str {
        match self {
            Self::Users => "user_number",
            Self::Items => "item_number",
        }
    }
}

/// Something of users and of items each.
pub(super) struct Entities<T> {
    pub(super) users: T,
    pub(super) items: T,
}
