//! An online store in a file of its own, for one machine: the quickstart needs no server, and a restart loses nothing.
//!
//! The file is a [redb](https://www.redb.org) database: pure Rust, one file, and a transaction is on disk when its commit returns. One thread
//! writes; changes that come while it does so share the next transaction, so that many small ones cost few waits for the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use gondola_request::{
    Change, ItemId, ItemState, Moment, PastInteraction, PurchaseUpdate, RawRow, Rules, StatedRow, UserId,
    UserState,
};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, oneshot};

use crate::record;
use crate::store::{
    MAX_INTERACTIONS, News, OnlineStore, Position, StoreError, Subject, WriteOutcome, Written,
};

/// What was put of users, as JSON.
const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");
/// What users did, by user and event id; see [`record`].
const INTERACTIONS: TableDefinition<'_, (&str, &str), &str> = TableDefinition::new("interactions");
/// The rules, as JSON, under [`RULES_KEY`].
const RULES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("rules");
const RULES_KEY: &str = "rules";
/// What was put of items, as JSON.
const ITEMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("items");

/// Requests that share a transaction at most.
const MAX_TOGETHER: usize = 256;
/// News that wait for whoever is slow to read them.
const MAX_NEWS: usize = 4_096;
/// How long news are waited for.
const WAIT: Duration = Duration::from_secs(1);

/// An online store in a file.
pub struct Embedded {
    path: PathBuf,
    database: Arc<Database>,
    work: Sender<Work>,
    news: broadcast::Sender<Told>,
    /// News that nobody read yet: one follower is enough for one process.
    unread: tokio::sync::Mutex<broadcast::Receiver<Told>>,
}

/// Changes, and who waits for what comes of them.
struct Work {
    changes: Vec<Change>,
    now: Moment,
    done: oneshot::Sender<Result<WriteOutcome, StoreError>>,
}

#[derive(Clone)]
struct Told {
    position: Position,
    users: Vec<UserId>,
    items: Vec<ItemId>,
    rules: bool,
}

/// What was put of a user.
#[derive(Default, Serialize, Deserialize)]
struct PutUser {
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    row: Option<StatedRow>,
    #[serde(default)]
    history: Option<Vec<PurchaseUpdate>>,
}

impl Embedded {
    /// Opens the file, or makes it. Another process that has it open is an error.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(|error| away(path, way_out(&error)))?;
        let tables = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(USERS)?;
            transaction.open_table(INTERACTIONS)?;
            transaction.open_table(ITEMS)?;
            transaction.open_table(RULES)?;
            Ok(transaction.commit()?)
        };
        tables().map_err(|error| away(path, error))?;
        let database = Arc::new(database);
        let (work, jobs) = channel();
        let (news, unread) = broadcast::channel(MAX_NEWS);
        let writer = Writer {
            path: path.to_owned(),
            database: Arc::clone(&database),
            news: news.clone(),
            position: Position::default(),
        };
        thread::Builder::new()
            .name("online-store".to_owned())
            .spawn(move || writer.run(&jobs))
            .map_err(|error| away(path, format!("cannot start its thread: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            database,
            work,
            news,
            unread: tokio::sync::Mutex::new(unread),
        })
    }

    fn away(&self, error: impl std::fmt::Display) -> StoreError {
        away(&self.path, error)
    }

    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, ReadError>) -> Result<T, StoreError> {
        let transaction = self.database.begin_read().map_err(|error| self.away(error))?;
        read(&transaction).map_err(|error| match error {
            ReadError::File(error) => self.away(error),
            ReadError::Content(error) => error,
        })
    }
}

fn away(path: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Away {
        place: path.display().to_string(),
        problem: error.to_string(),
    }
}

fn way_out(error: &redb::DatabaseError) -> String {
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => {
            "another process has it open; stop that one, or name another file".to_owned()
        }
        other => format!("{other}; name a file that this program may write, or one that it wrote before"),
    }
}

/// Why something could not be read.
enum ReadError {
    File(redb::Error),
    Content(StoreError),
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::File(error.into())
    }
}

fn parse<T: DeserializeOwned>(json: &[u8], what: &str, id: &str) -> Result<T, ReadError> {
    serde_json::from_slice(json).map_err(|error| {
        ReadError::Content(StoreError::Damaged {
            what: format!("{what} {id:?}"),
            problem: error.to_string(),
        })
    })
}

