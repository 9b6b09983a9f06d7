//! A small cache of users that is told of changes.
//!
//! A reader that was under way when a change was told must not put back what it had read before: a place is reserved before the
//! store is asked, a change takes the reservation away, and what was read is kept only where the reservation still stands.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gondola_request::{UserId, UserState};

/// Parts, each with a lock of its own, which is held for one operation on a map.
const PARTS: usize = 16;

/// What is known of a user; `None` where the store holds nothing.
pub(crate) type Known = Option<Arc<UserState>>;

/// Keeps up to twice its size of users: those that were used since the last turn, and those of the turn before.
pub(crate) struct Cache {
    parts: Vec<Mutex<Part>>,
    hasher: RandomState,
    tickets: AtomicU64,
    /// Users of a turn, in each part.
    size: usize,
}

#[derive(Default)]
struct Part {
    young: HashMap<UserId, Slot>,
    old: HashMap<UserId, Slot>,
}

#[derive(Clone)]
enum Slot {
    /// Somebody is asking the store.
    Reserved(Ticket),
    Known(Known),
}

/// A reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Cache {
    pub(crate) fn new(users: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            tickets: AtomicU64::new(0),
            size: users.div_ceil(2 * PARTS).max(1),
        }
    }

    /// What is known of a user, or a place for it.
    pub(crate) fn get(&self, user: &UserId) -> Result<Known, Ticket> {
        let mut part = self.part(user);
        match part.find(user, self.size) {
            Some(Slot::Known(known)) => Ok(known),
            _ => {
                let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
                part.insert(user.clone(), Slot::Reserved(ticket), self.size);
                Err(ticket)
            }
        }
    }

    /// Keeps what was read, unless it changed in the meantime or somebody came later.
    pub(crate) fn keep(&self, user: &UserId, ticket: Ticket, known: Known) {
        let mut part = self.part(user);
        let reserved = matches!(part.young.get(user), Some(Slot::Reserved(own)) if *own == ticket);
        if reserved {
            part.insert(user.clone(), Slot::Known(known), self.size);
        }
    }

    /// Forgets a user, who changed.
    pub(crate) fn forget(&self, user: &UserId) {
        let mut part = self.part(user);
        part.young.remove(user);
        part.old.remove(user);
    }

    /// Forgets everybody.
    pub(crate) fn clear(&self) {
        for part in &self.parts {
            *part.lock().unwrap_or_else(PoisonError::into_inner) = Part::default();
        }
    }

    fn part(&self, user: &UserId) -> std::sync::MutexGuard<'_, Part> {
        let part = self.hasher.hash_one(user) as usize % PARTS;
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn find(&mut self, user: &UserId, size: usize) -> Option<Slot> {
        if let Some(slot) = self.young.get(user) {
            return Some(slot.clone());
        }
        let slot = self.old.remove(user)?;
        self.insert(user.clone(), slot.clone(), size);
        Some(slot)
    }

    fn insert(&mut self, user: UserId, slot: Slot, size: usize) {
        if self.young.len() >= size && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> Known {
        Some(Arc::default())
    }

    #[test]
    fn what_was_read_is_kept_and_what_changed_is_read_again() {
        let cache = Cache::new(100);
        let anna = UserId::from("anna");
        let ticket = cache.get(&anna).unwrap_err();
        cache.keep(&anna, ticket, state());
        assert_eq!(cache.get(&anna), Ok(state()));
        cache.forget(&anna);
        assert!(cache.get(&anna).is_err());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let cache = Cache::new(100);
        let anna = UserId::from("anna");
        let early = cache.get(&anna).unwrap_err();
        cache.forget(&anna);
        let late = cache.get(&anna).unwrap_err();
        cache.keep(&anna, early, None);
        assert!(cache.get(&anna).is_err(), "the early reader came too late");
        cache.keep(&anna, late, state());
        assert!(cache.get(&anna).is_err(), "a third reader has the place");
    }

    #[test]
    fn it_holds_about_as_many_users_as_it_may_and_those_that_are_asked_for_stay() {
        let cache = Cache::new(1_000);
        let favorite = UserId::from("favorite");
        for number in 0..20_000 {
            let user = UserId::from(number.to_string());
            if let Err(ticket) = cache.get(&user) {
                cache.keep(&user, ticket, state());
            }
            if let Err(ticket) = cache.get(&favorite) {
                assert_eq!(number, 0);
                cache.keep(&favorite, ticket, state());
            }
        }
        let held: usize = cache
            .parts
            .iter()
            .map(|part| {
                let part = part.lock().unwrap();
                part.young.len() + part.old.len()
            })
            .sum();
        assert!((400..=1_100).contains(&held), "{held}");
    }
}
