//! The requests that went through the proxy, and the faults that it injects.
//!
//! A [`Fault`] says which requests it is for, which of them in order, and what happens to it; [`Traffic::inject`] puts
//! it in force. Requests are counted from then on, in the order in which they arrive.
//!
//! ```ignore
//! // The third write is done, and its client never learns of it.
//! let mut third = server.traffic().inject(Fault::on_write(Action::CutAfter).nth(3));
//! // ... let the operator run ...
//! let write = third.fired().await;
//! ```

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::watch;

use crate::past::Past;

/// A request as it arrived, with the names that its client uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The client's name for itself.
    pub user_agent: Option<String>,
}

impl Request {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether it is the list, in pages, that a watch begins with.
    pub fn is_list(&self) -> bool {
        self.method == Method::GET && self.path.contains("limit=") && !self.is_watch()
    }

    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        query
            .split('&')
            .any(|pair| matches!(pair, "watch=true" | "watch=1"))
    }
}

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The request.
    pub request: Request,
    /// The status that its client got; none while it waits, and when the connection was ended instead.
    pub status: Option<StatusCode>,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The server never sees it: its connection is ended.
    CutBefore,
    /// The server does it, and its connection is ended instead of an answer.
    CutAfter,
    /// [`Action::CutAfter`], and nothing that arrives later gets through until [`Traffic::plug_in`]: as if its client had
    /// died just then.
    UnplugAfter,
    /// The server never sees it: the proxy answers with this status. kube-rs's client itself tries 429, 503 and 504
    /// again, up to 15 times, each of which counts.
    Answer(StatusCode),
}

/// An [`Action`] for some of the requests.
pub struct Fault {
    matches: Box<dyn Fn(&Request) -> bool + Send>,
    action: Action,
    skip: u64,
    times: u64,
}

impl Fault {
    /// Does it to the first request that matches, once.
    pub fn on(action: Action, matches: impl Fn(&Request) -> bool + Send + 'static) -> Self {
        Self {
            matches: Box::new(matches),
            action,
            skip: 0,
            times: 1,
        }
    }

    /// Does it to the first write, once.
    pub fn on_write(action: Action) -> Self {
        Self::on(action, Request::is_write)
    }

    /// Begins with the n-th request that matches; the first is 1.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self {
            skip: n.saturating_sub(1),
            ..self
        }
    }

    /// Does it to as many requests in a row.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Does it to every request from then on.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Counts a request; what happens to it.
    fn meet(&mut self, request: &Request) -> Option<Action> {
        if !(self.matches)(request) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times = self.times.checked_sub(1)?;
        Some(self.action)
    }
}

/// A fault in force. It stays so when this is dropped.
pub struct Injected {
    fired: watch::Receiver<Option<Request>>,
}

