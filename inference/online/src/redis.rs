//! An online store in Redis or Valkey, for a cluster: one server, a cluster of them, or one that sentinels know.
//!
//! A hash holds what was put of a user or an item, with a field for each column; another what a user did, by event id. Each change is one
//! script on one key, which no other can come between. A stream tells the names of what changed, after it did: it is cut to the latest
//! 100,000 entries, and whoever is further behind reads everything again.
//!
//! Where rows of users or items are in feature views of Feast, they are read and written there ([`feast`]); the rest stays with us. Feast
//! tells nobody of what it writes: whoever serves its items looks again and again at when they were true.
//!
//! - [`connection`]: where it is; [`link`]: connections that are made anew when they break;
//! - [`keys`]: names of keys and fields; [`scripts`]: the changes; [`interactions`]: those that are none; [`replies`]: what Redis says,
//!   as values of ours.

pub mod connection;
pub mod feast;
mod interactions;
mod keys;
mod link;
mod replies;
mod scripts;

use std::time::Duration;

use ::redis::{Cmd, RedisError, Value, cmd};
use async_trait::async_trait;
use gondola_causes::with_causes;
use gondola_feast::AbsentColumns;
use gondola_request::{
    Change, ItemId, ItemState, Moment, PurchaseUpdate, RawRow, Rules, StatedRow, UserId, UserState,
};

use crate::store::{News, OnlineStore, Position, Seen, StoreError, Subject, WriteOutcome, Written};
use connection::Connection;
use feast::FeastEntities;
use keys::Keys;
use link::Link;
use replies::{Columns, Fields};

/// Entries of the stream that are kept, about.
const STREAM_LENGTH: usize = 100_000;
/// Entries that are read at once.
const AT_ONCE: usize = 1_000;
/// Changes that are made in one pipeline: whoever reads a user meanwhile, here or in Redis, waits for so many at most.
const CHANGES_AT_ONCE: usize = 32;
/// Items that are read in one pipeline.
const ITEMS_AT_ONCE: usize = 1_000;
/// How long Redis waits for news before it says that there are none.
const WAIT: Duration = Duration::from_secs(1);
/// How long an answer may take that nobody's request waits for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to look at all keys.
const PATIENCE_FOR_ALL: Duration = Duration::from_secs(60);

/// An online store in Redis.
pub struct Redis {
    keys: Keys,
    /// Where users' rows are, if they are in Feast.
    feast_users: Option<FeastEntities>,
    /// Where items' rows are, if they are in Feast, and how often to look whether they changed.
    feast_items: Option<(FeastEntities, Duration)>,
    /// Requests have a connection of their own, which no large write holds up.
    reads: Link,
    writes: Link,
    /// A read that waits for news holds up everything behind it.
    stream: Link,
}

impl Redis {
    /// The store of the pipeline `scope`, `NAMESPACE/NAME`. Nothing is connected yet; must be called within Tokio.
    pub fn new(connection: Connection, scope: &str) -> Self {
        Self {
            keys: Keys::of(scope),
            feast_users: None,
            feast_items: None,
            reads: Link::new(connection.clone()),
            writes: Link::new(connection.clone()),
            stream: Link::new(connection),
        }
    }

    /// Reads and writes the rows of users where Feast has them.
    pub fn with_feast_users(self, users: FeastEntities) -> Self {
        Self {
            feast_users: Some(users),
            ..self
        }
    }

    /// Reads and writes the rows of items where Feast has them, and looks so often whether it changed some.
    pub fn with_feast_items(self, items: FeastEntities, look_every: Duration) -> Self {
        Self {
            feast_items: Some((items, look_every)),
            ..self
        }
    }

    fn items_in_feast(&self) -> Option<&FeastEntities> {
        self.feast_items.as_ref().map(|(items, _)| items)
    }

    fn user_row<'a>(&'a self, user: &'a UserId) -> RowPlace<'a> {
        RowPlace {
            feast: self.feast_users.as_ref(),
            id: user.as_str(),
            key: self.keys.user(user),
        }
    }

    fn item_row<'a>(&'a self, item: &'a ItemId) -> RowPlace<'a> {
        RowPlace {
            feast: self.items_in_feast(),
            id: item.as_str(),
            key: self.keys.item(item),
        }
    }

