//! The analyzer on a store: what it makes of events, however they come.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gondola_artifacts::Store;
use gondola_crds::experiment::Experiment;
use gondola_events::analysis::{Analyzer, Rules};
use gondola_events::event::{Drawn, Exposure, Outcome};
use gondola_events::place::Kind;
use gondola_events::table::{encode_exposures, encode_outcomes, read_drawn};
use gondola_events::unit::{EventId, UnitHash, UnitKey};
use gondola_experiments::settings::Settings;
use gondola_wire::evidence::{Evidence, Look};
use jiff::{SignedDuration, Timestamp};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// 2026-11-02.
const START: Timestamp = Timestamp::constant(1_793_577_600, 0);
const BASE: &str = "shop/home";

fn settings() -> Settings {
    let experiment: Experiment = serde_json::from_value(json!({
        "name": "dlrm-vs-rf",
        "control": "rf",
        "arms": [{"variant": "rf", "weight": 50}, {"variant": "dlrm", "weight": 50}],
        "metrics": {
            "success": [
                {"name": "purchase", "type": "Conversion", "event": "purchase", "window": "1d", "cuped": {"lookback": "7d"}},
                {"name": "revenue", "type": "Sum", "event": "purchase", "window": "1d", "cap": "100"},
            ],
            "guardrails": [{"name": "ctr", "type": "Ratio", "numerator": "click", "denominator": "view", "window": "1d", "margin": "5%"}],
        },
        "design": {"units": 1000},
        "store": {"url": "s3://events/shop"},
        "unitKey": {"secretRef": {"name": "unit-key"}},
    }))
    .unwrap();
    Settings::of(&experiment).unwrap()
}

fn rules() -> Rules {
    Rules::new(&settings(), 1, START)
}

fn at(time: SignedDuration) -> Timestamp {
    START + time
}

fn unit(name: &str) -> UnitHash {
    UnitKey::new(b"0123456789abcdef").unwrap().hash(name)
}

fn exposure(name: &str, arm: &str, time: SignedDuration, request: &str) -> Exposure {
    let unit = unit(name);
    Exposure {
        time: START + time,
        id: Exposure::id_of("dlrm-vs-rf", 1, unit, request),
        experiment: "dlrm-vs-rf".into(),
        epoch: 1,
        revision: "abc".into(),
        arm: arm.into(),
        arm_bucket: 1,
        traffic_bucket: 1,
        unit,
        request: request.into(),
        fallback: false,
        latency: 1000,
        model: "v1".into(),
        drawn: Vec::new(),
    }
}

fn outcome(name: &str, kind: &str, time: SignedDuration, value: f64) -> Outcome {
    let unit = unit(name);
    Outcome {
        time: START + time,
        received: START + time,
        id: EventId::of(&[&unit.0, kind.as_bytes(), &time.as_nanos().to_le_bytes()]),
        unit,
        kind: kind.into(),
        value,
        item: None,
        request: None,
    }
}

/// A store with events in it, and an analyzer that works in a folder of its own.
struct World {
    objects: Arc<InMemory>,
    folder: tempfile::TempDir,
    files: u64,
}

impl World {
    fn new() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            folder: tempfile::tempdir().unwrap(),
            files: 0,
        }
    }

    fn analyzer(&self) -> Analyzer {
        let objects: Arc<dyn ObjectStore> = Arc::clone(&self.objects) as _;
        let store = Store::new(objects, Path::default());
        Analyzer::new(store, BASE.to_owned(), self.folder.path().to_owned())
    }

    async fn put(&mut self, kind: &Kind, first: Timestamp, bytes: Bytes) -> String {
        self.files += 1;
        let place = format!("{BASE}/{}", kind.file(first, "router-1", self.files));
        self.objects
            .put(&Path::from(place.clone()), bytes.into())
            .await
            .unwrap();
        place
    }

    async fn exposures(&mut self, rows: &[Exposure]) {
        let kind = Kind::Exposures {
            experiment: "dlrm-vs-rf".into(),
            epoch: 1,
        };
        for rows in rows.chunks(5000) {
            self.put(&kind, rows[0].time, encode_exposures(rows).unwrap())
                .await;
        }
    }

    async fn outcomes(&mut self, rows: &[Outcome]) {
        for rows in rows.chunks(5000) {
            self.put(&Kind::Outcomes, rows[0].time, encode_outcomes(rows).unwrap())
                .await;
        }
    }

    async fn analyze(&self, now: SignedDuration) -> Evidence {
        self.analyzer().analyze(&rules(), at(now)).await.unwrap()
    }
}

