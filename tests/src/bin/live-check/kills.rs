//! What is left of acknowledged writes when pods and Redis are killed.
//!
//! Writers write through the router all the time, each write until it is acknowledged. Meanwhile one process after the other is ended by
//! `kill -9` and started again. Then nothing acknowledged may be missing in Redis, no event may be there twice, and the pods must
//! agree with each other, with what was acknowledged, and with pods that are started afresh.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gondola_online::OnlineStore as _;
use gondola_request::{ItemId, UserState};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::Scale;
use crate::client::Answer;
use crate::shop::{Premises, Shop};
use crate::table::Row;
use crate::writers::{Ledger, UserLedger, Writer};

const WRITERS: usize = 4;
/// The longest that all is well between two kills.
const CALM_MS: u64 = 1_000;
/// By then every pod has heard of the last write.
const SETTLES: Duration = Duration::from_secs(2);

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let mut shop = Shop::open(premises, work).await?;
    let items: Arc<[String]> = shop.some_items(200).await?.into();
    let writer = |place| {
        Writer::start(
            shop.client.clone(),
            shop.front().to_owned(),
            place,
            Arc::clone(&items),
        )
    };
    let writers: Vec<Writer> = (0..WRITERS).map(writer).collect();
    let rounds = scale.of(100);
    let killed = kill(&mut shop, rounds).await?;
    let mut ledger = Ledger::default();
    for writer in writers {
        ledger = ledger.with(writer.stop().await?);
    }
    tokio::time::sleep(SETTLES).await;
    Ok(vec![
        kept(&shop, &ledger, rounds, killed).await?,
        agreed(&mut shop, &ledger).await?,
    ])
}

/// Kills something in each round; gives how often it was Redis.
async fn kill(shop: &mut Shop, rounds: u32) -> anyhow::Result<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut redis = 0;
    for round in 1..=rounds {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..CALM_MS))).await;
        match shop.pods.get_mut(random.random_range(0..4_usize)) {
            Some(pod) => {
                pod.kill()?;
                pod.start_again()?;
                pod.ready(&shop.client).await?;
            }
            None => {
                redis += 1;
                shop.redis.program.kill()?;
                shop.redis.program.start_again()?;
                shop.redis.ready().await?;
            }
        }
        if round % 10 == 0 {
            eprintln!("  {round} kills");
        }
    }
    Ok(redis)
}

/// Whether Redis has what was acknowledged.
async fn kept(shop: &Shop, ledger: &Ledger, rounds: u32, redis: u32) -> anyhow::Result<Row> {
    let store = shop.redis.store()?;
    let (mut lost, mut twice, mut events) = (0, 0, 0);
    for (user, acknowledged) in &ledger.users {
        let state = store.user(&user.as_str().into()).await?.unwrap_or_default();
        let (missing, repeated) = compare(&state, acknowledged);
        lost += missing;
        twice += repeated;
        events += acknowledged.prices.len();
    }
    let items: Vec<ItemId> = ledger.blocked.keys().map(|item| item.as_str().into()).collect();
    for (state, blocked) in store
        .items(&items)
        .await?
        .into_iter()
        .zip(ledger.blocked.values())
    {
        lost += usize::from(state.is_none_or(|state| state.blocked != *blocked));
    }
    Ok(Row {
        promise: "no acknowledged write is lost and no event counts twice when pods and Redis are killed"
            .to_owned(),
        measured: format!(
            "{lost} lost and {twice} twice, of {} acknowledged writes with {events} events, in {rounds} kills, {redis} of them of Redis; \
             {} attempts failed and were made again",
            ledger.acknowledged, ledger.failed
        ),
        n: ledger.acknowledged,
        holds: lost == 0 && twice == 0,
    })
}

/// How much of a user is missing, and how much is there twice.
fn compare(state: &UserState, acknowledged: &UserLedger) -> (usize, usize) {
    let kept: Vec<usize> = state
        .interactions
        .iter()
        .filter_map(|done| Some(done.price? as usize))
        .collect();
    let times = |price: &usize| kept.iter().filter(|kept| *kept == price).count();
    let missing = acknowledged
        .prices
        .iter()
        .filter(|price| times(price) == 0)
        .count();
    let repeated = acknowledged
        .prices
        .iter()
        .filter(|price| times(price) > 1)
        .count();
    let put = state.history.as_ref().and_then(|history| history.first());
    let put = put.map(|purchase| purchase.purchases as usize);
    (missing + usize::from(put != acknowledged.put), repeated)
}

/// Whether all pods answer by what was acknowledged.
async fn agreed(shop: &mut Shop, ledger: &Ledger) -> anyhow::Result<Row> {
    let [first, second, forest] = [
        answers(shop, 0, ledger).await?,
        answers(shop, 1, ledger).await?,
        answers(shop, 2, ledger).await?,
    ];
    for place in [0, 2] {
        shop.pods[place].kill()?;
        shop.pods[place].start_again()?;
        shop.pods[place].ready(&shop.client).await?;
    }
    let fresh = answers(shop, 0, ledger).await?;
    let fresh_forest = answers(shop, 2, ledger).await?;
    let replicas = differences(&first, &second);
    let afresh = differences(&second, &fresh) + differences(&forest, &fresh_forest);
    let shown: usize = [&first, &second, &forest]
        .into_iter()
        .map(|answers| withdrawn(answers, ledger))
        .sum();
    let less = [first, second, forest].concat();
    let less = less.iter().filter(|answer| !answer.is_whole()).count();
    Ok(Row {
        promise: "then all pods agree, and show what was acknowledged last".to_owned(),
        measured: format!(
            "answers that differ: {replicas} between the two pods of dlrm, {afresh} from pods of dlrm and forest that were started afresh; \
             {shown} show an item that is blocked or disliked; {less} not whole"
        ),
        n: ledger.users.len(),
        holds: replicas + afresh + shown + less == 0,
    })
}

async fn answers(shop: &Shop, pod: usize, ledger: &Ledger) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(ledger.users.len());
    for user in ledger.users.keys() {
        answers.push(shop.client.recommend(&shop.pods[pod].address, user).await?);
    }
    Ok(answers)
}

fn differences(one: &[Answer], other: &[Answer]) -> usize {
    one.iter().zip(other).filter(|(one, other)| one != other).count()
}

/// How many answers show what they must not.
fn withdrawn(answers: &[Answer], ledger: &Ledger) -> usize {
    let blocked = || ledger.blocked.iter().filter(|(_, blocked)| **blocked);
    let shows = |(answer, user): &(&Answer, &UserLedger)| {
        blocked().any(|(item, _)| answer.has(item)) || user.disliked.iter().any(|item| answer.has(item))
    };
    answers.iter().zip(ledger.users.values()).filter(shows).count()
}