    /// The commands of a change, or why it can't be made.
    fn commands(&self, change: &Change, now: Moment) -> Result<Vec<Cmd>, String> {
        let keys = &self.keys;
        let at = now.0.to_string();
        Ok(match change {
            Change::PutUser { user, update } => {
                let history = history(update.history.as_deref());
                self.user_row(user)
                    .write(&update.features, history, AbsentColumns::AreNull, now)?
            }
            Change::PatchUser { user, update } => {
                let history = history(update.history.as_deref());
                self.user_row(user)
                    .write(&update.features, history, AbsentColumns::Stay, now)?
            }
            Change::DeleteUser { user } => {
                let delete = scripts::delete_user(&keys.user(user), &keys.interactions(user), &at);
                self.user_row(user).delete(delete)
            }
            Change::PutItem { item, update } => {
                let blocked = Some(blocked(update.blocked));
                self.item_row(item)
                    .write(&update.features, blocked, AbsentColumns::AreNull, now)?
            }
            Change::PatchItem { item, update } => {
                let blocked = update.blocked.map(blocked);
                self.item_row(item)
                    .write(&update.features, blocked, AbsentColumns::Stay, now)?
            }
            Change::DeleteItem { item } => {
                let delete = scripts::delete(&keys.item(item), &at);
                self.item_row(item).delete(delete)
            }
            Change::Interaction(interaction) => {
                let key = keys.interactions(&interaction.user);
                interactions::keep(&key, interaction, now)
            }
            Change::PutRules(rules) => {
                let json = serde_json::to_string(rules).expect("texts and numbers are always JSON");
                let mut set = cmd("SET");
                set.arg(keys.rules()).arg(json);
                vec![set]
            }
            Change::DeleteRules => {
                let mut delete = cmd("DEL");
                delete.arg(keys.rules());
                vec![delete]
            }
        })
    }

    /// What came of a change, of the replies to its commands, and the command that is still to be run.
    fn outcome(
        &self,
        change: &Change,
        replies: impl Iterator<Item = Result<Value, RedisError>>,
    ) -> Result<(Written, Option<Cmd>), StoreError> {
        let replies: Vec<Result<Value, RedisError>> = replies.collect();
        let mut said = Vec::with_capacity(replies.len());
        for reply in replies {
            match self.writes.reply(reply, || self.place(change)) {
                Ok(reply) => said.push(reply),
                // What is wrong with a key is this change's alone.
                Err(StoreError::Damaged { problem, .. }) => return Ok((Written::Refused { problem }, None)),
                Err(error) => return Err(error),
            }
        }
        Ok(match change {
            Change::Interaction(interaction) => {
                interactions::outcome(&said, || self.place(change), interaction)
            }
            _ => (Written::Taken, None),
        })
    }

    /// The key that a change is about.
    fn place(&self, change: &Change) -> String {
        match (change, Subject::of(change)) {
            (Change::Interaction(interaction), _) => self.keys.interactions(&interaction.user),
            (_, Subject::User(user)) => self.keys.user(user),
            (_, Subject::Item(item)) => self.keys.item(item),
            (_, Subject::Rules) => self.keys.rules(),
        }
    }

    /// Runs the commands that are still to be run, each for the change at that place.
    async fn settle(
        &self,
        changes: &[Change],
        open: Vec<(usize, Cmd)>,
        written: &mut [Written],
    ) -> Result<(), StoreError> {
        if open.is_empty() {
            return Ok(());
        }
        let (places, commands): (Vec<usize>, Vec<Cmd>) = open.into_iter().unzip();
        let replies = self.writes.each(commands, PATIENCE).await?;
        for (place, reply) in places.into_iter().zip(replies) {
            let change = &changes[place];
            let reply = self.writes.reply(reply, || self.place(change))?;
            if let (Change::Interaction(interaction), Written::Duplicate) = (change, &written[place])
                && interactions::is_another(&reply, interaction)
            {
                written[place] = Written::Conflict;
            }
        }
        Ok(())
    }

