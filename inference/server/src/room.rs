//! Places for questions. Whoever comes when all are taken is refused at once, so that those who have one are answered in good time.
//!
//! How many there are follows what is answered ([`Places`], plain arithmetic), as TCP shares a line: one more after as many answers in
//! good time as there are places, while at least half of them are taken; a tenth fewer after a [`Sign`] of too much. The next sign that
//! counts is an answer to a question that came after that, so that what one crowd suffers is held against it once. With 32 places
//! the number rests where one answer in a hundred is a sign, and with fewer where more are.
//!
//! [`Front`](crate::front::Front) takes a [`Place`] for each question before it reads any of it, and tells it how the question was
//! answered. Nobody ever waits here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gondola_protocol::{Code, ServiceError};

use crate::metrics::RoomMetrics;

/// The part of a question's time in which it is answered while there is no crowd.
const GOOD_TIME: u32 = 10;
/// At the start a quarter of the most places are there: a client that connects first must not find a server that drowns.
const AT_FIRST: usize = 4;
/// An eighth of the most is always there: a variant that hangs is late however few ask it, and must not close the room.
const ALWAYS: usize = 8;

/// Every place is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many questions are being answered already as can be in good time; ask again later")]
pub(crate) struct NoPlace;

/// What the end of a question says about the number of questions that are answered at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// There may be more.
    GoodTime,
    /// There are too many.
    TooMuch,
    /// Nothing.
    Nothing,
}

impl Sign {
    /// What an outcome says, after so long.
    ///
    /// Time says nearly all of it: what is late took long, and so did an answer of another variant, or of the last resort, in place
    /// of one that was late. A variant whose queue is full is quick, but nobody else is asked then, so that its error comes here. A
    /// degraded answer by itself says nothing: while the online store is away every answer is one, however few are asked for.
    fn of<T>(outcome: &Result<T, ServiceError>, took: Duration, good_time: Duration) -> Self {
        match outcome.as_ref().map_err(ServiceError::code) {
            Err(Code::ResourceExhausted) => Self::TooMuch,
            Ok(_) | Err(Code::DeadlineExceeded) if took > good_time => Self::TooMuch,
            Ok(_) => Self::GoodTime,
            // Also what was late sooner than that: its client gave it less time than anybody could answer in.
            Err(_) => Self::Nothing,
        }
    }
}

/// How often the number of places was lowered when a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round(u64);

/// How many places there are, and how many are taken.
#[derive(Debug)]
struct Places {
    most: usize,
    fewest: usize,
    now: usize,
    taken: usize,
    /// Answers in good time since the number changed, while at least half of the places were taken.
    in_good_time: usize,
    round: Round,
}

impl Places {
    fn new(most: usize) -> Self {
        let fewest = (most / ALWAYS).max(1);
        Self {
            most,
            fewest,
            now: (most / AT_FIRST).max(fewest),
            taken: 0,
            in_good_time: 0,
            round: Round(0),
        }
    }

    /// Takes a place, if one is free.
    fn take(&mut self) -> Option<Round> {
        if self.taken >= self.now {
            return None;
        }
        self.taken += 1;
        Some(self.round)
    }

    /// Gives a place back that was taken in that round.
    fn give_back(&mut self, taken_in: Round, sign: Sign) {
        match sign {
            Sign::TooMuch if taken_in == self.round => self.lower(),
            Sign::GoodTime if self.taken * 2 >= self.now => self.note_good_time(),
            Sign::TooMuch | Sign::GoodTime | Sign::Nothing => {}
        }
        self.taken -= 1;
    }

    fn lower(&mut self) {
        self.now = (self.now * 9 / 10).max(self.fewest);
        self.in_good_time = 0;
        self.round.0 += 1;
    }

    fn note_good_time(&mut self) {
        self.in_good_time += 1;
        if self.in_good_time >= self.now {
            self.now = (self.now + 1).min(self.most);
            self.in_good_time = 0;
        }
    }
}

/// Places for questions.
pub(crate) struct Room {
    places: Mutex<Places>,
    metrics: RoomMetrics,
}

impl Room {
    /// Room for so many at most.
    pub(crate) fn new(most: usize, metrics: RoomMetrics) -> Self {
        let places = Places::new(most);
        metrics.places.set(places.now as i64);
        Self {
            places: Mutex::new(places),
            metrics,
        }
    }

    /// Takes a place, if one is free.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, NoPlace> {
        let Some(round) = self.lock().take() else {
            self.metrics.refused.inc();
            return Err(NoPlace);
        };
        Ok(Place {
            room: Arc::clone(self),
            round,
            since: Instant::now(),
            sign: Sign::Nothing,
        })
    }

    /// Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken until this is dropped. Where nobody says how its question was answered, because its client went away say,
/// that says nothing.
pub(crate) struct Place {
    room: Arc<Room>,
    round: Round,
    since: Instant,
    sign: Sign,
}

