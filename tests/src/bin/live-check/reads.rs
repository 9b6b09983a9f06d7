//! What a round trip to the store takes: reads of users, one after the other, past every cache.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use gondola_online::{OnlineStore as _, Written};
use gondola_request::{
    Change, Interaction, InteractionKind, Moment, PurchaseUpdate, RawRow, UserId, UserUpdate, Value,
};

use crate::Scale;
use crate::redis::Redis;
use crate::shop::Premises;
use crate::table::Row;
use crate::times::Times;

const P50_BOUND: Duration = Duration::from_micros(300);
const P99_BOUND: Duration = Duration::from_millis(1);
/// Purchases that were put of each user.
const HISTORY: u32 = 5;
/// Interactions of each user.
const INTERACTIONS: u32 = 5;
/// Users that are written at once.
const AT_ONCE: usize = 200;

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let redis = Redis::start(premises, work).await?;
    let store = redis.store()?;
    let (users, reads) = (scale.of(200_000), scale.of(20_000));
    let numbers: Vec<u32> = (0..users).collect();
    for some in numbers.chunks(AT_ONCE) {
        let changes: Vec<Change> = some.iter().flat_map(|number| changes(*number)).collect();
        let outcome = store.write(&changes, Moment::now()).await?;
        let taken = outcome.written.iter().all(|written| *written == Written::Taken);
        ensure!(taken, "not every user was taken: {:?}", outcome.written);
    }
    let mut times = Vec::with_capacity(reads as usize);
    for read in 0..reads {
        // Spread over all of them, and none twice.
        let user = user(read * (users / reads));
        let started = Instant::now();
        let state = store.user(&user).await?;
        times.push(started.elapsed());
        let interactions = state.map_or(0, |state| state.interactions.len());
        ensure!(
            interactions == INTERACTIONS as usize,
            "{user} did {interactions} things"
        );
    }
    let times: Times = times.into_iter().collect();
    Ok(vec![Row {
        promise: format!(
            "one round trip reads a user's row, {HISTORY} purchases and {INTERACTIONS} interactions, of {users} users: p50 below 0.3 ms, \
             p99 below 1 ms"
        ),
        measured: times.to_string(),
        n: times.len(),
        holds: times.p50() < P50_BOUND && times.p99() < P99_BOUND,
    }])
}

fn user(number: u32) -> UserId {
    format!("visitor-{number}").into()
}

fn changes(number: u32) -> impl Iterator<Item = Change> {
    let purchase = move |place: u32| PurchaseUpdate {
        item: (1_000_000 + number % 1_000 + place).to_string().into(),
        purchases: 1.0,
        days_since_last: 3.0,
        recent_purchases: None,
    };
    let put = Change::PutUser {
        user: user(number),
        update: UserUpdate {
            features: RawRow::from([
                ("age", Value::from("35-44")),
                ("income", Value::from("50-74K")),
                ("kids_count", Value::from("2")),
            ]),
            history: Some((0..HISTORY).map(purchase).collect()),
        },
    };
    let interaction = move |place: u32| {
        Change::Interaction(Interaction {
            event_id: format!("event-{place}"),
            user: user(number),
            item: (1_000_000 + place).to_string().into(),
            kind: InteractionKind::View,
            event_time: None,
            price: None,
            unit: None,
            request_id: None,
        })
    };
    std::iter::once(put).chain((0..INTERACTIONS).map(interaction))
}
