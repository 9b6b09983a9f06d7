//! Clients that ask, either as often as they get answers or as often as they like.
//!
//! They share the cores with what they ask, unless a check keeps them apart ([`crate::processors`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// What became of a request, and when.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    /// When it was sent, since the first one was.
    pub(crate) at: Duration,
    pub(crate) took: Duration,
    pub(crate) outcome: T,
}

/// An open loop: asks so often a second, whatever becomes of what was asked before. `ask` is given how often it was asked before. What
/// is due within one millisecond, which is as exact as timers are, is asked together.
pub(crate) async fn open<T, F>(
    per_second: f64,
    during: Duration,
    ask: impl Fn(u64) -> F,
) -> anyhow::Result<Vec<Timed<T>>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    for number in 0..(per_second * during.as_secs_f64()) as u64 {
        let due = started + Duration::from_secs_f64(number as f64 / per_second);
        // Whoever is behind must not wait for a timer as well.
        if due > Instant::now() {
            sleep_until(due.into()).await;
        }
        under_way.spawn(timed(started, ask(number)));
    }
    collect(under_way).await
}

/// A closed loop: each of some clients asks again when it was answered. `ask` is given the client's place and how often it asked before.
pub(crate) async fn closed<T, F, A>(clients: u64, during: Duration, ask: A) -> anyhow::Result<Vec<Timed<T>>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
    A: Fn(u64, u64) -> F + Send + Sync + 'static,
{
    let started = Instant::now();
    let ask = Arc::new(ask);
    let mut under_way = JoinSet::new();
    for client in 0..clients {
        let ask = Arc::clone(&ask);
        under_way.spawn(async move {
            let mut asked = Vec::new();
            while started.elapsed() < during {
                let number = asked.len() as u64;
                asked.push(timed(started, ask(client, number)).await);
            }
            asked
        });
    }
    Ok(collect(under_way).await?.into_iter().flatten().collect())
}

async fn timed<T>(started: Instant, ask: impl Future<Output = T>) -> Timed<T> {
    let sent = Instant::now();
    let outcome = ask.await;
    Timed {
        at: sent - started,
        took: sent.elapsed(),
        outcome,
    }
}

async fn collect<T: 'static>(mut under_way: JoinSet<T>) -> anyhow::Result<Vec<T>> {
    let mut ended = Vec::with_capacity(under_way.len());
    while let Some(end) = under_way.join_next().await {
        ended.push(end?);
    }
    Ok(ended)
}
