//! Clients that write all the time, and remember what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::Client;

/// Users of each writer.
const USERS: usize = 50;
/// Items of each writer that it blocks and unblocks.
const BLOCKED_ITEMS: usize = 5;
/// Interactions that are sent at once.
const EVENTS: usize = 3;
const BETWEEN_WRITES: Duration = Duration::from_millis(15);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
/// A write that is not acknowledged that long after it was sent first never will be.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) users: BTreeMap<String, UserLedger>,
    /// Whether each item was blocked last.
    pub(crate) blocked: BTreeMap<String, bool>,
    pub(crate) acknowledged: usize,
    /// Attempts that failed, and were made again.
    pub(crate) failed: usize,
}

/// What was acknowledged of a user.
#[derive(Debug, Default)]
pub(crate) struct UserLedger {
    /// How often the user was put to have bought something, in the last `PUT`.
    pub(crate) put: Option<usize>,
    /// The price of each interaction, which no two have in common.
    pub(crate) prices: Vec<usize>,
    pub(crate) disliked: Vec<String>,
}

impl Ledger {
    /// Both together; no two writers have users or items in common.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.users.extend(other.users);
        self.blocked.extend(other.blocked);
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self
    }
}

/// A writer at work.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    ledger: JoinHandle<anyhow::Result<Ledger>>,
}

impl Writer {
    /// Writes through `address`. `items` are what is interacted with, `place` tells writers apart.
    pub(crate) fn start(client: Client, address: String, place: usize, items: Arc<[String]>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut work = Work {
            client,
            address,
            place,
            items,
            ledger: Ledger::default(),
        };
        let ledger = tokio::spawn(async move {
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                work.write(number).await?;
                number += 1;
                tokio::time::sleep(BETWEEN_WRITES).await;
            }
            Ok(work.ledger)
        });
        Self { stop, ledger }
    }

    /// Ends after the write that is under way.
    pub(crate) async fn stop(self) -> anyhow::Result<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        self.ledger.await?
    }
}

struct Work {
    client: Client,
    address: String,
    place: usize,
    items: Arc<[String]>,
    ledger: Ledger,
}

impl Work {
    async fn write(&mut self, number: usize) -> anyhow::Result<()> {
        let user = format!("writer-{}-{}", self.place, number % USERS);
        // 7 and the number of users have no common factor: each user meets each kind of write.
        match number % 7 {
            0 => self.put(user, number).await,
            1 => self.block(number).await,
            _ => self.interact(user, number).await,
        }
    }

    async fn put(&mut self, user: String, number: usize) -> anyhow::Result<()> {
        // None at all are refused.
        let purchases = number + 1;
        let body = json!({
            "features": {"kids_count": (number % 3 + 1).to_string()},
            "history": [{"item": self.item(number), "purchases": purchases, "days_since_last": 2}],
        });
        self.until_acknowledged("PUT", &format!("/v1/users/{user}"), body)
            .await?;
        self.ledger.users.entry(user).or_default().put = Some(purchases);
        Ok(())
    }

    async fn block(&mut self, number: usize) -> anyhow::Result<()> {
        let turn = number / 7;
        // From the other end of the list than what is interacted with.
        let place = self.items.len() - 1 - (self.place * BLOCKED_ITEMS + turn % BLOCKED_ITEMS);
        let item = self.items[place].clone();
        let blocked = (turn / BLOCKED_ITEMS).is_multiple_of(2);
        self.until_acknowledged("PATCH", &format!("/v1/items/{item}"), json!({"blocked": blocked}))
            .await?;
        self.ledger.blocked.insert(item, blocked);
        Ok(())
    }

    async fn interact(&mut self, user: String, number: usize) -> anyhow::Result<()> {
        let events: Vec<usize> = (0..EVENTS).map(|event| number * EVENTS + event).collect();
        let kind = |event: usize| match event % 8 {
            0 => "dislike",
            1 | 2 => "purchase",
            3 => "basket",
            _ => "view",
        };
        let interaction = |event: &usize| {
            json!({
                "event_id": format!("event-{event}"),
                "user": user,
                "item": self.item(*event),
                "type": kind(*event),
                "price": event,
            })
        };
        let body = json!({"interactions": events.iter().map(interaction).collect::<Vec<Value>>()});
        self.until_acknowledged("POST", "/v1/interactions", body).await?;
        let disliked = events.iter().filter(|event| kind(**event) == "dislike");
        let disliked: Vec<String> = disliked.map(|event| self.item(*event).to_owned()).collect();
        let of_user = self.ledger.users.entry(user).or_default();
        of_user.disliked.extend(disliked);
        of_user.prices.extend(events);
        Ok(())
    }

    fn item(&self, number: usize) -> &str {
        &self.items[number * 11 % (self.items.len() / 2)]
    }

    /// Sends the same again until somebody says that it is kept.
    async fn until_acknowledged(&mut self, method: &str, path: &str, body: Value) -> anyhow::Result<()> {
        let give_up = Instant::now() + GIVE_UP;
        loop {
            match self.client.change(method, &self.address, path, &body).await {
                Ok(()) => break,
                Err(error) if Instant::now() > give_up => {
                    return Err(error).context("never acknowledged");
                }
                // What the server refuses for good is wrong of us.
                Err(error) if format!("{error:#}").contains("status 400") => bail!(error),
                Err(_) => self.ledger.failed += 1,
            }
            tokio::time::sleep(BETWEEN_ATTEMPTS).await;
        }
        self.ledger.acknowledged += 1;
        Ok(())
    }
}