    /// Tells the names of what changed, and gives where they stand.
    async fn tell(&self, changes: &[&Change]) -> Result<Position, StoreError> {
        let mut add = cmd("XADD");
        add.arg(self.keys.news())
            .arg("MAXLEN")
            .arg("~")
            .arg(STREAM_LENGTH)
            .arg("*");
        for change in changes {
            match Subject::of(change) {
                Subject::User(user) => add.arg(keys::USER).arg(user.as_str()),
                Subject::Item(item) => add.arg(keys::ITEM).arg(item.as_str()),
                Subject::Rules => add.arg(keys::RULES).arg(""),
            };
        }
        let mut told = vec![add];
        // Names of items stand in a set as well, for whoever starts later.
        let items: Vec<&str> = changes
            .iter()
            .filter_map(|change| match Subject::of(change) {
                Subject::Item(item) => Some(item.as_str()),
                Subject::User(_) | Subject::Rules => None,
            })
            .collect();
        if !items.is_empty() {
            let mut remember = cmd("SADD");
            remember.arg(self.keys.items()).arg(items);
            told.insert(0, remember);
        }
        let replies = self.writes.all(told, PATIENCE).await?;
        let last = replies.into_iter().next_back().unwrap_or_default();
        self.writes.read(last, replies::position)
    }
}

/// A field of a hash, and its value.
type HashField = (String, String);

/// Where the row of a user or an item is written.
struct RowPlace<'a> {
    feast: Option<&'a FeastEntities>,
    id: &'a str,
    /// Our key.
    key: String,
}

impl RowPlace<'_> {
    /// The commands that replace the row, or change some of its columns, and what else we hold.
    fn write(
        &self,
        row: &RawRow,
        more: Option<HashField>,
        absent: AbsentColumns,
        now: Moment,
    ) -> Result<Vec<Cmd>, String> {
        let (mut commands, mut fields) = match self.feast {
            Some(feast) => (feast.write(self.id, row, now, absent)?, Vec::new()),
            None => (Vec::new(), columns(row)),
        };
        fields.extend(more);
        let at = now.0.to_string();
        commands.push(match absent {
            AbsentColumns::AreNull => scripts::put(&self.key, &at, fields),
            AbsentColumns::Stay => scripts::patch(&self.key, &at, fields),
        });
        Ok(commands)
    }

    /// The commands that delete what Feast has, and then ours.
    fn delete(&self, ours: Cmd) -> Vec<Cmd> {
        let in_feast = self.feast.and_then(|feast| feast.delete(self.id));
        in_feast.into_iter().chain([ours]).collect()
    }
}

fn columns(row: &RawRow) -> Vec<HashField> {
    let json = |value| serde_json::to_string(value).expect("texts and numbers are always JSON");
    row.0
        .iter()
        .map(|(column, value)| (keys::column(column), json(value)))
        .collect()
}

fn history(history: Option<&[PurchaseUpdate]>) -> Option<HashField> {
    let json = |history| serde_json::to_string(history).expect("texts and numbers are always JSON");
    history.map(|history| (keys::HISTORY.to_owned(), json(history)))
}

fn blocked(blocked: bool) -> HashField {
    (keys::BLOCKED.to_owned(), u8::from(blocked).to_string())
}

#[async_trait]
impl OnlineStore for Redis {
    async fn user(&self, user: &UserId) -> Result<Option<UserState>, StoreError> {
        let id = user.as_str();
        let (mut row, mut interactions) = (cmd("HGETALL"), cmd("HVALS"));
        row.arg(self.keys.user(user));
        interactions.arg(self.keys.interactions(user));
        let feast = self
            .feast_users
            .as_ref()
            .and_then(|feast| Some((feast, feast.read(id)?)));
        let (feast, in_feast) = feast.unzip();
        let commands = [row, interactions].into_iter().chain(in_feast).collect();
        let mut replies = self.reads.each(commands, PATIENCE).await?.into_iter();
        let mut next =
            |key: &dyn Fn() -> String| self.reads.reply(replies.next().unwrap_or(Ok(Value::Nil)), key);
        let fields = Fields::of(next(&|| self.keys.user(user))?, id)?;
        let interactions = replies::interactions(next(&|| self.keys.interactions(user))?, id)?;
        let columns = match (feast, &self.feast_users) {
            (Some(feast), _) => {
                let reply = next(&|| format!("the key of {id:?} in Feast"))?;
                Columns::InFeast(feast.whole_row(reply, id)?)
            }
            (None, Some(_)) => Columns::InFeast(None),
            (None, None) => Columns::Here,
        };
        fields.user(interactions, columns)
    }

