//! The users of a snapshot, and those that were put since.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use gondola_request::{RawRow, UserId};

use super::history::{History, Purchase};
use super::row::{EncodedRow, EncodedTable};
use super::table::RawTable;
use super::workflow::EntityWorkflow;

/// How many users may be put before the next features bundle: 200,000 rows of about 1 KB are 200 MB.
pub const MAX_PUT_USERS: usize = 200_000;

/// The rows and purchases of all users.
///
/// Rows of the snapshot are encoded once, when it is loaded: 80 bytes for 20 columns, in addition to the raw row.
/// Requests read; a `PUT` writes. The lock is held for one map operation only, and readers share it.
#[derive(Debug)]
pub struct Users {
    table: Arc<RawTable>,
    encoded: Arc<EncodedTable>,
    history: Arc<History>,
    put: RwLock<HashMap<UserId, Arc<PutUser>>>,
}

#[derive(Debug)]
struct PutUser {
    features: RawRow,
    purchases: PutPurchases,
}

#[derive(Debug)]
enum PutPurchases {
    AsInSnapshot,
    These(Vec<Purchase>),
}

/// One user, as a request sees them.
#[derive(Debug)]
pub struct User<'a> {
    /// The encoded row.
    pub row: EncodedRow,
    /// What they bought, ordered by item row.
    pub purchases: Purchases<'a>,
    /// Whether anything is known of them.
    pub known: bool,
}

/// A user's purchases, wherever they are kept.
#[derive(Debug)]
pub enum Purchases<'a> {
    /// In the snapshot.
    Snapshot(&'a [Purchase]),
    /// Put since.
    #[doc(hidden)]
    Put(PutList),
}

/// A list that lives as long as the request that reads it.
#[derive(Debug)]
pub struct PutList(Arc<PutUser>);

impl Deref for Purchases<'_> {
    type Target = [Purchase];

    fn deref(&self) -> &[Purchase] {
        match self {
            Purchases::Snapshot(purchases) => purchases,
            Purchases::Put(PutList(user)) => match &user.purchases {
                PutPurchases::These(purchases) => purchases,
                PutPurchases::AsInSnapshot => &[],
            },
        }
    }
}

/// There is no room for another user.
#[derive(Debug, thiserror::Error)]
#[error("{MAX_PUT_USERS} users were already put, the maximum for a pod; publish a new features bundle")]
pub struct TooManyUsers;

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
            put: RwLock::default(),
        }
    }

    /// Number of users in the snapshot.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether the snapshot has no users.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The snapshot's rows.
    pub fn table(&self) -> &RawTable {
        &self.table
    }

    /// Looks a user up. `workflow` encodes what was put; somebody of whom nothing is known has the workflow's defaults.
    pub fn find(&self, user: &UserId, workflow: &EntityWorkflow) -> User<'_> {
        if let Some(put) = self.put_user(user) {
            let row = workflow.encode(&put.features);
            let purchases = match put.purchases {
                PutPurchases::These(_) => Purchases::Put(PutList(put)),
                PutPurchases::AsInSnapshot => Purchases::Snapshot(self.snapshot_purchases(user)),
            };
            return User {
                row,
                purchases,
                known: true,
            };
        }
        match self.table.find(user.as_str()) {
            Some(row) => User {
                row: self.encoded.row(row),
                purchases: Purchases::Snapshot(self.history.of(row)),
                known: true,
            },
            None => User {
                row: workflow.encode(&RawRow::default()),
                purchases: Purchases::Snapshot(&[]),
                known: false,
            },
        }
    }

    /// Puts a user's row, and their purchases where given. Served from the next request on.
    pub fn put(
        &self,
        user: UserId,
        features: RawRow,
        purchases: Option<Vec<Purchase>>,
    ) -> Result<(), TooManyUsers> {
        let purchases = purchases.map_or(PutPurchases::AsInSnapshot, |mut purchases| {
            purchases.sort_by_key(|purchase| purchase.item);
            purchases.dedup_by_key(|purchase| purchase.item);
            PutPurchases::These(purchases)
        });
        let mut put = self.put.write().unwrap_or_else(PoisonError::into_inner);
        if put.len() >= MAX_PUT_USERS && !put.contains_key(&user) {
            return Err(TooManyUsers);
        }
        put.insert(user, Arc::new(PutUser { features, purchases }));
        Ok(())
    }

    fn put_user(&self, user: &UserId) -> Option<Arc<PutUser>> {
        self.put
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(user)
            .cloned()
    }

    fn snapshot_purchases(&self, user: &UserId) -> &[Purchase] {
        self.table
            .find(user.as_str())
            .map_or(&[], |row| self.history.of(row))
    }
}
