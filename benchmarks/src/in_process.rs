//! `synthetic`: a table of what each stage takes, in process, one request at a time.

use std::path::Path;
use std::time::Instant;

use gondola_models::features::{EncodedRow, RawTable, Workflow};
use gondola_models::pipeline::{SimilarRequest, SimilarTo, Variant};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::SyntheticArguments;
use crate::machine::{head_line, memory_mb};
use crate::measure::{RequestTimes, Summary, Times};
use crate::recommend::{CANDIDATES, ITEMS, SCORERS, load, recall, time};
use crate::scorers::Scorers;
use crate::synthetic::{SCORER_BUNDLES, Synthetic, TEXT_DIMENSION};

const SEED: u64 = 5;
const SIMILAR_REQUESTS: usize = 2_000;
const SCORER_REQUESTS: usize = 500;
/// Rows encoded between two looks at the clock, which takes as long as a column.
const ROWS_AT_A_TIME: usize = 10;

pub(crate) fn run(arguments: &SyntheticArguments) -> anyhow::Result<()> {
    let synthetic = Synthetic::at(&arguments.data, arguments.items, arguments.users)?;
    if arguments.make_only {
        println!("{}", synthetic.pipeline().display());
        return Ok(());
    }
    let bundles = synthetic.bundles();
    println!("{}", head_line("one thread, one request at a time"));
    println!(
        "{} items, {} users, {CANDIDATES} candidates, {ITEMS} items an answer, nprobe {}; microseconds",
        arguments.items, arguments.users, arguments.nprobe
    );

    let mut variants: Vec<Variant> = Vec::new();
    for scorer in SCORERS {
        let before = memory_mb("VmRSS");
        let started = Instant::now();
        variants.push(load(&bundles, scorer, arguments.nprobe)?);
        println!(
            "{scorer}: from folders to ready in {:.1} s, {} MB resident",
            started.elapsed().as_secs_f64(),
            memory_mb("VmRSS").saturating_sub(before),
        );
    }
    let times = time(&variants, arguments.requests)?;
    let similar = time_similar(&variants[0], arguments.items)?;
    drop(variants);

    for (scorer, times) in SCORERS.iter().zip(&times) {
        print_request(&format!("recommend, {scorer}"), times);
    }
    print_request(&format!("similar items, {TEXT_DIMENSION} dimensions"), &similar);
    println!("\n{:<34}{:>10}{:>10}{:>10}", "alone", "min", "p50", "p99");
    print_scorers(&bundles)?;
    print_row("preprocessing of one user row", time_preprocessing(&bundles)?);
    println!(
        "\nrecall@{CANDIDATES} of the index against exact search: {:.4}",
        recall(&bundles, arguments.nprobe)?
    );
    println!(
        "peak of this process, which held both variants: {} MB",
        memory_mb("VmHWM")
    );
    Ok(())
}

fn print_request(title: &str, times: &RequestTimes) {
    println!(
        "\n{title:<34}{:>10}{:>10}{:>10}   of {} requests",
        "min",
        "p50",
        "p99",
        times.total.len()
    );
    for (name, summary) in times.rows() {
        print_row(name, summary);
    }
}

fn print_row(name: &str, summary: Summary) {
    let Summary { minimum, p50, p99 } = summary;
    println!("  {name:<32}{minimum:>10.1}{p50:>10.1}{p99:>10.1}");
}

/// Every family on the same requests in turn.
fn print_scorers(bundles: &Path) -> anyhow::Result<()> {
    let scorers = Scorers::load(bundles, &SCORER_BUNDLES)?;
    let times = scorers.time(&scorers.random_requests(SCORER_REQUESTS)?)?;
    for (name, times) in scorers.names().zip(times) {
        print_row(&format!("{name}, {CANDIDATES} candidates"), times.summary());
    }
    Ok(())
}

fn time_similar(variant: &Variant, items: usize) -> anyhow::Result<RequestTimes> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut times = RequestTimes::default();
    for _ in 0..SIMILAR_REQUESTS {
        let item = format!("{:010}", rng.random_range(0..items));
        let request = SimilarRequest {
            to: SimilarTo::Item(item.into()),
            k: Some(ITEMS),
        };
        let started = Instant::now();
        let answer = variant.similar(&request)?;
        let took = started.elapsed();
        anyhow::ensure!(
            answer.items.len() == ITEMS,
            "only {} similar items",
            answer.items.len()
        );
        times.add(took, &answer.timing);
    }
    Ok(times)
}

/// The fitted workflow on raw rows of random users, without looking the user up.
fn time_preprocessing(bundles: &Path) -> anyhow::Result<Summary> {
    let features = bundles.join("features");
    let workflow = Workflow::load(&features)?;
    let users = RawTable::read(&features.join("users.parquet"), "user_id")?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let (mut times, mut encoded) = (Times::default(), EncodedRow::default());
    for _ in 0..2_000 {
        let rows: [usize; ROWS_AT_A_TIME] = std::array::from_fn(|_| rng.random_range(0..users.len()));
        let started = Instant::now();
        for row in rows {
            workflow.user.encode_into(&users.row(row), &mut encoded);
            std::hint::black_box(&mut encoded);
        }
        times.add(started.elapsed() / ROWS_AT_A_TIME as u32);
    }
    Ok(times.summary())
}
