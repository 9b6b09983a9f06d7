//! Answers while five times more requests come than can be answered.
//!
//! Whoever sends so much takes a processor for it. Where there are two, all servers run on one and the clients on another, from the
//! start, so that what is measured is what the servers do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::Scale;
use crate::client::Ending;
use crate::load::{Timed, closed, open};
use crate::processors::{Apart, Kept};
use crate::shop::{Premises, Shop, household};
use crate::sockets::Sockets;
use crate::table::Row;
use crate::times::{Times, ms};

/// What a server gives a request that brings no deadline of its own.
const DEADLINE: Duration = Duration::from_millis(200);
/// When the last answer of that deadline must be here: those that are degraded for it are sent once it passed.
const LATE: Duration = Duration::from_millis(250);
/// A request that takes longer hangs.
const HANGS: Duration = Duration::from_secs(1);
/// Clients of the closed loop: as many as a router on one core always has places for, and enough to keep that core busy.
const CLIENTS: u64 = 8;
/// How many times more come than can be answered.
const OVERLOAD: f64 = 5.0;
/// The share of the peak that must be left.
const SHARE: f64 = 0.9;
/// The share of the overload that must have been sent for that to be shown.
const SENT: f64 = 0.95;

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let apart = Apart::find()?;
    let premises = match &apart {
        Some(apart) => premises.on(&apart.servers),
        None => premises.clone(),
    };
    let shop = Shop::open(&premises, work).await?;
    let _kept = match &apart {
        Some(apart) => Some(Kept::on(&apart.clients)?),
        None => None,
    };
    let during = Duration::from_secs(scale.of(10).into());
    let sockets = Arc::new(Sockets::to(shop.front()));
    let ask = move |number: u64| {
        let sockets = Arc::clone(&sockets);
        async move { sockets.ending(&household(number * 7)).await }
    };
    let again = ask.clone();
    let calm = closed(CLIENTS, during, move |client, number| {
        again(client * 151 + number)
    })
    .await?;
    let peak = good(&calm) as f64 / during.as_secs_f64();
    let flood = open(peak * OVERLOAD, during, ask).await?;
    let place = match apart {
        Some(_) => "Redis, pods and router on one processor, the clients on another",
        None => "the clients share the only processor",
    };
    Ok(vec![answered(peak, &flood, place), ended(&flood)])
}

/// How many whole answers came in time.
fn good(asked: &[Timed<Ending>]) -> usize {
    let good = |asked: &&Timed<Ending>| asked.outcome == Ending::Whole && asked.took <= DEADLINE;
    asked.iter().filter(good).count()
}

fn answered(peak: f64, flood: &[Timed<Ending>], place: &str) -> Row {
    // Sending takes longer than planned where the clients want for cores.
    let during = flood.iter().map(|asked| asked.at).max().unwrap_or_default();
    let during = during.as_secs_f64().max(1e-3);
    let (rate, sent) = (good(flood) as f64 / during, flood.len() as f64 / during);
    Row {
        promise:
            "five times more requests than can be answered leave 90 % of the answers: whole, within 200 ms"
                .to_owned(),
        measured: format!(
            "peak {peak:.0} a second with {CLIENTS} connections, then {rate:.0} a second ({:.0} %) of {sent:.0} that were sent; {place}",
            100.0 * rate / peak,
        ),
        n: flood.len(),
        holds: rate >= SHARE * peak && sent >= SENT * OVERLOAD * peak,
    }
}

fn ended(flood: &[Timed<Ending>]) -> Row {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for asked in flood {
        *counts.entry(name(asked)).or_default() += 1;
    }
    let counted: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    let times: Times = flood.iter().map(|asked| asked.took).collect();
    let late = flood.iter().filter(|asked| {
        let answered = matches!(asked.outcome, Ending::Whole | Ending::Degraded(_));
        answered && asked.took > LATE
    });
    let late = late.count();
    let failed = |asked: &Timed<Ending>| match &asked.outcome {
        Ending::Whole | Ending::Degraded(_) | Ending::Refused(429 | 503) => false,
        Ending::Refused(_) | Ending::Failed(_) => true,
    };
    Row {
        promise:
            "whatever else comes then is refused with 429 or 503, or degraded within 250 ms, and nothing hangs for a second"
                .to_owned(),
        measured: format!("{}; {late} answers came later; {times}", counted.join(", ")),
        n: flood.len(),
        holds: late == 0 && !flood.iter().any(failed) && times.longest() <= HANGS,
    }
}

fn name(asked: &Timed<Ending>) -> String {
    match &asked.outcome {
        Ending::Whole if asked.took <= DEADLINE => "whole".to_owned(),
        Ending::Whole => format!("whole after {}", ms(DEADLINE)),
        Ending::Degraded(reasons) => format!("degraded ({reasons})"),
        Ending::Refused(status) => format!("refused with {status}"),
        Ending::Failed(_) => "failed".to_owned(),
    }
}
