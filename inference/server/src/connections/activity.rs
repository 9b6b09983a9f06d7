//! What happens on one connection: how many requests are under way, and when the last bytes came.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Limits, Stream, milliseconds};

/// How a connection of HTTP/2 begins, and no method that we know: `PRI * HTTP/2.0`.
const HTTP2_BEGINS: &[u8] = b"PRI";
/// No head of a request has begun to come.
const NO_HEAD: u64 = u64::MAX;

/// What happens on a connection. Times are milliseconds since it was made.
pub(super) struct Activity {
    made: Instant,
    http2: AtomicBool,
    retired: AtomicBool,
    /// Requests that are not answered to the last byte.
    under_way: AtomicUsize,
    /// Requests whose body has not come whole.
    reading: AtomicUsize,
    /// Requests whose answer is being sent.
    sending: AtomicUsize,
    /// When bytes came last.
    read_at: AtomicU64,
    /// When bytes went last.
    wrote_at: AtomicU64,
    /// When the head began to come that is not whole yet. A client that connects owes one at once.
    head_since: AtomicU64,
    /// When the last request came or was answered.
    asked_at: AtomicU64,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// Nothing.
    Keep,
    /// It is idle and may be closed.
    Close,
    /// Its client takes too long for a head, or does not let go of a connection that was closed.
    Cut,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            made: Instant::now(),
            http2: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            under_way: AtomicUsize::new(0),
            reading: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            read_at: AtomicU64::new(0),
            wrote_at: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            asked_at: AtomicU64::new(0),
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// Whether its client should make a new connection.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// A request came; it is under way until what is given back is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NO_HEAD, Ordering::Relaxed);
        self.asked_at.store(milliseconds(self.made), Ordering::Relaxed);
        Answering {
            activity: Arc::clone(self),
            sends: false,
        }
    }

    /// A body comes until what is given back is dropped.
    pub(super) fn read_body(self: &Arc<Self>) -> Reading {
        self.reading.fetch_add(1, Ordering::Relaxed);
        Reading(Arc::clone(self))
    }

    /// Bytes came.
    fn read(&self, bytes: &[u8]) {
        let now = milliseconds(self.made);
        if self.read_at.swap(now, Ordering::Relaxed) == 0 && bytes.starts_with(HTTP2_BEGINS) {
            self.http2.store(true, Ordering::Relaxed);
        }
        let _ = self
            .head_since
            .compare_exchange(NO_HEAD, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Bytes went.
    fn wrote(&self) {
        self.wrote_at.store(milliseconds(self.made), Ordering::Relaxed);
    }

    /// What to do now. When few places are left (`crowded`), a connection may be idle no longer than a head may take.
    pub(super) fn care(&self, limits: &Limits, crowded: bool) -> Care {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Care::Keep;
        }
        let now = milliseconds(self.made);
        let longer_than =
            |since: u64, most: Duration| u128::from(now.saturating_sub(since)) > most.as_millis();
        let idle = if crowded {
            limits.head.min(limits.idle)
        } else {
            limits.idle
        };
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        let slow_head = !self.is_http2() && longer_than(self.head_since.load(Ordering::Relaxed), limits.head);
        if slow_head || longer_than(asked_at, idle.saturating_add(limits.head)) {
            Care::Cut
        } else if longer_than(asked_at, idle) {
            Care::Close
        } else {
            Care::Keep
        }
    }

    /// Whether nothing is under way but bodies of which nothing came, and answers of which nothing went, for `long`: a client
    /// that stalls, or a stream that has no end of its own.
    pub(super) fn nothing_moves(&self, long: Duration) -> bool {
        let moved_at = self
            .read_at
            .load(Ordering::Relaxed)
            .max(self.wrote_at.load(Ordering::Relaxed));
        let silent = milliseconds(self.made).saturating_sub(moved_at);
        let moving = self.reading.load(Ordering::Relaxed) + self.sending.load(Ordering::Relaxed);
        let under_way = self.under_way.load(Ordering::Relaxed);
        under_way == 0 || (moving >= under_way && u128::from(silent) >= long.as_millis())
    }
}

/// A request that is under way.
pub(super) struct Answering {
    activity: Arc<Activity>,
    sends: bool,
}

