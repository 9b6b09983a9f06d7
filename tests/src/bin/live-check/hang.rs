//! Answers while Redis hangs: it is stopped for three seconds, and keeps its connections.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::client::Ending;
use crate::load::{Timed, open};
use crate::shop::{Premises, Shop, household};
use crate::table::Row;
use crate::times::{Times, ms};

const PER_SECOND: f64 = 100.0;
/// What a server gives a request that brings no deadline of its own.
const IN_TIME: Duration = Duration::from_millis(200);
const HANGS: Duration = Duration::from_secs(3);
/// How long answers may be degraded after Redis goes on.
const WHOLE_AGAIN: Duration = Duration::from_secs(2);
/// When we stop hoping.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Answers in a row that show that all is well.
const IN_A_ROW: u32 = 20;
/// Households that every pod has asked for before.
const CACHED: u64 = 50;

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(premises, work).await?;
    let (mut asked, mut recoveries) = (Vec::new(), Vec::new());
    for round in 0..u64::from(scale.of(5)) {
        for (number, pod) in (0..CACHED).flat_map(|number| shop.pods.iter().map(move |pod| (number, pod))) {
            shop.client.recommend(&pod.address, &household(number)).await?;
        }
        shop.redis.program.freeze()?;
        let hung = open(PER_SECOND, HANGS, |number| ask(&shop, round, number)).await;
        shop.redis.program.thaw()?;
        asked.extend(hung?);
        recoveries.push(recovery(&shop, round).await?);
    }
    Ok(vec![answers(&asked), recovered(recoveries.into_iter().collect())])
}

/// Who is asked for, and how that ended.
type Asked = (bool, Ending);

/// Every other request is for a household that is cached, and the others for somebody whom nobody has asked for.
fn ask(shop: &Shop, round: u64, number: u64) -> impl Future<Output = Asked> + use<> {
    let (client, address) = (shop.client.clone(), shop.front().to_owned());
    let cached = number.is_multiple_of(2);
    let user = match cached {
        true => household(number / 2 % CACHED),
        false => stranger(round, number),
    };
    async move { (cached, client.ending(&address, &user).await) }
}

/// A household that is not cached.
fn stranger(round: u64, number: u64) -> String {
    household(CACHED + round * 400 + number)
}

fn answers(asked: &[Timed<Asked>]) -> Row {
    let times: Times = asked.iter().map(|asked| asked.took).collect();
    let of = |cached: bool| asked.iter().filter(move |asked| asked.outcome.0 == cached);
    let degraded = Ending::Degraded("online_store".to_owned());
    let told = |asked: &&Timed<Asked>| asked.outcome.1 == degraded;
    let whole = |asked: &&Timed<Asked>| asked.outcome.1 == Ending::Whole;
    let (cached, all_cached) = (of(true).filter(whole).count(), of(true).count());
    let (told_others, all_others) = (of(false).filter(told).count(), of(false).count());
    let other = asked.iter().find(|asked| !whole(asked) && !told(asked));
    let other = other.map_or_else(String::new, |asked| format!("; also {:?}", asked.outcome));
    Row {
        promise:
            "while Redis hangs, every answer comes in time: whole for users who are cached, else degraded `online_store`"
                .to_owned(),
        measured: format!(
            "{cached} of {all_cached} whole, {told_others} of {all_others} degraded; {times}{other}"
        ),
        n: asked.len(),
        holds: cached == all_cached && told_others == all_others && times.longest() <= IN_TIME,
    }
}

/// How long it takes until answers are whole again; the last of those that are not ends it.
async fn recovery(shop: &Shop, round: u64) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let (mut since, mut in_a_row, mut number) = (Duration::ZERO, 0, 300);
    while in_a_row < IN_A_ROW && started.elapsed() < GIVE_UP {
        number += 1;
        match shop.client.ending(shop.front(), &stranger(round, number)).await {
            Ending::Whole => in_a_row += 1,
            _ => (in_a_row, since) = (0, started.elapsed()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(since)
}

fn recovered(recoveries: Times) -> Row {
    Row {
        promise: format!(
            "after Redis goes on, answers are whole again within {}",
            ms(WHOLE_AGAIN)
        ),
        measured: format!("the last that was not whole: {recoveries}"),
        n: recoveries.len(),
        holds: recoveries.longest() <= WHOLE_AGAIN,
    }
}
