//! A benchmark: what a thousand pipelines cost.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::leaders::Process;
use crate::world::{World, is_operator, pipeline, until};

const PIPELINES: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: make bench-operator"]
async fn a_thousand_pipelines() -> anyhow::Result<()> {
    let Some(world) = World::start().await? else {
        return Ok(());
    };
    let started = Instant::now();
    let first = Process::start(&world, "operator-a")?;
    for number in 0..PIPELINES {
        world
            .apply(&format!("shop{}", number % 20), &named(number))
            .await?;
    }
    world
        .wait_for_all_ready(PIPELINES, Duration::from_secs(900))
        .await?;
    println!(
        "{PIPELINES} pipelines from nothing to ready: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    world.wait_until_quiet().await?;
    drop(first);
    world.stop_stand_ins();
    world.server.traffic().forget();

    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let started = Instant::now();
    let second = Process::start_alone(&world, "operator-b", &address.to_string())?;
    until("every pipeline was looked at", || async {
        Ok((passes(&address.to_string()).await.unwrap_or(0) >= PIPELINES).then_some(()))
    })
    .await?;
    println!(
        "looked at all of them from cold: {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let cold = second.cpu_seconds()?;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let seen = world.server.traffic().seen();
    let writes = seen
        .iter()
        .filter(|seen| seen.request.is_write() && is_operator(&seen.request));
    println!("requests: {}, writes among them: {}", seen.len(), writes.count());
    println!("resident: {} MiB", second.resident_kib()? / 1024);
    println!(
        "processor: {cold:.1} s for that, {:.2} s in the 30 s after",
        second.cpu_seconds()? - cold
    );
    Ok(())
}

fn named(number: usize) -> serde_json::Value {
    let mut pipeline = pipeline(&[("dlrm", 50, 2), ("forest", 50, 2)]);
    pipeline["metadata"]["name"] = format!("p{number}").into();
    pipeline
}

/// How many passes an operator has made, by its metrics.
async fn passes(address: &str) -> anyhow::Result<usize> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut connection = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let count = answer
        .lines()
        .find_map(|line| line.strip_prefix("gondola_operator_reconcile_seconds_count "));
    Ok(count.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}
