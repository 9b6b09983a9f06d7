//! The users of a snapshot.

use std::ops::Deref;
use std::sync::Arc;

use gondola_request::{RawRow, UserId};

use super::history::{History, Purchase};
use super::row::{EncodedRow, EncodedTable};
use super::table::RawTable;
use super::workflow::EntityWorkflow;

/// The rows and purchases of all users of a snapshot.
///
/// Rows are encoded once, when they are loaded: 80 bytes for 20 columns, in addition to the raw row. What happened since is
/// no part of this: [`super::present`] brings it in, request by request.
#[derive(Debug)]
pub struct Users {
    table: Arc<RawTable>,
    encoded: Arc<EncodedTable>,
    history: Arc<History>,
}

/// One user, as a request sees them.
#[derive(Debug)]
pub struct User<'a> {
    /// The encoded row.
    pub row: EncodedRow,
    /// What they bought, ordered by item row.
    pub purchases: Purchases<'a>,
    /// Items that they don't want to see again, in ascending order.
    pub disliked: Vec<u32>,
    /// Items among their purchases of which they bought none: looked at, or put into a basket. In ascending order.
    pub not_bought: Vec<u32>,
    /// Whether anything is known of them.
    pub known: bool,
}

/// A user's purchases, wherever they are kept.
#[derive(Debug)]
pub enum Purchases<'a> {
    /// In the snapshot.
    Snapshot(&'a [Purchase]),
    /// Those of the snapshot and what happened since, put together for one request.
    Present(Vec<Purchase>),
}

impl Deref for Purchases<'_> {
    type Target = [Purchase];

    fn deref(&self) -> &[Purchase] {
        match self {
            Purchases::Snapshot(purchases) => purchases,
            Purchases::Present(purchases) => purchases,
        }
    }
}

impl<'a> User<'a> {
    /// Somebody of whom a row and purchases are known.
    pub fn known(row: EncodedRow, purchases: Purchases<'a>) -> Self {
        Self {
            row,
            purchases,
            disliked: Vec::new(),
            not_bought: Vec::new(),
            known: true,
        }
    }

    /// Somebody of whom nothing is known: the workflow's defaults.
    pub fn unknown(workflow: &EntityWorkflow) -> Self {
        Self {
            known: false,
            ..Self::known(workflow.encode(&RawRow::default()), Purchases::Snapshot(&[]))
        }
    }

    /// Whether they bought an item.
    pub fn bought(&self, item: u32) -> bool {
        let among = |purchase: &Purchase| purchase.item;
        self.purchases.binary_search_by_key(&item, among).is_ok()
            && self.not_bought.binary_search(&item).is_err()
    }

    /// Whether they don't want to see an item again.
    pub fn dislikes(&self, item: u32) -> bool {
        self.disliked.binary_search(&item).is_ok()
    }
}

impl Users {
    /// The users of a snapshot, and their rows encoded.
    pub fn new(
        table: impl Into<Arc<RawTable>>,
        encoded: impl Into<Arc<EncodedTable>>,
        history: impl Into<Arc<History>>,
    ) -> Self {
        Self {
            table: table.into(),
            encoded: encoded.into(),
            history: history.into(),
        }
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The raw rows.
    pub fn table(&self) -> &RawTable {
        &self.table
    }

    /// What the user in a row bought.
    pub fn purchases(&self, row: usize) -> &[Purchase] {
        self.history.of(row)
    }

    /// Looks a user up; somebody whom the snapshot lacks has the workflow's defaults.
    pub fn find(&self, user: &UserId, workflow: &EntityWorkflow) -> User<'_> {
        match self.table.find(user.as_str()) {
            Some(row) => User::known(self.encoded.row(row), Purchases::Snapshot(self.history.of(row))),
            None => User::unknown(workflow),
        }
    }
}
