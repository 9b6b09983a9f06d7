//! What an online store is.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use gondola_request::{Change, ItemId, ItemState, Moment, Rules, UserId, UserState};

/// The most interactions that are kept of a user; the earliest go first.
pub const MAX_INTERACTIONS: usize = 1_000;

/// Keeps what is put and done at run time, for every pod that serves a pipeline.
#[async_trait]
pub trait OnlineStore: Send + Sync + 'static {
    /// What is held of a user, in one round trip; `None` where nothing is.
    async fn user(&self, user: &UserId) -> Result<Option<UserState>, StoreError>;

    /// What is held of items, in their order; `None` where nothing is.
    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<ItemState>>, StoreError>;

    /// The items of which something is held.
    async fn known_items(&self) -> Result<Vec<ItemId>, StoreError>;

    /// How often to ask for [`unannounced`](Self::unannounced) changes; never where nobody else writes.
    fn look_every(&self) -> Option<Duration> {
        None
    }

    /// The items that others wrote without telling news since `seen`, and what is seen now. All are new to who has seen nothing.
    async fn unannounced(&self, _seen: &Seen) -> Result<(Vec<ItemId>, Seen), StoreError> {
        Ok((Vec::new(), Seen::default()))
    }

    /// The rules that stand over those of the manifest, if some do.
    async fn rules(&self) -> Result<Option<Rules>, StoreError>;

    /// Makes changes, each for itself, and gives what came of each, in their order. `now` is the time of those that bring none. Whatever
    /// is [`Written::Taken`] outlives this process and the store's.
    async fn write(&self, changes: &[Change], now: Moment) -> Result<WriteOutcome, StoreError>;

    /// Where the news end now. What is read after that is at least as new.
    async fn position(&self) -> Result<Position, StoreError>;

    /// The news after a position, which moves on; waits up to a second for some.
    async fn news(&self, after: &mut Position) -> Result<News, StoreError>;
}

/// The items that others write, and of each what changes with every write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(pub(crate) HashMap<ItemId, Vec<u8>>);

impl Seen {
    /// The items that are not as they were `before`, those that are gone among them.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<ItemId> {
        let changed = self
            .0
            .iter()
            .filter(|(item, mark)| before.0.get(*item) != Some(*mark));
        let gone = before.0.keys().filter(|item| !self.0.contains_key(*item));
        changed.map(|(item, _)| item).chain(gone).cloned().collect()
    }
}

/// What came of some changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteOutcome {
    /// Of each.
    pub written: Vec<Written>,
    /// Where the news of them are.
    pub position: Position,
}

/// What came of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The store has it.
    Taken,
    /// The store had it before: an interaction that was sent again.
    Duplicate,
    /// Another interaction of the user has the same event id.
    Conflict,
    /// The store refuses it.
    Refused {
        /// Why, as a sentence.
        problem: String,
    },
}

/// A place in the news of a store. Later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64, pub u64);

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These users and items, some maybe more than once; none where nothing did.
    Changed {
        /// Users.
        users: Vec<UserId>,
        /// Items.
        items: Vec<ItemId>,
        /// Whether the rules did.
        rules: bool,
    },
    /// More than the store remembers: everything has to be read again.
    Lost,
}

impl News {
    /// Nothing.
    pub fn none() -> Self {
        Self::Changed {
            users: Vec::new(),
            items: Vec::new(),
            rules: false,
        }
    }
}

/// Whose state a change changes.
pub(crate) enum Subject<'a> {
    /// A user's.
    User(&'a UserId),
    /// An item's.
    Item(&'a ItemId),
    /// The rules.
    Rules,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(change: &'a Change) -> Self {
        match change {
            Change::PutUser { user, .. } | Change::PatchUser { user, .. } | Change::DeleteUser { user } => {
                Self::User(user)
            }
            Change::Interaction(interaction) => Self::User(&interaction.user),
            Change::PutItem { item, .. } | Change::PatchItem { item, .. } | Change::DeleteItem { item } => {
                Self::Item(item)
            }
            Change::PutRules(_) | Change::DeleteRules => Self::Rules,
        }
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be reached, or is busy with something else.
    #[error("the online store at {place} does not answer: {problem}")]
    Away {
        /// Where it is.
        place: String,
        /// What was seen, and the way out.
        problem: String,
    },
    /// It answers something else than what was asked.
    #[error("the online store at {place} refuses: {problem}")]
    Refused {
        /// Where it is.
        place: String,
        /// What it says, and the way out.
        problem: String,
    },
    /// What it holds can't be read.
    #[error("the online store holds {what} that can't be read: {problem}")]
    Damaged {
        /// Of what.
        what: String,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// The connection is described wrongly.
    #[error("the connection to the online store is described wrongly: {problem}")]
    Connection {
        /// What is wrong with it.
        problem: String,
    },
}