/// What of an evidence must not depend on how events came.
fn sums(mut evidence: Evidence) -> Evidence {
    evidence.health = gondola_wire::evidence::Health {
        crossover_units: evidence.health.crossover_units,
        exposures: evidence.health.exposures,
        outcomes: evidence.health.outcomes,
        ..Default::default()
    };
    evidence
}

#[tokio::test]
async fn a_unit_counts_when_its_window_is_over_and_with_what_happened_in_it() {
    let mut world = World::new();
    world
        .exposures(&[
            exposure("alice", "rf", HOUR, "1"),
            exposure("alice", "rf", 2 * HOUR, "2"),
            exposure("bob", "dlrm", HOUR, "3"),
        ])
        .await;
    world
        .outcomes(&[
            // Before the first exposure: behavior before.
            outcome("alice", "purchase", SignedDuration::ZERO, 5.0),
            outcome("alice", "purchase", 3 * HOUR, 70.0),
            outcome("alice", "purchase", 4 * HOUR, 70.0),
            // After the window.
            outcome("alice", "purchase", 26 * HOUR, 9.0),
            outcome("bob", "view", 2 * HOUR, 1.0),
            outcome("bob", "view", 2 * HOUR + MICROSECOND, 1.0),
            outcome("bob", "click", 2 * HOUR, 1.0),
            outcome("carol", "purchase", 2 * HOUR, 1.0),
            outcome("carol", "other", 2 * HOUR, 1.0),
        ])
        .await;
    let early = world.analyze(25 * HOUR + HOUR / 2).await;
    assert_eq!((early.arms[0].units, early.arms[1].units), (1, 1));
    assert!(
        early.looks.iter().all(|look| look.metrics[0][0].n == 0),
        "a window and an hour are not over"
    );
    let evidence = world.analyze(26 * HOUR + MICROSECOND).await;
    let look = evidence.looks.iter().find(|look| look.number == 1).unwrap();
    let [purchase, revenue, ctr] = &look.metrics[..] else {
        panic!()
    };
    assert_eq!(
        (purchase[0].n, purchase[0].mean_y, purchase[0].mean_x),
        (1, 1.0, 1.0)
    );
    assert_eq!(
        (revenue[0].n, revenue[0].mean_y),
        (1, 100.0),
        "140 is more than the cap"
    );
    assert_eq!((purchase[1].n, purchase[1].mean_y), (1, 0.0));
    assert_eq!((ctr[1].mean_y, ctr[1].mean_m), (1.0, 2.0));
    let health = &evidence.health;
    assert_eq!(
        (health.outcomes_of_unknown_units, health.outcomes_of_other_types),
        (1, 1)
    );
    assert_eq!(evidence.arms[0].exposures, 2);
}

#[tokio::test]
async fn a_unit_in_two_arms_counts_in_neither() {
    let mut world = World::new();
    world
        .exposures(&[
            exposure("alice", "rf", HOUR, "1"),
            exposure("alice", "dlrm", 2 * HOUR, "2"),
            exposure("bob", "dlrm", HOUR, "3"),
            exposure("eve", "gbt", HOUR, "4"),
        ])
        .await;
    let evidence = world.analyze(40 * HOUR).await;
    assert_eq!(evidence.health.crossover_units, 1);
    assert_eq!(evidence.health.exposures_of_other_arms, 1);
    assert_eq!((evidence.arms[0].units, evidence.arms[1].units), (0, 1));
}

#[tokio::test]
async fn clocks_that_jump_are_counted_and_harm_nobody() {
    let mut world = World::new();
    world
        .exposures(&[
            exposure("alice", "rf", HOUR, "1"),
            exposure("past", "rf", -10 * DAY, "2"),
            exposure("future", "rf", 300 * DAY, "3"),
        ])
        .await;
    let mut late = outcome("alice", "purchase", 2 * HOUR, 1.0);
    late.received += 5 * HOUR;
    let mut nan = outcome("alice", "purchase", 3 * HOUR, f64::NAN);
    nan.received = nan.time;
    world.outcomes(&[late, nan]).await;
    let evidence = world.analyze(40 * HOUR).await;
    assert_eq!(evidence.arms[0].units, 1);
    let health = &evidence.health;
    assert_eq!((health.misdated, health.late, health.unusable_values), (2, 1, 1));
    assert_eq!(
        evidence
            .looks
            .iter()
            .map(|look| look.metrics[0][0].mean_y)
            .sum::<f64>(),
        0.0
    );
}