impl Injected {
    /// Waits until it has happened to a request (with the server's part done), and returns the latest such. Put a
    /// bound on the wait.
    pub async fn fired(&mut self) -> Request {
        match self.fired.wait_for(Option::is_some).await {
            Ok(request) => request.clone().expect("it was waited for"),
            // The fault was taken away before it happened to anything.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether it has happened.
    pub fn has_fired(&self) -> bool {
        self.fired.borrow().is_some()
    }
}

/// The requests that the proxy saw, and its faults. Clones share both.
#[derive(Clone)]
pub struct Traffic {
    state: Arc<Mutex<State>>,
    watches_held: watch::Sender<bool>,
    watches_ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    faults: Vec<(Fault, watch::Sender<Option<Request>>)>,
    unplugged: bool,
    past: Past,
    lost: Option<Loses>,
    admission: Option<Admits>,
}

/// Changes an object on its way in, as a mutating webhook does.
type Admits = Box<dyn FnMut(&Request, &mut Value) + Send>;

/// Says of an event, as a watch tells it, whether it is lost.
type Loses = Box<dyn FnMut(&Value) -> bool + Send>;

impl Traffic {
    pub(crate) fn new() -> Self {
        let (watches_held, watches_ended) = (watch::Sender::new(false), watch::Sender::new(0));
        Self {
            state: Arc::default(),
            watches_held,
            watches_ended,
        }
    }

    /// Every request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// Every write so far, in the order of arrival.
    pub fn writes(&self) -> Vec<Seen> {
        self.state()
            .seen
            .iter()
            .filter(|seen| seen.request.is_write())
            .cloned()
            .collect()
    }

    /// Forgets the requests so far; where [`Traffic::seen`] would begin again.
    pub fn forget(&self) {
        self.state().seen.clear();
    }

    /// Puts a fault in force. The first injected of those that match a request has its way.
    pub fn inject(&self, fault: Fault) -> Injected {
        let (sender, fired) = watch::channel(None);
        self.state().faults.push((fault, sender));
        Injected { fired }
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.lost = None;
        state.admission = None;
    }

    /// Ends every watch, and every request from now on without an answer: the server can't be reached.
    pub fn unplug(&self) {
        self.state().unplugged = true;
        self.end_watches();
    }

    /// The server can be reached again.
    pub fn plug_in(&self) {
        self.state().unplugged = false;
    }

    /// Keeps back what watches would tell, without ending them: clients see an old state.
    pub fn hold_watches(&self) {
        self.watches_held.send_replace(true);
    }

    /// Lets watches tell what was kept back, and what comes.
    pub fn release_watches(&self) {
        self.watches_held.send_replace(false);
    }

    /// Loses every event of a watch that `loses` says so of; its client never hears of it. Ends with [`Traffic::heal`].
    pub fn lose_events(&self, loses: impl FnMut(&Value) -> bool + Send + 'static) {
        self.state().lost = Some(Box::new(loses));
    }

    /// From now on every object that is written is changed on its way in, as by a mutating webhook. Ends with [`Traffic::heal`].
    pub fn admit(&self, admits: impl FnMut(&Request, &mut Value) + Send + 'static) {
        self.state().admission = Some(Box::new(admits));
    }

    /// From now on each list whose path `matches` is answered once more as it was last, as by a server that lags behind. Watches
    /// then go on from that old state: hold them with [`Traffic::hold_watches`] to keep a client there.
    pub fn relive_lists(&self, matches: impl Fn(&str) -> bool) {
        self.state().past.relive(matches);
    }

    /// Ends every watch, as a server does from time to time.
    pub fn end_watches(&self) {
        self.watches_ended.send_modify(|times| *times += 1);
    }

    /// Writes a request down and says what happens to it.
    pub(crate) fn arrive(&self, request: Request) -> Turn {
        let mut state = self.state();
        let number = state.seen.len();
        state.seen.push(Seen {
            request: request.clone(),
            status: None,
        });
        let mut turn = Turn {
            traffic: self.clone(),
            request,
            number,
            action: None,
            fired: None,
        };
        if state.unplugged {
            turn.action = Some(Action::CutBefore);
            return turn;
        }
        // Every fault counts every request, whichever of them has its way.
        for (fault, fired) in &mut state.faults {
            let met = fault.meet(&turn.request);
            if turn.action.is_none() && met.is_some() {
                (turn.action, turn.fired) = (met, Some(fired.clone()));
            }
        }
        // Now, and not when the server has answered: what arrives meanwhile must not get through.
        state.unplugged = turn.action == Some(Action::UnplugAfter);
        turn
    }

    /// Remembers the answer to a list.
    pub(crate) fn remember(&self, request: &Request, body: &Bytes) {
        self.state().past.remember(request, body);
    }

    /// An answer of the past, if this request gets one.
    pub(crate) fn past_answer(&self, request: &Request) -> Option<Bytes> {
        self.state().past.answer(request)
    }

    /// Changes what a request brings, where it is to be changed.
    pub(crate) fn admitted(&self, request: &Request, object: &mut Value) {
        if let Some(admits) = &mut self.state().admission {
            admits(request, object);
        }
    }

    /// Whether a line of a watch is lost.
    pub(crate) fn loses(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        let Some(loses) = &mut state.lost else {
            return false;
        };
        serde_json::from_slice(line).is_ok_and(|event| loses(&event))
    }

    pub(crate) fn watch_gate(&self) -> WatchGate {
        WatchGate {
            held: self.watches_held.subscribe(),
            ended: self.watches_ended.subscribe(),
            traffic: self.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds the lock but a test's own matcher")
    }
}

/// One request's way through the proxy.
pub(crate) struct Turn {
    traffic: Traffic,
    request: Request,
    number: usize,
    /// What happens to it.
    pub(crate) action: Option<Action>,
    fired: Option<watch::Sender<Option<Request>>>,
}

impl Turn {
    /// Records the client's answer, and wakes whoever waits for the fault.
    pub(crate) fn done(self, status: Option<StatusCode>) {
        if let Some(seen) = self
            .traffic
            .state()
            .seen
            .get_mut(self.number)
            .filter(|seen| seen.request == self.request)
        {
            seen.status = status;
        }
        if self.action == Some(Action::UnplugAfter) {
            self.traffic.end_watches();
        }
        if let Some(fired) = self.fired {
            fired.send_replace(Some(self.request));
        }
    }
}

/// What a watch looks at before it tells something.
pub(crate) struct WatchGate {
    /// Whether it has to keep it back.
    pub(crate) held: watch::Receiver<bool>,
    /// Changes when it has to end.
    pub(crate) ended: watch::Receiver<u64>,
    /// Says what is lost.
    pub(crate) traffic: Traffic,
}
