//! `grpc`: clients that ask a server over the network, each again as soon as it is answered.

use std::time::{Duration, Instant};

use anyhow::Context;
use gondola_protocol::proto::RecommendRequest;
use gondola_protocol::proto::recommender_client::RecommenderClient;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic::transport::{Channel, Endpoint};

use crate::machine::{head_line, processor_time};
use crate::measure::{Summary, Times};
use crate::recommend::ITEMS;
use crate::{GrpcArguments, user_id};

/// Before the clock starts, each client asks for this long.
const WARM_UP: Duration = Duration::from_millis(500);
/// Longer than this, and the server is broken.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(arguments: &GrpcArguments) -> anyhow::Result<()> {
    println!(
        "{}",
        head_line("clients in one process on one thread, the server in another")
    );
    println!(
        "clients         min       p50       p99   microseconds    requests/s    server's processor time a request"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for clients in &arguments.clients {
        let before = arguments.pid.and_then(processor_time);
        let (times, elapsed) = runtime.block_on(load(arguments, *clients))?;
        let after = arguments.pid.and_then(processor_time);
        let Summary { minimum, p50, p99 } = times.summary();
        let rate = times.len() as f64 / elapsed.as_secs_f64();
        let used = before.zip(after).map_or("?".to_owned(), |(before, after)| {
            // Requests of the warm-up cost as much as those that were timed.
            let requests = rate * (elapsed + WARM_UP).as_secs_f64();
            format!("{:.0} us", (after - before).as_secs_f64() * 1e6 / requests)
        });
        println!("{clients:<9}{minimum:>10.0}{p50:>10.0}{p99:>10.0}{rate:>29.0}    {used}");
    }
    Ok(())
}

/// The times of all answers, and how long they were taken for.
async fn load(arguments: &GrpcArguments, clients: usize) -> anyhow::Result<(Times, Duration)> {
    let begin = Instant::now() + WARM_UP;
    let end = begin + Duration::from_secs(arguments.seconds);
    let mut asking = Vec::with_capacity(clients);
    for number in 0..clients {
        let endpoint = Endpoint::from_shared(arguments.url.clone())?
            .tcp_nodelay(true)
            .timeout(PATIENCE);
        let channel = endpoint
            .connect()
            .await
            .with_context(|| format!("cannot reach {}", arguments.url))?;
        asking.push(tokio::spawn(ask(
            channel,
            number as u64,
            arguments.users,
            begin,
            end,
        )));
    }
    let mut all = Times::default();
    for client in asking {
        all.extend(client.await??);
    }
    Ok((all, end - begin))
}

async fn ask(
    channel: Channel,
    seed: u64,
    users: usize,
    begin: Instant,
    end: Instant,
) -> anyhow::Result<Times> {
    let mut client = RecommenderClient::new(channel);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut times = Times::default();
    loop {
        let user = user_id(rng.random_range(0..users));
        let request = RecommendRequest {
            user,
            k: Some(ITEMS as u32),
            explain_timing: false,
        };
        let started = Instant::now();
        if started >= end {
            return Ok(times);
        }
        let answer = client.recommend(request).await?.into_inner();
        let answered = Instant::now();
        anyhow::ensure!(
            answer.items.len() == ITEMS && answer.degraded.is_empty(),
            "an answer has {} items and is degraded by {:?}",
            answer.items.len(),
            answer.degraded
        );
        if started >= begin && answered <= end {
            times.add(answered - started);
        }
    }
}