#[tokio::test]
async fn files_of_a_long_outage_are_read_as_well() {
    let mut world = World::new();
    world.exposures(&[exposure("alice", "rf", HOUR, "1")]).await;
    let mut analyzer = world.analyzer();
    let evidence = analyzer.analyze(&rules(), at(9 * DAY)).await.unwrap();
    assert_eq!(evidence.arms[1].units, 0);
    // A router could not reach the store for a week.
    world.exposures(&[exposure("bob", "dlrm", 2 * DAY, "2")]).await;
    let evidence = analyzer.analyze(&rules(), at(9 * DAY + HOUR)).await.unwrap();
    assert_eq!(evidence.arms[1].units, 1);
}

#[tokio::test]
async fn what_is_reported_in_whole_seconds_follows_the_exposure_of_that_second() {
    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    let mut world = World::new();
    let first = HOUR + 700_000 * MICROSECOND;
    world.exposures(&[exposure("alice", "rf", first, "1")]).await;
    world
        .outcomes(&[
            outcome("alice", "purchase", HOUR, 10.0),
            outcome("alice", "purchase", HOUR + 200_000 * MICROSECOND, 20.0),
            outcome("alice", "purchase", HOUR - SECOND, 30.0),
        ])
        .await;
    let evidence = world.analyze(9 * DAY).await;
    let revenue = |look: &Look| look.metrics[1][0];
    let total: f64 = evidence.looks.iter().map(|look| revenue(look).mean_y).sum();
    assert_eq!(total, 10.0, "what was told to the microsecond came before");
}

#[tokio::test]
async fn a_cap_bounds_what_a_unit_has_and_not_what_a_ratio_divides_by() {
    let mut settings = settings();
    settings.guardrails[0].metric.cap = Some(3.0);
    let rules = Rules::new(&settings, 1, START);
    let mut world = World::new();
    world.exposures(&[exposure("alice", "rf", HOUR, "1")]).await;
    let each = |kind: &'static str, count: i32| {
        (1..=count).map(move |number| outcome("alice", kind, HOUR + number * MICROSECOND, 1.0))
    };
    let outcomes: Vec<Outcome> = each("click", 5).chain(each("view", 20)).collect();
    world.outcomes(&outcomes).await;
    let evidence = world.analyzer().analyze(&rules, at(9 * DAY)).await.unwrap();
    let ratio = evidence.looks.iter().map(|look| look.metrics[2][0]);
    let seen: Vec<(f64, f64)> = ratio
        .filter(|sums| sums.n > 0)
        .map(|sums| (sums.mean_y, sums.mean_m))
        .collect();
    assert_eq!(seen, [(3.0, 20.0)]);
}

