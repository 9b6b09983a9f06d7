//! All visits, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::cookies::Login;
use crate::visit::Visit;

/// Most visits at once: some kilobytes each. One more, and the one that was silent longest is forgotten.
const MAX_VISITS: usize = 10_000;

/// All visits, by session.
#[derive(Debug, Default)]
pub struct Sessions {
    visits: Mutex<Visits>,
}

#[derive(Debug, Default)]
struct Visits {
    by_session: HashMap<String, Seen>,
    /// Counts requests: a clock that tells which visit was silent longest.
    now: u64,
}

#[derive(Debug)]
struct Seen {
    at: u64,
    visit: Visit,
}

impl Sessions {
    /// Does something with a visit. One that nobody knows, because the shop was restarted, begins.
    pub fn with<T>(&self, login: &Login, act: impl FnOnce(&mut Visit) -> T) -> T {
        // What panicked while it held the lock left a visit as it was.
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        act(visits.of(login))
    }

    /// Forgets a visit.
    pub fn end(&self, login: &Login) {
        let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        visits.by_session.remove(login.session());
    }
}

impl Visits {
    fn of(&mut self, login: &Login) -> &mut Visit {
        self.now += 1;
        if !self.by_session.contains_key(login.session()) && self.by_session.len() >= MAX_VISITS {
            self.forget_one();
        }
        let begin = || Visit::new(login.session(), login.customer());
        let seen = self
            .by_session
            .entry(login.session().to_owned())
            .or_insert_with(|| Seen {
                at: 0,
                visit: begin(),
            });
        seen.at = self.now;
        if seen.visit.customer != *login.customer() {
            seen.visit = begin();
        }
        &mut seen.visit
    }

    fn forget_one(&mut self) {
        let silent = self.by_session.iter().min_by_key(|(_, seen)| seen.at);
        if let Some(session) = silent.map(|(session, _)| session.clone()) {
            self.by_session.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Cents;

    fn login(session: u128, customer: &str) -> Login {
        Login::new(session, customer).unwrap()
    }

    fn count(sessions: &Sessions, login: &Login) -> u32 {
        sessions.with(login, |visit| visit.basket.count())
    }

    fn put(sessions: &Sessions, login: &Login) {
        sessions.with(login, |visit| visit.put(&"milk".into(), Cents(1), None).unwrap());
    }

    #[test]
    fn each_session_has_a_basket_of_its_own_until_it_ends() {
        let (sessions, anna, ben) = (Sessions::default(), login(1, "1"), login(2, "1"));
        put(&sessions, &anna);
        assert_eq!((count(&sessions, &anna), count(&sessions, &ben)), (1, 0));
        sessions.end(&anna);
        assert_eq!(count(&sessions, &anna), 0);
    }

    #[test]
    fn another_customer_never_gets_the_basket_of_a_session() {
        let sessions = Sessions::default();
        put(&sessions, &login(1, "1"));
        assert_eq!(count(&sessions, &login(1, "2")), 0);
    }

    #[test]
    fn the_visit_that_was_silent_longest_makes_place() {
        let sessions = Sessions::default();
        for session in 0..MAX_VISITS as u128 {
            put(&sessions, &login(session, "1"));
        }
        assert_eq!(count(&sessions, &login(0, "1")), 1);
        put(&sessions, &login(u128::MAX, "1"));
        assert_eq!(count(&sessions, &login(0, "1")), 1);
        assert_eq!(count(&sessions, &login(1, "1")), 0);
    }
}
