//! What happens while variants serve: their online store, followed.
//!
//! Whoever starts notes where the news of the store end, reads all items that were put, and only then serves; from there on it follows
//! the news. An item is made anew in every variant of this process when the news name it, or a look around finds that somebody wrote it
//! who tells no news; a user is read when somebody asks for them. What a store says now is always the later truth, so that news may come
//! twice and in any order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gondola_causes::with_causes;
use gondola_online::{
    News, NotKnown, OnlineStore, OnlineUsers, Position, Seen, StoreError, UserRead, UserSettings,
    WriteOutcome,
};
use gondola_request::{Change, ItemId, Moment, Rules, UserId, UserState};
use gondola_server::metrics::{OnlineMetrics, OnlineRead};
use tokio::sync::{Mutex, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::local::Pipeline;

/// After news could not be read, the next attempt waits so long.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);
/// How long a start waits between attempts to reach the store.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);
/// Items that are made at once.
const ITEMS_AT_ONCE: usize = 256;
/// How long an acknowledged change is waited for to be in the answers of this process.
const EFFECT_WITHIN: Duration = Duration::from_secs(1);

/// The online store of the variants of this process.
pub struct Live<P> {
    store: Arc<dyn OnlineStore>,
    users: OnlineUsers,
    metrics: OnlineMetrics,
    pipelines: Vec<Arc<P>>,
    applied: watch::Sender<Position>,
    /// Items that others write, as they were when they were last made.
    seen: Mutex<Seen>,
    /// Items are read and made by one at a time: else what was read earlier could be made later.
    making: Mutex<()>,
}

/// What a request knows of its user beyond the snapshot.
pub(crate) enum Informed {
    /// All that there is.
    Fully(Option<Arc<UserState>>),
    /// Nothing: the store did not say.
    Not,
}

impl<P: Pipeline> Live<P> {
    /// Brings the variants up to what the store holds. `patience` is how long a store that can't be reached is waited for: after that the
    /// variants serve without it, and say so, until it comes.
    pub async fn start(
        store: Arc<dyn OnlineStore>,
        settings: UserSettings,
        pipelines: Vec<Arc<P>>,
        patience: Duration,
        metrics: OnlineMetrics,
    ) -> Result<Arc<Self>, StoreError> {
        let live = Arc::new(Self {
            users: OnlineUsers::new(Arc::clone(&store), settings),
            store,
            metrics,
            pipelines,
            applied: watch::Sender::new(Position::default()),
            seen: Mutex::default(),
            making: Mutex::default(),
        });
        let until = Instant::now() + patience;
        let position = loop {
            match live.catch_up().await {
                Ok(position) => break Some(position),
                // What is wrong with the description is wrong for good.
                Err(error @ StoreError::Connection { .. }) => return Err(error),
                Err(error) if Instant::now() < until => {
                    let error = with_causes(&error);
                    tracing::warn!(error, "waiting for the online store");
                    tokio::time::sleep(BETWEEN_STARTS).await;
                }
                Err(error) => {
                    let error = with_causes(&error);
                    tracing::error!(error, "serving without the online store until it answers");
                    break None;
                }
            }
        };
        if let Some(every) = live.store.look_every() {
            Arc::clone(&live).look(every);
        }
        Arc::clone(&live).follow(position);
        Ok(live)
    }

    /// Makes every item that was put, and gives the position from which news tell of later ones.
    async fn catch_up(&self) -> Result<Position, StoreError> {
        let position = self.store.position().await?;
        let items = self.store.known_items().await?;
        let count = items.len();
        self.make_items(items).await?;
        *self.seen.lock().await = Seen::default();
        self.make_unannounced().await?;
        self.follow_rules().await?;
        self.users.forget_all();
        self.applied.send_replace(position);
        tracing::info!(items = count, "the online store is caught up with");
        Ok(position)
    }

    /// Makes the items that others wrote since this was done last.
    async fn make_unannounced(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let (items, now) = self.store.unannounced(&seen).await?;
        if !items.is_empty() {
            tracing::info!(items = items.len(), "items were written elsewhere");
        }
        self.make_items(items).await?;
        *seen = now;
        Ok(())
    }

    /// Looks for such items again and again.
    fn look(self: Arc<Self>, every: Duration) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if let Err(error) = self.make_unannounced().await {
                    let error = with_causes(&error);
                    tracing::warn!(error, "items that were written elsewhere can't be read");
                }
            }
        })
    }

    fn follow(self: Arc<Self>, from: Option<Position>) -> JoinHandle<()> {
        tokio::spawn(async move {
            let mut position = from;
            let mut failing = false;
            loop {
                match self.next_news(&mut position).await {
                    Ok(()) => {
                        if failing {
                            tracing::info!("the online store answers again");
                        }
                        failing = false;
                        self.users.trust_news(true);
                        self.metrics.followed.set(1);
                    }
                    Err(error) => {
                        self.users.trust_news(false);
                        self.metrics.followed.set(0);
                        if !failing {
                            let error = with_causes(&error);
                            tracing::warn!(
                                error,
                                "no news from the online store; users are read without a cache"
                            );
                        }
                        failing = true;
                        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                    }
                }
            }
        })
    }

    /// Reads news and acts on them; reads everything where there is no position yet, or news are lost.
    async fn next_news(&self, position: &mut Option<Position>) -> Result<(), StoreError> {
        let Some(at) = position else {
            *position = Some(self.catch_up().await?);
            return Ok(());
        };
        match self.store.news(at).await? {
            News::Lost => *position = Some(self.catch_up().await?),
            News::Changed { users, items, rules } => {
                let many = users.len() + items.len() + usize::from(rules);
                self.metrics.news.inc_by(many as u64);
                self.users.changed(&users);
                let items: BTreeSet<ItemId> = items.into_iter().collect();
                self.make_items(items.into_iter().collect()).await?;
                if rules {
                    self.follow_rules().await?;
                }
                self.applied.send_replace(*at);
            }
        }
        Ok(())
    }

    /// Makes items in every variant as the store has them now.
    async fn make_items(&self, items: Vec<ItemId>) -> Result<(), StoreError> {
        for items in items.chunks(ITEMS_AT_ONCE) {
            let _one_at_a_time = self.making.lock().await;
            let states = self.store.items(items).await?;
            let states: Vec<_> = items.iter().cloned().zip(states).collect();
            let pipelines = self.pipelines.clone();
            let refused = self.metrics.refused_items.clone();
            let made = spawn_blocking(move || {
                for pipeline in pipelines {
                    for (item, error) in pipeline.set_items(states.clone()) {
                        refused.inc();
                        let error = with_causes(&error);
                        let (item, variant) = (item.as_str(), pipeline.name());
                        tracing::warn!(
                            item,
                            variant,
                            error,
                            "an item of the online store can't be served"
                        );
                    }
                }
            });
            if made.await.is_err() {
                tracing::error!("items of the online store could not be made");
            }
        }
        Ok(())
    }

    /// Has every variant follow the rules that the store has now.
    async fn follow_rules(&self) -> Result<(), StoreError> {
        let rules = self.store.rules().await?;
        let pipelines = self.pipelines.clone();
        let followed = spawn_blocking(move || {
            for pipeline in pipelines {
                if let Err(error) = pipeline.set_rules(rules.as_ref()) {
                    let (error, variant) = (with_causes(&error), pipeline.name());
                    tracing::warn!(
                        variant,
                        error,
                        "the rules of the online store can't be followed; the earlier ones stand"
                    );
                }
            }
        });
        if followed.await.is_err() {
            tracing::error!("the rules of the online store could not be followed");
        }
        Ok(())
    }

    /// The rules that the store has now.
    pub(crate) async fn rules(&self) -> Result<Rules, StoreError> {
        Ok(self.store.rules().await?.unwrap_or_default())
    }

    /// What is known of a user. Never waits longer than the settings say, nor than `within`.
    pub(crate) async fn user(&self, user: &UserId, within: Duration) -> Informed {
        let started = Instant::now();
        let read = tokio::time::timeout(within, self.users.user(user)).await;
        let read = read.unwrap_or(Err(NotKnown::Late(within)));
        self.metrics.read(how(&read), started.elapsed());
        match read {
            Ok(read) => Informed::Fully(read.state),
            Err(error) => {
                let error = with_causes(&error);
                tracing::debug!(error, "falling back to the snapshot");
                Informed::Not
            }
        }
    }

    /// Makes changes, and waits until the answers of this process show them.
    pub(crate) async fn write(&self, changes: &[Change]) -> Result<WriteOutcome, StoreError> {
        let outcome = self.store.write(changes, Moment::now()).await?;
        let mut applied = self.applied.subscribe();
        let here = applied.wait_for(|applied| *applied >= outcome.position);
        // Whatever takes longer is acknowledged all the same: the store has it.
        let _ = tokio::time::timeout(EFFECT_WITHIN, here).await;
        Ok(outcome)
    }
}

fn how(read: &Result<UserRead, NotKnown>) -> OnlineRead {
    match read {
        Ok(UserRead { cached: true, .. }) => OnlineRead::Cached,
        Ok(UserRead { cached: false, .. }) => OnlineRead::Read,
        Err(NotKnown::Late(_)) => OnlineRead::Late,
        Err(NotKnown::Busy(_)) => OnlineRead::Busy,
        Err(NotKnown::Resting) => OnlineRead::Resting,
        Err(NotKnown::Failed(_)) => OnlineRead::Failed,
    }
}