#[tokio::test]
async fn every_outcome_that_is_left_out_is_counted() {
    let mut world = World::new();
    world
        .exposures(&[
            exposure("alice", "rf", 10 * HOUR, "1"),
            exposure("torn", "rf", 10 * HOUR, "2"),
            exposure("torn", "dlrm", 11 * HOUR, "3"),
        ])
        .await;
    world
        .outcomes(&[
            outcome("alice", "click", 9 * HOUR, 1.0),
            outcome("alice", "purchase", 12 * HOUR, 1.0),
            outcome("alice", "purchase", 8 * DAY, 1.0),
            outcome("torn", "purchase", 12 * HOUR, 1.0),
            outcome("nobody", "purchase", HOUR, 1.0),
            outcome("alice", "wave", 12 * HOUR, 1.0),
        ])
        .await;
    let health = world.analyze(9 * DAY).await.health;
    assert_eq!(health.outcomes_before_exposure, 1);
    assert_eq!(health.outcomes_after_window, 1);
    assert_eq!(health.outcomes_of_crossover_units, 1);
    assert_eq!(
        health.outcomes_of_unknown_units, 1,
        "forgotten by now, and counted"
    );
    assert_eq!(health.outcomes_of_other_types, 1);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_taken_once_it_is_whole() {
    let mut world = World::new();
    let kind = Kind::Exposures {
        experiment: "dlrm-vs-rf".into(),
        epoch: 1,
    };
    let whole = encode_exposures(&[exposure("alice", "rf", HOUR, "1")]).unwrap();
    let place = world
        .put(&kind, START + HOUR, whole.slice(..whole.len() / 2))
        .await;
    world.exposures(&[exposure("bob", "dlrm", HOUR, "2")]).await;
    let evidence = world.analyze(2 * HOUR).await;
    assert_eq!(evidence.health.damaged_files, std::slice::from_ref(&place));
    assert_eq!(evidence.arms[1].units, 1, "other files are read");
    world.objects.put(&Path::from(place), whole.into()).await.unwrap();
    let evidence = world.analyze(3 * HOUR).await;
    assert!(evidence.health.damaged_files.is_empty());
    assert_eq!(evidence.arms[0].units, 1);
}

/// A length of time between so many days, to the microsecond.
fn within(random: &mut ChaCha8Rng, first: i64, last: i64) -> SignedDuration {
    const DAY_MICROSECONDS: i64 = 86_400_000_000;
    SignedDuration::from_micros(random.random_range(first * DAY_MICROSECONDS..last * DAY_MICROSECONDS))
}

/// So many units with exposures and outcomes, drawn at random.
fn drawn(units: usize, seed: u64) -> (Vec<Exposure>, Vec<Outcome>) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut exposures, mut outcomes) = (Vec::new(), Vec::new());
    for number in 0..units {
        let name = format!("unit-{number}");
        let arm = if number % 2 == 0 { "rf" } else { "dlrm" };
        let first = within(&mut random, 0, 5);
        for request in 0..random.random_range(1..4) {
            let time = first + within(&mut random, 0, 1);
            exposures.push(exposure(&name, arm, time, &format!("{number}-{request}")));
        }
        for _ in 0..random.random_range(0..4) {
            let kind = ["purchase", "click", "view"][random.random_range(0..3)];
            let time = first + within(&mut random, -1, 2);
            outcomes.push(outcome(&name, kind, time, random.random_range(0.0..200.0)));
        }
    }
    (exposures, outcomes)
}

#[tokio::test]
async fn events_that_are_replayed_and_shuffled_come_to_the_same_sums() {
    let (exposures, outcomes) = drawn(2000, 1);
    let mut once = World::new();
    once.exposures(&exposures).await;
    once.outcomes(&outcomes).await;
    let wanted = once.analyze(9 * DAY).await;
    let mut again = World::new();
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let mut thrice: Vec<Exposure> = (0..3).flat_map(|_| exposures.clone()).collect();
    let mut outcomes_thrice: Vec<Outcome> = (0..3).flat_map(|_| outcomes.clone()).collect();
    thrice.shuffle(&mut random);
    outcomes_thrice.shuffle(&mut random);
    again.outcomes(&outcomes_thrice).await;
    again.exposures(&thrice).await;
    let found = again.analyze(9 * DAY).await;
    assert_eq!(found.health.duplicate_exposures, 2 * exposures.len() as u64);
    assert_eq!(found.health.duplicate_outcomes, 2 * outcomes.len() as u64);
    assert_eq!(sums(found), sums(wanted), "to the last bit");
}

