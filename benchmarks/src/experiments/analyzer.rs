//! The analyzer on many exposures: how fast, and in how much memory.

use std::time::Instant;

use gondola_artifacts::Store;
use gondola_events::analysis::{Analyzer, Rules};
use gondola_events::place::Kind;
use gondola_events::table::encode_exposures;
use gondola_events::unit::UnitKey;
use gondola_experiments::settings::Settings;
use jiff::SignedDuration;
use object_store::ObjectStoreExt as _;
use serde_json::json;

use super::{DAY, DAY_MILLISECONDS, Lines, START, experiment, replay};
use crate::machine;

/// Rows of a file: what a router writes in a minute at 5,000 requests a second.
const ROWS: u64 = 300_000;
/// Exposures of a unit.
const EACH: u64 = 5;

pub(super) fn check(lines: &mut Lines, exposures: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(analyze(lines, exposures))
}

async fn analyze(lines: &mut Lines, exposures: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&format!("file://{}/store", folder.path().display()))?;
    let settings = Settings::of(&experiment("replay", &json!({"units": 1000}))?)?;
    let rules = Rules::new(&settings, 1, START);
    let bytes = write(&store, exposures).await?;
    let mut analyzer = Analyzer::new(store, "shop/home".into(), folder.path().join("work"));
    let started = Instant::now();
    let evidence = analyzer.analyze(&rules, START + 9 * DAY).await?;
    let took = started.elapsed();
    let again = Instant::now();
    analyzer.analyze(&rules, START + 9 * DAY).await?;
    let peak = machine::memory_mb("VmHWM");
    let counted: u64 = evidence.arms.iter().map(|arm| arm.exposures).sum();
    lines.line(
        counted == exposures && peak < 1024,
        "the analyzer on many exposures",
        format!(
            "{exposures} rows ({} MiB of Parquet, {:.1} bytes each) in {took:.1?}, {:.0} rows/s; nothing new {:.1?}; peak {peak} MiB, \
             below 1,024",
            bytes >> 20,
            bytes as f64 / exposures as f64,
            exposures as f64 / took.as_secs_f64(),
            again.elapsed()
        ),
    );
    Ok(())
}

async fn write(store: &Store, exposures: u64) -> anyhow::Result<u64> {
    let key = UnitKey::new(b"0123456789abcdef")?;
    let kind = Kind::Exposures {
        experiment: "replay".into(),
        epoch: 1,
    };
    let units = exposures.div_ceil(EACH);
    let mut bytes = 0;
    for first in (0..exposures).step_by(ROWS as usize) {
        let rows: Vec<_> = (first..exposures.min(first + ROWS))
            .map(|number| {
                // Each unit comes again in other files.
                let unit = number % units;
                let time = START
                    + SignedDuration::from_millis(number as i64 * 5 * DAY_MILLISECONDS / exposures as i64);
                replay::exposure(
                    key.hash(&format!("member-{unit}")),
                    unit,
                    time,
                    &number.to_string(),
                )
            })
            .collect();
        let file = encode_exposures(&rows)?;
        bytes += file.len() as u64;
        let place = format!("shop/home/{}", kind.file(rows[0].time, "router", first / ROWS));
        store.objects().put(&store.path(&place), file.into()).await?;
    }
    Ok(bytes)
}
