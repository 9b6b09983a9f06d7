//! Events that come three times and in any order, through files and the analyzer.

use std::sync::Arc;

use gondola_artifacts::Store;
use gondola_events::analysis::{Analyzer, Rules};
use gondola_events::event::{Exposure, Outcome};
use gondola_events::place::Kind;
use gondola_events::table::{encode_exposures, encode_outcomes};
use gondola_events::unit::{EventId, UnitKey};
use gondola_experiments::settings::Settings;
use gondola_wire::evidence::Evidence;
use jiff::{SignedDuration, Timestamp};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{DAY, DAY_MILLISECONDS, Lines, START, experiment};

const UNITS: u64 = 20_000;

pub(super) fn check(lines: &mut Lines) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let settings = Settings::of(&experiment("replay", &json!({"units": 1000}))?)?;
    let rules = Rules::new(&settings, 1, START);
    let (exposures, outcomes) = events()?;
    let once = runtime.block_on(analyzed(&rules, &exposures, &outcomes))?;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut exposures_thrice: Vec<Exposure> = (0..3).flat_map(|_| exposures.clone()).collect();
    let mut outcomes_thrice: Vec<Outcome> = (0..3).flat_map(|_| outcomes.clone()).collect();
    exposures_thrice.shuffle(&mut random);
    outcomes_thrice.shuffle(&mut random);
    let thrice = runtime.block_on(analyzed(&rules, &exposures_thrice, &outcomes_thrice))?;
    lines.line(
        once.looks == thrice.looks && once.arms == thrice.arms,
        "events that come three times and shuffled give the same sums, to the last bit",
        format!(
            "{} looks of {} exposures and {} outcomes; {} duplicates were left out",
            once.looks.len(),
            exposures.len(),
            outcomes.len(),
            thrice.health.duplicate_exposures + thrice.health.duplicate_outcomes
        ),
    );
    Ok(())
}

fn events() -> anyhow::Result<(Vec<Exposure>, Vec<Outcome>)> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let key = UnitKey::new(b"0123456789abcdef")?;
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for number in 0..UNITS {
        let unit = key.hash(&format!("member-{number}"));
        let first = START + SignedDuration::from_millis(random.random_range(0..5 * DAY_MILLISECONDS));
        for request in 0..random.random_range(1..4) {
            let request = format!("{number}-{request}");
            exposures.push(exposure(
                unit,
                number,
                first + SignedDuration::from_micros(random.random_range(0..1_000_000)),
                &request,
            ));
        }
        for _ in 0..random.random_range(0..3) {
            let time = first + SignedDuration::from_millis(random.random_range(0..2 * DAY_MILLISECONDS));
            outcomes.push(Outcome {
                time,
                received: time,
                id: EventId::of(&[&unit.0, &time.as_microsecond().to_le_bytes()]),
                unit,
                kind: "purchase".into(),
                value: random.random_range(0.0..90.0),
                item: None,
                request: None,
            });
        }
    }
    Ok((exposures, outcomes))
}

/// An exposure of the unit with a number; odd ones are treated.
pub(super) fn exposure(
    unit: gondola_events::unit::UnitHash,
    number: u64,
    time: Timestamp,
    request: &str,
) -> Exposure {
    Exposure {
        time,
        id: Exposure::id_of("replay", 1, unit, request),
        experiment: "replay".into(),
        epoch: 1,
        revision: "r".into(),
        arm: if number.is_multiple_of(2) { "rf" } else { "dlrm" }.into(),
        arm_bucket: 0,
        traffic_bucket: 0,
        unit,
        request: request.into(),
        fallback: false,
        latency: 1000,
        model: "sha256:00".into(),
        drawn: Vec::new(),
    }
}

async fn analyzed(rules: &Rules, exposures: &[Exposure], outcomes: &[Outcome]) -> anyhow::Result<Evidence> {
    let folder = tempfile::tempdir()?;
    let store = Store::new(Arc::new(InMemory::new()), object_store::path::Path::default());
    let kind = Kind::Exposures {
        experiment: "replay".into(),
        epoch: 1,
    };
    let put = async |kind: &Kind, first: Timestamp, number: usize, bytes: bytes::Bytes| {
        let place = format!("shop/home/{}", kind.file(first, "router", number as u64));
        store.objects().put(&store.path(&place), bytes.into()).await
    };
    for (number, rows) in exposures.chunks(7000).enumerate() {
        put(&kind, rows[0].time, number, encode_exposures(rows)?).await?;
    }
    for (number, rows) in outcomes.chunks(7000).enumerate() {
        put(&Kind::Outcomes, rows[0].time, number, encode_outcomes(rows)?).await?;
    }
    let mut analyzer = Analyzer::new(store, "shop/home".into(), folder.path().to_owned());
    Ok(analyzer.analyze(rules, START + 9 * DAY).await?)
}
