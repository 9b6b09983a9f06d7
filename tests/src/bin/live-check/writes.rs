//! Answers while ten thousand interactions a second come.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Scale;
use crate::client::Ending;
use crate::load::{Timed, open};
use crate::shop::{Premises, Shop, household};
use crate::table::Row;
use crate::times::Times;

/// Interactions of a request.
const BATCH: u64 = 200;
const BATCHES_PER_SECOND: f64 = 50.0;
const ANSWERS_PER_SECOND: f64 = 100.0;
const BOUND: Duration = Duration::from_millis(5);

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(premises, work).await?;
    let items = shop.some_items(300).await?;
    let during = Duration::from_secs(scale.of(20).into());
    // Made beforehand: what clients take for them is none of the service's time.
    let batches = (BATCHES_PER_SECOND * during.as_secs_f64()) as u64;
    let bodies: Vec<String> = (0..batches).map(|number| body(number, &items)).collect();
    let alone = open(ANSWERS_PER_SECOND, during, |number| ask(&shop, number)).await?;
    let (batches, answers) = tokio::try_join!(
        open(BATCHES_PER_SECOND, during, |number| send(
            &shop,
            bodies[number as usize].clone()
        )),
        open(ANSWERS_PER_SECOND, during, |number| ask(&shop, number)),
    )?;
    Ok(vec![taken(&batches), answered(&alone, &answers)])
}

fn ask(shop: &Shop, number: u64) -> impl Future<Output = Ending> + use<> {
    let (client, address) = (shop.client.clone(), shop.front().to_owned());
    async move { client.ending(&address, &household(number * 7)).await }
}

fn body(number: u64, items: &[String]) -> String {
    let interaction = |place: u64| {
        let event = number * BATCH + place;
        let kinds = ["view", "click", "basket", "purchase"];
        json!({
            "event_id": format!("event-{event}"),
            "user": household(event),
            "item": items[event as usize % items.len()],
            "type": kinds[event as usize % kinds.len()],
        })
    };
    let batch: Vec<Value> = (0..BATCH).map(interaction).collect();
    json!({"interactions": batch}).to_string()
}

/// Sends a batch, and gives how many of it were taken, or why none was.
fn send(shop: &Shop, body: String) -> impl Future<Output = Result<u64, String>> + use<> {
    let (client, address) = (shop.client.clone(), shop.front().to_owned());
    async move {
        let answer = client.send("POST", &address, "/v1/interactions", body).await;
        let receipt = answer.and_then(|answer| answer.json());
        let receipt = receipt.map_err(|error| format!("{error:#}"))?;
        receipt["taken"].as_u64().ok_or_else(|| receipt.to_string())
    }
}

fn taken(batches: &[Timed<Result<u64, String>>]) -> Row {
    let taken: u64 = batches
        .iter()
        .filter_map(|batch| batch.outcome.as_ref().ok())
        .sum();
    let all = batches.len() as u64 * BATCH;
    let end = batches.iter().map(|batch| batch.at + batch.took).max();
    let rate = taken as f64 / end.unwrap_or_default().as_secs_f64();
    let times: Times = batches.iter().map(|batch| batch.took).collect();
    let complaint = batches.iter().find_map(|batch| batch.outcome.as_ref().err());
    let complaint = complaint.map_or_else(String::new, |complaint| format!("; {complaint}"));
    Row {
        promise: "10,000 interactions a second, in batches of 200, are all acknowledged".to_owned(),
        measured: format!(
            "{taken} of {all} acknowledged, {rate:.0} a second until the last was; a batch: {times}{complaint}"
        ),
        n: all as usize,
        // The last batch is sent a pause before the end, and takes its time.
        holds: taken == all && rate > 9_500.0,
    }
}

fn answered(alone: &[Timed<Ending>], answers: &[Timed<Ending>]) -> Row {
    let times = |answers: &[Timed<Ending>]| -> Times { answers.iter().map(|answer| answer.took).collect() };
    let (before, times) = (times(alone), times(answers));
    let less = |answer: &&Timed<Ending>| answer.outcome != Ending::Whole;
    let example = answers.iter().find(less);
    let example = example.map_or_else(String::new, |answer| format!(" ({:?} ..)", answer.outcome));
    let less = answers.iter().filter(less).count();
    Row {
        promise: "meanwhile 100 answers a second, through the router, stay whole and fast: p99 below 5 ms"
            .to_owned(),
        measured: format!("{times}; {less} not whole{example}; before the interactions came: {before}"),
        n: answers.len(),
        holds: less == 0 && times.p99() < BOUND,
    }
}