impl Answering {
    /// The answer is there: what is left is to send it.
    pub(super) fn send(&mut self) {
        self.sends = true;
        self.activity.sending.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let activity = &self.activity;
        if self.sends {
            activity.sending.fetch_sub(1, Ordering::Relaxed);
        }
        activity
            .asked_at
            .store(milliseconds(activity.made), Ordering::Relaxed);
        // Its body came after its head, and was taken for the beginning of the next.
        activity.head_since.store(NO_HEAD, Ordering::Relaxed);
        activity.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body that comes.
pub(super) struct Reading(Arc<Activity>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.reading.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that records when bytes come and go.
pub(super) struct Watched {
    stream: Stream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(stream: Stream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = &buffer.filled()[before..];
        if !came.is_empty() {
            self.activity.read(came);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.activity.wrote();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts));
        self.activity.wrote();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits of no time at all, so that whatever has begun takes too long.
    fn impatient(head: bool, idle: bool) -> Limits {
        let limit = |impatient: bool| {
            if impatient {
                Duration::ZERO
            } else {
                Duration::from_secs(60)
            }
        };
        Limits {
            head: limit(head),
            idle: limit(idle),
            ..Limits::default()
        }
    }

    fn a_moment_later() {
        std::thread::sleep(Duration::from_millis(2));
    }

    #[test]
    fn a_head_that_takes_too_long_is_cut_and_an_idle_connection_is_not() {
        let activity = Arc::new(Activity::new());
        a_moment_later();
        assert_eq!(
            activity.care(&impatient(true, false), false),
            Care::Cut,
            "nothing ever came"
        );
        activity.read(b"GET / HTTP/1.1\r\n");
        assert_eq!(activity.care(&impatient(true, false), false), Care::Cut);
        let answering = activity.begin();
        a_moment_later();
        assert_eq!(
            activity.care(&impatient(true, true), false),
            Care::Keep,
            "it is being answered"
        );
        activity.read(b"the body");
        drop(answering);
        a_moment_later();
        assert_eq!(activity.care(&impatient(true, false), false), Care::Keep);
        assert_eq!(activity.care(&impatient(false, true), false), Care::Close);
        activity.read(b"G");
        a_moment_later();
        assert_eq!(activity.care(&impatient(true, false), false), Care::Cut);
    }

    #[test]
    fn pings_of_http2_are_not_a_slow_head() {
        let activity = Arc::new(Activity::new());
        a_moment_later();
        activity.read(b"PRI * HTTP/2.0\r\n");
        a_moment_later();
        assert!(activity.is_http2());
        assert_eq!(activity.care(&impatient(true, false), false), Care::Keep);
        assert_eq!(activity.care(&impatient(false, true), false), Care::Close);
    }

    #[test]
    fn a_body_of_which_nothing_more_comes_is_not_waited_for() {
        let activity = Arc::new(Activity::new());
        assert!(activity.nothing_moves(Duration::ZERO));
        let answering = activity.begin();
        assert!(!activity.nothing_moves(Duration::ZERO), "it is being answered");
        let reading = activity.read_body();
        assert!(activity.nothing_moves(Duration::ZERO));
        assert!(!activity.nothing_moves(Duration::from_secs(60)));
        drop(reading);
        assert!(!activity.nothing_moves(Duration::ZERO));
        drop(answering);
        assert!(activity.nothing_moves(Duration::from_secs(60)));
    }

    #[test]
    fn a_stream_on_which_nothing_goes_is_not_waited_for() {
        let activity = Arc::new(Activity::new());
        let mut watching = activity.begin();
        assert!(
            !activity.nothing_moves(Duration::ZERO),
            "its answer is not there yet"
        );
        watching.send();
        assert!(activity.nothing_moves(Duration::ZERO));
        let asking = activity.begin();
        assert!(
            !activity.nothing_moves(Duration::ZERO),
            "another is being answered"
        );
        drop(asking);
        activity.wrote();
        assert!(
            !activity.nothing_moves(Duration::from_secs(60)),
            "something went just now"
        );
    }

    #[test]
    fn idle_connections_make_room_where_few_places_are_left() {
        let activity = Arc::new(Activity::new());
        drop(activity.begin());
        let limits = Limits {
            head: Duration::from_millis(20),
            idle: Duration::from_secs(60),
            ..Limits::default()
        };
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(activity.care(&limits, false), Care::Keep);
        assert_eq!(activity.care(&limits, true), Care::Close);
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(
            activity.care(&limits, true),
            Care::Cut,
            "its client does not let go"
        );
    }
}
