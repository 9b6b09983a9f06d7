//! Users as requests ask for them: nobody waits for a store that is slow or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gondola_request::{UserId, UserState};
use tokio::sync::Semaphore;

use crate::cache::Cache;
use crate::store::{OnlineStore, StoreError};

/// How users are read.
#[derive(Clone, Copy, Debug)]
pub struct UserSettings {
    /// How long a request waits for the store.
    pub deadline: Duration,
    /// How many users are cached; 0 where others write what nobody is told of. Each takes about 1 KB, and 100 bytes for each interaction.
    pub cached: usize,
    /// How many requests may ask the store at once: more find the snapshot sooner than an answer.
    pub at_once: usize,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(10),
            cached: 20_000,
            at_once: 256,
        }
    }
}

/// After so many failures in a row the store is left alone for [`REST`].
const FAILURES: u64 = 5;
/// How long a store that failed is left alone; then one request asks it again.
const REST: Duration = Duration::from_millis(500);

/// Reads users from a store, for requests.
pub struct OnlineUsers {
    store: Arc<dyn OnlineStore>,
    cache: Cache,
    settings: UserSettings,
    /// Whether changes are told, without which nothing may be cached.
    told: AtomicBool,
    room: Semaphore,
    breaker: Breaker,
}

/// What the store holds of a user.
#[derive(Clone, Debug)]
pub struct UserRead {
    /// What it holds; `None` where nothing.
    pub state: Option<Arc<UserState>>,
    /// Whether it was known here, so that the store was not asked.
    pub cached: bool,
}

/// The store did not say in time what it holds of a user.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// It took longer than a request may wait.
    #[error("the online store did not answer within {0:?}")]
    Late(Duration),
    /// Too many requests wait for it.
    #[error("{0} requests wait for the online store already")]
    Busy(usize),
    /// It failed several times, and is left alone for a moment.
    #[error("the online store failed {FAILURES} times in a row, and is left alone for a moment")]
    Resting,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

impl OnlineUsers {
    /// Reads users from `store`.
    pub fn new(store: Arc<dyn OnlineStore>, settings: UserSettings) -> Self {
        Self {
            store,
            cache: Cache::new(settings.cached),
            told: AtomicBool::new(true),
            room: Semaphore::new(settings.at_once),
            breaker: Breaker::default(),
            settings,
        }
    }

    /// What the store holds of a user: from the cache, else in one round trip, and never later than the deadline of [`UserSettings`].
    pub async fn user(&self, user: &UserId) -> Result<UserRead, NotKnown> {
        let read = |state| UserRead { state, cached: false };
        if self.settings.cached == 0 || !self.told.load(Ordering::Relaxed) {
            return self.ask(user).await.map(read);
        }
        let ticket = match self.cache.get(user) {
            Ok(state) => return Ok(UserRead { state, cached: true }),
            Err(ticket) => ticket,
        };
        let state = self.ask(user).await?;
        self.cache.keep(user, ticket, state.clone());
        Ok(read(state))
    }

    async fn ask(&self, user: &UserId) -> Result<Option<Arc<UserState>>, NotKnown> {
        if !self.breaker.lets_through() {
            return Err(NotKnown::Resting);
        }
        let Ok(_room) = self.room.try_acquire() else {
            return Err(NotKnown::Busy(self.settings.at_once));
        };
        let deadline = self.settings.deadline;
        let read = tokio::time::timeout(deadline, self.store.user(user)).await;
        let outcome = match read {
            Err(_) => Err(NotKnown::Late(deadline)),
            Ok(read) => read.map_err(NotKnown::Failed),
        };
        self.breaker.note(outcome.is_ok());
        Ok(outcome?.map(Arc::new))
    }

    /// Whether changes are told: while they are not, nothing is cached.
    pub fn trust_news(&self, told: bool) {
        if self.told.swap(told, Ordering::Relaxed) != told {
            self.cache.clear();
        }
    }

    /// Forgets users who changed: the next request reads them again.
    pub fn changed(&self, users: &[UserId]) {
        users.iter().for_each(|user| self.cache.forget(user));
    }

    /// Forgets everybody: nobody knows who changed.
    pub fn forget_all(&self) {
        self.cache.clear();
    }
}

/// Lets requests through to a store, but for moments after it failed.
struct Breaker {
    began: Instant,
    /// Failures since the last success.
    failures: AtomicU64,
    /// When the store may be asked again, in microseconds since `began`.
    rests_until: AtomicU64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            failures: AtomicU64::new(0),
            rests_until: AtomicU64::new(0),
        }
    }
}

impl Breaker {
    fn lets_through(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) < FAILURES {
            return true;
        }
        let now = self.now();
        let until = self.rests_until.load(Ordering::Relaxed);
        let next = now + REST.as_micros() as u64;
        // One of those that come after the rest asks, and the others rest on until it knows.
        now >= until
            && self
                .rests_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn note(&self, succeeded: bool) {
        if succeeded {
            if self.failures.load(Ordering::Relaxed) > 0 {
                self.failures.store(0, Ordering::Relaxed);
            }
            return;
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            let next = self.now() + REST.as_micros() as u64;
            self.rests_until.store(next, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }
}