#[async_trait]
impl OnlineStore for Embedded {
    async fn user(&self, user: &UserId) -> Result<Option<UserState>, StoreError> {
        let id = user.as_str();
        self.read(|transaction| {
            let put = transaction.open_table(USERS)?.get(id)?;
            let put: Option<PutUser> = put.map(|json| parse(json.value(), "user", id)).transpose()?;
            let interactions = interactions(&transaction.open_table(INTERACTIONS)?, id)?;
            if put.is_none() && interactions.is_empty() {
                return Ok(None);
            }
            let PutUser {
                deleted,
                row,
                history,
            } = put.unwrap_or_default();
            Ok(Some(UserState {
                deleted,
                row,
                history,
                interactions,
            }))
        })
    }

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<ItemState>>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(ITEMS)?;
            let state = |item: &ItemId| {
                let json = table.get(item.as_str())?;
                json.map(|json| parse(json.value(), "item", item.as_str()))
                    .transpose()
            };
            items.iter().map(state).collect()
        })
    }

    async fn known_items(&self) -> Result<Vec<ItemId>, StoreError> {
        self.read(|transaction| {
            let table = transaction.open_table(ITEMS)?;
            let all = table.iter()?;
            all.map(|entry| Ok(ItemId::from(entry?.0.value()))).collect()
        })
    }

    async fn rules(&self) -> Result<Option<Rules>, StoreError> {
        self.read(|transaction| {
            let json = transaction.open_table(RULES)?.get(RULES_KEY)?;
            json.map(|json| parse(json.value(), "the rules", RULES_KEY))
                .transpose()
        })
    }

    async fn write(&self, changes: &[Change], now: Moment) -> Result<WriteOutcome, StoreError> {
        let (done, outcome) = oneshot::channel();
        let work = Work {
            changes: changes.to_vec(),
            now,
            done,
        };
        let stopped = || self.away("it is stopping; send the change again");
        self.work.send(work).map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    async fn position(&self) -> Result<Position, StoreError> {
        // Whoever begins to follow has read nothing yet, and these news are of what will be read.
        *self.unread.lock().await = self.news.subscribe();
        Ok(Position::default())
    }

    async fn news(&self, after: &mut Position) -> Result<News, StoreError> {
        let mut unread = self.unread.lock().await;
        let Ok(told) = tokio::time::timeout(WAIT, unread.recv()).await else {
            return Ok(News::none());
        };
        match told {
            Ok(Told {
                position,
                users,
                items,
                rules,
            }) => {
                *after = position;
                Ok(News::Changed { users, items, rules })
            }
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(News::Lost),
            Err(broadcast::error::RecvError::Closed) => Err(self.away("it is stopping")),
        }
    }
}

fn interactions(
    table: &impl ReadableTable<(&'static str, &'static str), &'static str>,
    user: &str,
) -> Result<Vec<PastInteraction>, ReadError> {
    let mut interactions = Vec::new();
    for entry in of_user(table, user)? {
        let (_, record) = entry?;
        interactions.push(record::read(record.value(), user).map_err(ReadError::Content)?);
    }
    interactions.sort_by_key(|interaction| interaction.at);
    Ok(interactions)
}

/// All interactions of a user: event ids are never empty, and no text is above the greatest character.
fn of_user<'a>(
    table: &'a impl ReadableTable<(&'static str, &'static str), &'static str>,
    user: &str,
) -> Result<redb::Range<'a, (&'static str, &'static str), &'static str>, redb::StorageError> {
    table.range((user, "")..=(user, "\u{10ffff}"))
}

/// The one that writes.
struct Writer {
    path: PathBuf,
    database: Arc<Database>,
    news: broadcast::Sender<Told>,
    position: Position,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Work>) {
        while let Ok(first) = jobs.recv() {
            let more = jobs.try_iter().take(MAX_TOGETHER - 1);
            let together: Vec<Work> = std::iter::once(first).chain(more).collect();
            match self.commit(&together) {
                Ok(written) => self.acknowledge(together, written),
                Err(error) => {
                    tracing::error!(%error, path = %self.path.display(), "the online store can't be written");
                    for work in together {
                        // Nobody waits any more where this fails.
                        let _ = work.done.send(Err(away(&self.path, &error)));
                    }
                }
            }
        }
    }

    fn commit(&self, together: &[Work]) -> Result<Vec<Vec<Written>>, redb::Error> {
        let transaction = self.database.begin_write()?;
        let mut written = Vec::with_capacity(together.len());
        for work in together {
            let each = work.changes.iter();
            let each = each.map(|change| make(&transaction, change, work.now));
            written.push(each.collect::<Result<_, _>>()?);
        }
        transaction.commit()?;
        Ok(written)
    }

    fn acknowledge(&mut self, together: Vec<Work>, written: Vec<Vec<Written>>) {
        self.position.0 += 1;
        let (mut users, mut items, mut rules) = (Vec::new(), Vec::new(), false);
        for change in together.iter().flat_map(|work| &work.changes) {
            match Subject::of(change) {
                Subject::User(user) => users.push(user.clone()),
                Subject::Item(item) => items.push(item.clone()),
                Subject::Rules => rules = true,
            }
        }
        let position = self.position;
        // Nobody follows yet where this fails.
        let _ = self.news.send(Told {
            position,
            users,
            items,
            rules,
        });
        for (work, written) in together.into_iter().zip(written) {
            let _ = work.done.send(Ok(WriteOutcome { written, position }));
        }
    }
}