impl Place {
    /// Gives the place back after this outcome of a question that had so much time.
    pub(crate) fn answered<T>(mut self, outcome: &Result<T, ServiceError>, had: Duration) {
        self.sign = Sign::of(outcome, self.since.elapsed(), had / GOOD_TIME);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.room.lock();
        let before = places.now;
        places.give_back(self.round, self.sign);
        if places.now != before {
            self.room.metrics.places.set(places.now as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills every place, and gives them all back with that sign.
    fn crowd(places: &mut Places, sign: Sign) {
        let came: Vec<Round> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!(came.len(), places.now, "no place more than there are");
        for round in came {
            places.give_back(round, sign);
        }
        assert_eq!(places.taken, 0);
    }

    #[test]
    fn late_answers_lower_the_number_by_a_tenth_a_round_to_an_eighth_of_the_most() {
        let mut places = Places::new(128);
        let mut seen = vec![places.now];
        for _ in 0..8 {
            crowd(&mut places, Sign::TooMuch);
            seen.push(places.now);
        }
        assert_eq!(seen, [32, 28, 25, 22, 19, 17, 16, 16, 16]);
    }

    #[test]
    fn a_sign_counts_only_of_a_question_that_came_after_the_last_that_did() {
        let mut places = Places::new(128);
        let before = [places.take(), places.take(), places.take()].map(Option::unwrap);
        places.give_back(before[0], Sign::TooMuch);
        assert_eq!(places.now, 28);
        let after = places.take().unwrap();
        places.give_back(before[1], Sign::TooMuch);
        assert_eq!(places.now, 28, "it came before");
        places.give_back(after, Sign::TooMuch);
        assert_eq!(places.now, 25);
        places.give_back(before[2], Sign::TooMuch);
        assert_eq!(places.now, 25, "it came before, still");
    }

    #[test]
    fn answers_in_good_time_add_one_place_for_as_many_as_there_are_up_to_the_most() {
        let mut places = Places::new(128);
        for wanted in 33..=128 {
            let of_crowds = places.now;
            // Only while half of the places are taken, which are fewer at a crowd's end.
            let mut crowds = 0;
            while places.now < wanted {
                crowd(&mut places, Sign::GoodTime);
                crowds += 1;
                assert!(crowds <= 2, "{wanted}: {places:?}");
            }
            assert_eq!(places.now, of_crowds + 1);
        }
        for _ in 0..1_000 {
            crowd(&mut places, Sign::GoodTime);
        }
        assert_eq!(places.now, 128);
    }

    #[test]
    fn a_number_that_was_lowered_comes_back() {
        let mut places = Places::new(64);
        for _ in 0..100 {
            crowd(&mut places, Sign::TooMuch);
        }
        assert_eq!(places.now, 8);
        for _ in 0..200 {
            crowd(&mut places, Sign::GoodTime);
        }
        assert_eq!(places.now, 64);
    }

    #[test]
    fn a_number_of_which_less_than_half_is_used_does_not_grow() {
        let mut places = Places::new(128);
        let others: Vec<Round> = (0..14).map(|_| places.take().unwrap()).collect();
        for _ in 0..10_000 {
            let round = places.take().unwrap();
            places.give_back(round, Sign::GoodTime);
        }
        assert_eq!(places.now, 32, "15 of 32 were taken");
        let another = places.take().unwrap();
        for wanted in [32; 31].into_iter().chain([33]) {
            let round = places.take().unwrap();
            places.give_back(round, Sign::GoodTime);
            assert_eq!(places.now, wanted, "here it is 16");
        }
        for round in others.into_iter().chain([another]) {
            places.give_back(round, Sign::Nothing);
        }
        assert_eq!((places.now, places.taken), (33, 0));
    }

    #[test]
    fn few_places_are_never_none() {
        for most in 1..=8 {
            let mut places = Places::new(most);
            for _ in 0..20 {
                crowd(&mut places, Sign::TooMuch);
            }
            assert_eq!(places.now, 1, "of {most}");
            for _ in 0..200 {
                crowd(&mut places, Sign::GoodTime);
            }
            assert_eq!(places.now, most);
        }
    }

    #[test]
    fn time_and_full_queues_say_that_there_is_too_much() {
        let refused = |code| {
            let message = "of a variant".to_owned();
            Err(ServiceError::Refused { code, message })
        };
        let after = |outcome: Result<(), ServiceError>, milliseconds| {
            let took = Duration::from_millis(milliseconds);
            Sign::of(&outcome, took, Duration::from_millis(20))
        };
        assert_eq!(after(Ok(()), 20), Sign::GoodTime);
        assert_eq!(after(Ok(()), 21), Sign::TooMuch);
        assert_eq!(after(refused(Code::ResourceExhausted), 1), Sign::TooMuch);
        assert_eq!(after(Err(ServiceError::Late), 200), Sign::TooMuch);
        assert_eq!(after(Err(ServiceError::DeadlineExceeded), 200), Sign::TooMuch);
        assert_eq!(
            after(Err(ServiceError::DeadlineExceeded), 1),
            Sign::Nothing,
            "its client gave it a millisecond"
        );
        for code in [
            Code::InvalidArgument,
            Code::NotFound,
            Code::Unavailable,
            Code::Internal,
        ] {
            assert_eq!(after(refused(code), 200), Sign::Nothing, "{code:?}");
        }
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped_which_says_nothing() {
        let metrics = RoomMetrics::default();
        let room = Arc::new(Room::new(40, metrics.clone()));
        let taken: Vec<Place> = (0..10).map(|_| room.enter().ok().unwrap()).collect();
        assert_eq!(room.enter().err(), Some(NoPlace));
        assert_eq!((metrics.places.get(), metrics.refused.get()), (10, 1));
        drop(taken);
        let place = room.enter().ok().unwrap();
        assert_eq!(metrics.places.get(), 10);
        let full = ServiceError::Refused {
            code: Code::ResourceExhausted,
            message: "a variant's queue is full".to_owned(),
        };
        place.answered::<()>(&Err(full), Duration::from_secs(1));
        assert_eq!(metrics.places.get(), 9);
        assert_eq!(room.lock().taken, 0);
    }
}
