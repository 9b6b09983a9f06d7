//! Answers while clients send byte by byte.

use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Scale;
use crate::client::Ending;
use crate::load::{Timed, open};
use crate::shop::{Premises, Shop, household};
use crate::table::Row;
use crate::times::Times;

const SLOW: u64 = 200;
const BETWEEN_BYTES: Duration = Duration::from_millis(50);
const PER_SECOND: f64 = 100.0;
/// What slow clients may add to the p99 of others: what two runs of the same differ by.
const MAY_ADD: Duration = Duration::from_millis(5);

pub(crate) async fn check(premises: &Premises, work: &Path, scale: Scale) -> anyhow::Result<Vec<Row>> {
    let shop = Shop::open(premises, work).await?;
    let during = Duration::from_secs(scale.of(20).into());
    let before = open(PER_SECOND, during, |number| ask(&shop, number)).await?;
    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        slow.spawn(dribble(shop.front().to_owned()));
    }
    let meanwhile = open(PER_SECOND, during, |number| ask(&shop, number)).await?;
    slow.abort_all();
    let times = |asked: &[Timed<Ending>]| -> Times { asked.iter().map(|asked| asked.took).collect() };
    let less = meanwhile
        .iter()
        .filter(|asked| asked.outcome != Ending::Whole)
        .count();
    let (before, times) = (times(&before), times(&meanwhile));
    Ok(vec![Row {
        promise: format!("{SLOW} clients that send byte by byte add less than 5 ms to the p99 of others"),
        measured: format!("{times}; {less} not whole; without them: {before}"),
        n: times.len(),
        holds: less == 0 && times.p99() <= before.p99() + MAY_ADD,
    }])
}

fn ask(shop: &Shop, number: u64) -> impl Future<Output = Ending> + use<> {
    let (client, address) = (shop.client.clone(), shop.front().to_owned());
    async move { client.ending(&address, &household(number * 7)).await }
}

/// Sends one request after the other, each byte by byte, and connects anew when the server has had enough.
async fn dribble(address: String) {
    let request = format!("GET /v1/recommend?user=1&k=12 HTTP/1.1\r\nhost: {address}\r\n\r\n");
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            for byte in request.as_bytes() {
                tokio::time::sleep(BETWEEN_BYTES).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(BETWEEN_BYTES).await;
    }
}