    async fn items(&self, items: &[ItemId]) -> Result<Vec<Option<ItemState>>, StoreError> {
        let mut states = Vec::with_capacity(items.len());
        for items in items.chunks(ITEMS_AT_ONCE) {
            states.extend(self.item_states(items).await?);
        }
        Ok(states)
    }

    async fn known_items(&self) -> Result<Vec<ItemId>, StoreError> {
        let mut known = cmd("SMEMBERS");
        known.arg(self.keys.items());
        let reply = self.writes.one(known, PATIENCE).await?;
        let ids = self.writes.read(reply, replies::texts)?;
        Ok(ids.into_iter().map(ItemId::from).collect())
    }

    fn look_every(&self) -> Option<Duration> {
        self.feast_items.as_ref().map(|(_, look_every)| *look_every)
    }

    async fn unannounced(&self, seen: &Seen) -> Result<(Vec<ItemId>, Seen), StoreError> {
        let Some(feast) = self.items_in_feast() else {
            return Ok((Vec::new(), Seen::default()));
        };
        let keys = self.writes.scan(&feast.pattern(), PATIENCE_FOR_ALL).await?;
        let mut now = Seen::default();
        for keys in keys.chunks(ITEMS_AT_ONCE) {
            let commands = keys.iter().map(|key| feast.times(key)).collect();
            let replies = self.writes.each(commands, PATIENCE).await?;
            for (key, reply) in keys.iter().zip(replies) {
                // A key of another type is nothing of Feast's.
                let (Some(id), Ok(times)) = (feast.id_of(key), reply) else {
                    continue;
                };
                now.0.insert(id.into(), replies::mark(&times));
            }
        }
        Ok((now.changed_since(seen), now))
    }

    async fn rules(&self) -> Result<Option<Rules>, StoreError> {
        let mut get = cmd("GET");
        get.arg(self.keys.rules());
        let reply = self.writes.one(get, PATIENCE).await?;
        replies::rules(reply)
    }

    async fn write(&self, changes: &[Change], now: Moment) -> Result<WriteOutcome, StoreError> {
        let mut written = Vec::with_capacity(changes.len());
        for changes in changes.chunks(CHANGES_AT_ONCE) {
            written.extend(self.make(changes, now).await?);
        }
        let news = changes.iter().zip(&written);
        let news = news.filter(|(_, written)| matches!(written, Written::Taken | Written::Duplicate));
        let news: Vec<&Change> = news.map(|(change, _)| change).collect();
        let position = match news.is_empty() {
            true => Position::default(),
            false => self.tell(&news).await?,
        };
        Ok(WriteOutcome { written, position })
    }

    async fn position(&self) -> Result<Position, StoreError> {
        let reply = self.writes.one(self.last_entry(), PATIENCE).await?;
        let entries = self.writes.read(reply, replies::entries)?;
        Ok(entries.last().map(|entry| entry.position).unwrap_or_default())
    }

    async fn news(&self, after: &mut Position) -> Result<News, StoreError> {
        let mut read = cmd("XREAD");
        read.arg("COUNT")
            .arg(AT_ONCE)
            .arg("BLOCK")
            .arg(WAIT.as_millis() as u64)
            .arg("STREAMS")
            .arg(self.keys.news())
            .arg(format!("{}-{}", after.0, after.1));
        let reply = self.stream.one(read, WAIT + PATIENCE).await?;
        let entries = self.stream.read(reply, replies::stream)?;
        // Where there is much to read some may be cut off already; where there is none, all may be gone.
        let doubtful = entries.is_empty() || entries.len() == AT_ONCE || self.stream.is_new();
        if doubtful {
            if self.has_lost(*after).await? {
                *after = self.position().await?;
                return Ok(News::Lost);
            }
            self.stream.is_known();
        }
        let (mut users, mut items, mut rules) = (Vec::new(), Vec::new(), false);
        for entry in entries {
            *after = entry.position;
            for (kind, name) in entry.names {
                match kind.as_str() {
                    keys::USER => users.push(name.into()),
                    keys::ITEM => items.push(name.into()),
                    keys::RULES => rules = true,
                    // Of a later release.
                    _ => {}
                }
            }
        }
        Ok(News::Changed { users, items, rules })
    }
}