fn make(transaction: &WriteTransaction, change: &Change, now: Moment) -> Result<Written, redb::Error> {
    match change {
        Change::PutUser { user, update } => edit(transaction, USERS, user.as_str(), |put: &mut PutUser| {
            put.deleted = false;
            put.row = Some(whole(&update.features, now));
            if let Some(history) = &update.history {
                put.history = Some(history.clone());
            }
        }),
        Change::PatchUser { user, update } => edit(transaction, USERS, user.as_str(), |put: &mut PutUser| {
            patch(&mut put.row, &update.features, put.deleted, now);
            put.deleted = false;
            if let Some(history) = &update.history {
                put.history = Some(history.clone());
            }
        }),
        Change::DeleteUser { user } => {
            forget_interactions(transaction, user.as_str())?;
            edit(transaction, USERS, user.as_str(), |put: &mut PutUser| {
                *put = PutUser {
                    deleted: true,
                    ..PutUser::default()
                };
            })
        }
        Change::PutItem { item, update } => {
            edit(transaction, ITEMS, item.as_str(), |state: &mut ItemState| {
                *state = ItemState {
                    deleted: false,
                    blocked: update.blocked,
                    row: Some(whole(&update.features, now)),
                };
            })
        }
        Change::PatchItem { item, update } => {
            edit(transaction, ITEMS, item.as_str(), |state: &mut ItemState| {
                if !update.features.0.is_empty() {
                    patch(&mut state.row, &update.features, state.deleted, now);
                }
                state.deleted = false;
                state.blocked = update.blocked.unwrap_or(state.blocked);
            })
        }
        Change::DeleteItem { item } => edit(transaction, ITEMS, item.as_str(), |state: &mut ItemState| {
            *state = ItemState {
                deleted: true,
                ..ItemState::default()
            };
        }),
        Change::PutRules(rules) => {
            let json = serde_json::to_vec(rules).expect("texts and numbers are always JSON");
            transaction
                .open_table(RULES)?
                .insert(RULES_KEY, json.as_slice())?;
            Ok(Written::Taken)
        }
        Change::DeleteRules => {
            transaction.open_table(RULES)?.remove(RULES_KEY)?;
            Ok(Written::Taken)
        }
        Change::Interaction(interaction) => {
            let user = interaction.user.as_str();
            let key = (user, interaction.event_id.as_str());
            let mut table = transaction.open_table(INTERACTIONS)?;
            if let Some(known) = table.get(key)? {
                return Ok(match record::is_of(known.value(), interaction) {
                    true => Written::Duplicate,
                    false => Written::Conflict,
                });
            }
            table.insert(key, record::write(interaction, now).as_str())?;
            drop(table);
            forget_earliest(transaction, user)?;
            Ok(Written::Taken)
        }
    }
}

fn whole(columns: &RawRow, at: Moment) -> StatedRow {
    StatedRow {
        columns: columns.clone(),
        whole: true,
        at,
        ..StatedRow::default()
    }
}

/// Puts columns over what was put before; over nothing where that was deleted.
fn patch(row: &mut Option<StatedRow>, columns: &RawRow, deleted: bool, at: Moment) {
    let row = row.get_or_insert_with(|| StatedRow {
        whole: deleted,
        ..StatedRow::default()
    });
    row.columns.0.extend(columns.0.clone());
    row.at = at;
}

fn edit<T: Default + Serialize + DeserializeOwned>(
    transaction: &WriteTransaction,
    table: TableDefinition<'_, &'static str, &'static [u8]>,
    id: &str,
    edit: impl FnOnce(&mut T),
) -> Result<Written, redb::Error> {
    let mut table = transaction.open_table(table)?;
    let known = table.get(id)?.map(|json| serde_json::from_slice(json.value()));
    // What can't be read can be replaced: nothing else would ever mend it.
    let mut state = known.and_then(Result::ok).unwrap_or_default();
    edit(&mut state);
    let json = serde_json::to_vec(&state).expect("texts and numbers are always JSON");
    table.insert(id, json.as_slice())?;
    Ok(Written::Taken)
}

fn forget_interactions(transaction: &WriteTransaction, user: &str) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(INTERACTIONS)?;
    table.retain_in((user, "")..=(user, "\u{10ffff}"), |_, _| false)?;
    Ok(())
}

/// Keeps the latest [`MAX_INTERACTIONS`] of a user.
fn forget_earliest(transaction: &WriteTransaction, user: &str) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(INTERACTIONS)?;
    let mut by_time = Vec::new();
    for entry in of_user(&table, user)? {
        let (key, record) = entry?;
        let time = record.value()[record::FINGERPRINT_DIGITS..][..record::TIME_DIGITS].to_owned();
        by_time.push((time, key.value().1.to_owned()));
    }
    if by_time.len() <= MAX_INTERACTIONS {
        return Ok(());
    }
    by_time.sort();
    let surplus = by_time.len() - MAX_INTERACTIONS;
    for (_, event) in by_time.drain(..surplus) {
        table.remove((user, event.as_str()))?;
    }
    Ok(())
}