#[tokio::test]
async fn analyses_that_are_broken_off_and_made_again_come_to_the_same_evidence() {
    let (mut exposures, mut outcomes) = drawn(1500, 3);
    exposures.sort_by_key(|row| row.time);
    outcomes.sort_by_key(|row| row.time);
    let mut whole = World::new();
    whole.exposures(&exposures).await;
    whole.outcomes(&outcomes).await;
    let wanted = whole.analyze(9 * DAY).await;

    let mut pieces = World::new();
    for hour in (0..9 * 24).step_by(6) {
        let within = |time: Timestamp| {
            let since = time.duration_since(START) - hour * HOUR;
            (SignedDuration::ZERO..6 * HOUR).contains(&since) || (hour == 0 && since.is_negative())
        };
        let new: Vec<Exposure> = exposures.iter().filter(|row| within(row.time)).cloned().collect();
        let happened: Vec<Outcome> = outcomes.iter().filter(|row| within(row.time)).cloned().collect();
        if !new.is_empty() {
            pieces.exposures(&new).await;
        }
        if !happened.is_empty() {
            pieces.outcomes(&happened).await;
        }
        match hour % 18 {
            // Broken off in the middle: what was begun lies about, and what was known is as it was.
            0 => {
                let begun = pieces.folder.path().join("state-dlrm-vs-rf-1.new");
                std::fs::write(begun, b"half").unwrap();
            }
            // On another node: the folder is gone, and the store has what was known.
            6 => {
                for entry in std::fs::read_dir(pieces.folder.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_file() {
                        std::fs::remove_file(path).unwrap();
                    }
                }
            }
            _ => {}
        }
        pieces.analyze((hour + 6) * HOUR).await;
    }
    let found = pieces.analyze(9 * DAY).await;
    let (found, wanted) = (sums(found), sums(wanted));
    assert_eq!(found.looks, wanted.looks);
    assert_eq!(found.arms, wanted.arms);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However events are cut into files.
    #[test]
    fn files_may_be_cut_anywhere(cuts in prop::collection::vec(1_usize..200, 1..20), seed in 0_u64..1000) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (exposures, outcomes) = drawn(100, seed);
            let mut whole = World::new();
            whole.exposures(&exposures).await;
            whole.outcomes(&outcomes).await;
            let mut cut = World::new();
            let mut left = &exposures[..];
            for size in cuts {
                let (now, rest) = left.split_at(size.min(left.len()));
                if !now.is_empty() {
                    cut.exposures(now).await;
                }
                left = rest;
            }
            if !left.is_empty() {
                cut.exposures(left).await;
            }
            cut.outcomes(&outcomes).await;
            assert_eq!(sums(cut.analyze(9 * DAY).await), sums(whole.analyze(9 * DAY).await));
        });
    }
}

#[test]
fn types_of_all_metrics_are_told_apart() {
    let rules = rules();
    let places: BTreeMap<&str, Option<u8>> = ["purchase", "click", "view", "other"]
        .map(|name| (name, rules.kind(name)))
        .into();
    assert_eq!(places["other"], None);
    assert_ne!(places["click"], places["view"]);
}

/// On one thread: were units merged on it, nothing else would happen for most of the time.
#[tokio::test]
async fn others_go_on_while_units_are_merged() {
    let mut world = World::new();
    let shown: Vec<Exposure> = (0..40_000)
        .map(|number| exposure(&format!("unit-{number}"), "rf", HOUR, &number.to_string()))
        .collect();
    world.exposures(&shown).await;
    let started = Instant::now();
    let longest = Cell::new(Duration::ZERO);
    let others = async {
        loop {
            let last = Instant::now();
            tokio::task::yield_now().await;
            longest.set(longest.get().max(last.elapsed()));
        }
    };
    tokio::select! {
        evidence = world.analyze(2 * HOUR) => assert_eq!(evidence.arms[0].units, 40_000),
        () = others => unreachable!("others go on for ever"),
    }
    let longest = longest.get();
    assert!(
        longest < started.elapsed() / 2,
        "nothing else happened for {longest:?} of {:?}",
        started.elapsed()
    );
}

/// Every byte of a file with items and chances, each damaged in three ways: what can still be read is read, and everything else an error.
#[test]
fn no_damaged_byte_of_drawn_items_is_a_panic() {
    let drawn = |item: &str| Drawn {
        item: item.into(),
        chance: 0.25,
    };
    let mut shown = exposure("alice", "rf", HOUR, "r-1");
    shown.drawn = vec![drawn("milk"), drawn("bread")];
    let whole = encode_exposures(&[shown, exposure("bob", "dlrm", HOUR, "r-2")]).unwrap();
    let (mut read, mut refused) = (0, 0);
    for (place, damage) in (0..whole.len()).flat_map(|place| [0x01, 0x80, 0xff].map(|damage| (place, damage)))
    {
        let mut damaged = whole.to_vec();
        damaged[place] ^= damage;
        match read_drawn(damaged.into(), |row| assert!(row.drawn.len() <= 100)) {
            Ok(()) => read += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(read > 100 && refused > 100, "{read} were read, {refused} refused");
}
