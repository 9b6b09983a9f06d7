//! How soon the answers of another replica show what was done here.
//!
//! Each trial makes a change through the router or the first pod, in turn, and asks the second pod of the same variant until it shows
//! that change. What is measured begins before the change is sent and ends with the first answer that shows it; only whole answers
//! count. What a new item is like is asked for by its id, which takes no encoder; its text must find it right after.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::Scale;
use crate::client::Answer;
use crate::shop::{Premises, Shop, household};
use crate::table::Row;
use crate::times::Times;

/// How soon 99 of 100 changes must be seen.
const BOUND: Duration = Duration::from_millis(100);
/// A change that takes longer is lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(premises, work).await?;
    let (many, some) = (u64::from(scale.of(1_000)), u64::from(scale.of(100)));
    Ok(vec![
        row("a disliked item leaves", dislikes(&shop, many).await?),
        row("a purchase changes", purchases(&shop, some).await?),
        row("a new item is in", new_items(&shop, some).await?),
        row("a blocked item leaves", blocks(&shop, some, true).await?),
        row("an unblocked item is back in", blocks(&shop, some, false).await?),
    ])
}

fn row(what: &str, times: Times) -> Row {
    Row {
        promise: format!("{what} the answers of another replica: p99 below 100 ms"),
        measured: times.to_string(),
        n: times.len(),
        holds: times.p99() < BOUND,
    }
}

async fn dislikes(shop: &Shop, trials: u64) -> anyhow::Result<Times> {
    interactions(shop, trials, "dislike", |item, _, now| !now.has(item)).await
}

async fn purchases(shop: &Shop, trials: u64) -> anyhow::Result<Times> {
    interactions(shop, trials, "purchase", |_, before, now| now != before).await
}

/// Has users do something with an item that is recommended to them; `shows` says of the item and the answers before and now whether
/// these show it.
async fn interactions(
    shop: &Shop,
    trials: u64,
    kind: &str,
    shows: impl Fn(&str, &Answer, &Answer) -> bool,
) -> anyhow::Result<Times> {
    let mut times = Vec::new();
    for trial in 0..trials {
        let user = household(trial);
        let before = shop.recommended(&user).await?;
        let (item, _) = &before.items[trial as usize % before.items.len()];
        let started = Instant::now();
        interact(shop, trial, &user, item, kind).await?;
        let is_seen = async || Ok(shows(item, &before, &shop.recommended(&user).await?));
        let took = seen(started, is_seen).await;
        times.push(took.with_context(|| format!("{kind} of item {item} by user {user}"))?);
    }
    Ok(times.into_iter().collect())
}

async fn new_items(shop: &Shop, trials: u64) -> anyhow::Result<Times> {
    let mut times = Vec::new();
    for trial in 0..trials {
        let item = format!("quince-{trial}");
        let kind = format!("QUINCE PASTE {trial}");
        let features = json!({"features": {
            "department": "GROCERY", "brand": "National", "product_category": "QUINCES", "product_type": kind,
        }});
        let started = Instant::now();
        let path = format!("/v1/items/{item}");
        shop.client
            .change("PUT", through(shop, trial), &path, &features)
            .await?;
        let is_in = async || {
            let query = format!("item={item}");
            let like = shop.client.similar(shop.second(), &query).await?;
            Ok(like.is_some_and(|like| !like.items.is_empty()))
        };
        let took = seen(started, is_in).await;
        times.push(took.with_context(|| format!("item {item} is new"))?);
        let text = format!("text=GROCERY National QUINCES {kind}");
        let found = shop.client.similar(shop.second(), &text).await?;
        ensure!(
            found.is_some_and(|found| found.has(&item)),
            "{text} does not find {item}"
        );
    }
    Ok(times.into_iter().collect())
}

/// Blocks items, or unblocks them; the other of the two is done without being measured.
async fn blocks(shop: &Shop, trials: u64, blocked: bool) -> anyhow::Result<Times> {
    let mut times = Vec::new();
    for trial in 0..trials {
        let user = household(trial);
        let before = shop.recommended(&user).await?;
        let (item, _) = &before.items[trial as usize % before.items.len()];
        for now_blocked in [true, false] {
            let started = Instant::now();
            let patch = json!({"blocked": now_blocked});
            let path = format!("/v1/items/{item}");
            shop.client
                .change("PATCH", through(shop, trial), &path, &patch)
                .await?;
            let shows = async || Ok(shop.recommended(&user).await?.has(item) != now_blocked);
            let took = seen(started, shows).await;
            let took = took.with_context(|| format!("item {item} of user {user}, blocked: {now_blocked}"))?;
            if now_blocked == blocked {
                times.push(took);
            }
        }
    }
    Ok(times.into_iter().collect())
}

/// Where a change is made, in turn.
fn through(shop: &Shop, trial: u64) -> &str {
    match trial % 2 {
        0 => shop.front(),
        _ => shop.first(),
    }
}

async fn interact(shop: &Shop, trial: u64, user: &str, item: &str, kind: &str) -> anyhow::Result<()> {
    let event: Value = json!({"interactions": [
        {"event_id": format!("{kind}-{trial}"), "user": user, "item": item, "type": kind},
    ]});
    shop.client
        .change("POST", through(shop, trial), "/v1/interactions", &event)
        .await
        .with_context(|| format!("user {user}, item {item}"))
}

/// Asks until it is so, and gives how long that took since `started`.
async fn seen(
    started: Instant,
    mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    while !is_so().await? {
        ensure!(
            started.elapsed() < LOST_AFTER,
            "a change was not seen within {LOST_AFTER:?}"
        );
    }
    Ok(started.elapsed())
}