impl Redis {
    /// Makes changes in one round trip, or in two where the first leaves something open.
    async fn make(&self, changes: &[Change], now: Moment) -> Result<Vec<Written>, StoreError> {
        let mut all: Vec<Cmd> = Vec::new();
        // How many commands each change has, or why it can't be made.
        let mut counts = Vec::with_capacity(changes.len());
        for change in changes {
            counts.push(self.commands(change, now).map(|commands| {
                let count = commands.len();
                all.extend(commands);
                count
            }));
        }
        let mut replies = match all.is_empty() {
            true => Vec::new(),
            false => self.writes.each(all, PATIENCE).await?,
        }
        .into_iter();
        let (mut written, mut open) = (Vec::with_capacity(changes.len()), Vec::new());
        for (place, (change, count)) in changes.iter().zip(counts).enumerate() {
            let (outcome, then) = match count {
                Err(problem) => (Written::Refused { problem }, None),
                Ok(count) => self.outcome(change, replies.by_ref().take(count))?,
            };
            written.push(outcome);
            open.extend(then.map(|command| (place, command)));
        }
        self.settle(changes, open, &mut written).await?;
        Ok(written)
    }

    /// What is held of some items: ours of all, and Feast's of those that it may have.
    async fn item_states(&self, items: &[ItemId]) -> Result<Vec<Option<ItemState>>, StoreError> {
        let read_ours = |item: &ItemId| {
            let mut read = cmd("HGETALL");
            read.arg(self.keys.item(item));
            read
        };
        let ours: Vec<Cmd> = items.iter().map(read_ours).collect();
        let feast = self.items_in_feast();
        let theirs: Vec<Option<Cmd>> = items.iter().map(|item| feast?.read(item.as_str())).collect();
        let in_feast: Vec<bool> = theirs.iter().map(Option::is_some).collect();
        let commands = ours.into_iter().chain(theirs.into_iter().flatten()).collect();
        let mut ours = self.writes.each(commands, PATIENCE).await?;
        let mut theirs = ours.split_off(items.len()).into_iter();
        let mut states = Vec::with_capacity(items.len());
        for ((item, ours), in_feast) in items.iter().zip(ours).zip(in_feast) {
            let columns = match feast {
                None => Columns::Here,
                Some(_) if !in_feast => Columns::InFeast(None),
                Some(feast) => Columns::InFeast(self.row_in_feast(feast, item, theirs.next())),
            };
            let ours = self.writes.reply(ours, || self.keys.item(item))?;
            states.push(Fields::of(ours, item.as_str())?.item(columns)?);
        }
        Ok(states)
    }

    /// What Feast says of an item; nothing where that can't be read, since what is wrong with one item is no reason to serve none.
    fn row_in_feast(
        &self,
        feast: &FeastEntities,
        item: &ItemId,
        reply: Option<Result<Value, RedisError>>,
    ) -> Option<StatedRow> {
        let key = || format!("the key of {:?} in Feast", item.as_str());
        let reply = self.writes.reply(reply.unwrap_or(Ok(Value::Nil)), key);
        let row = reply.and_then(|reply| feast.row_over(reply, item.as_str()));
        row.unwrap_or_else(|error| {
            let error = with_causes(&error);
            tracing::warn!(
                error,
                "an item of Feast can't be read; it is served as the bundle has it"
            );
            None
        })
    }

    /// Whether news after a position are gone: cut off, or in a Redis that lost its data.
    async fn has_lost(&self, after: Position) -> Result<bool, StoreError> {
        let asked = vec![self.first_entry(), self.last_entry()];
        let replies = self.writes.all(asked, PATIENCE).await?;
        let mut ends = Vec::with_capacity(2);
        for reply in replies {
            let entries = self.writes.read(reply, replies::entries)?;
            ends.push(entries.first().map(|entry| entry.position));
        }
        let [first, last] = ends[..] else {
            return Ok(true);
        };
        let cut_off = first.is_some_and(|first| first > after) && after != Position::default();
        Ok(cut_off || last.unwrap_or_default() < after)
    }

    /// The earliest entry of the stream that is there.
    fn first_entry(&self) -> Cmd {
        let mut first = cmd("XRANGE");
        first.arg(self.keys.news()).arg("-").arg("+").arg("COUNT").arg(1);
        first
    }

    /// The latest entry of the stream.
    fn last_entry(&self) -> Cmd {
        let mut last = cmd("XREVRANGE");
        last.arg(self.keys.news()).arg("+").arg("-").arg("COUNT").arg(1);
        last
    }
}
