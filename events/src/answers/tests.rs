use gondola_crds::experiment::MetricKind;
use gondola_experiments::settings::MetricSettings;
use std::time::Duration;

use super::*;
use crate::event::{Drawn, Exposure, Outcome};
use crate::table::{encode_exposures, encode_outcomes};

const BEGIN: i64 = 1_793_577_600;
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millisecond(BEGIN * 1000 + seconds * 1000 + 5).unwrap()
}

fn unit(number: u8) -> UnitHash {
    UnitHash([number; 16])
}

fn answer(of: u8, seconds: i64, request: &str, items: &[&str]) -> Exposure {
    let drawn = |item: &&str| Drawn {
        item: (*item).into(),
        chance: 0.25,
    };
    Exposure {
        time: at(seconds),
        id: Exposure::id_of("which", 1, unit(of), request),
        experiment: "which".into(),
        epoch: 1,
        revision: "r".into(),
        arm: "control".into(),
        arm_bucket: 1,
        traffic_bucket: 1,
        unit: unit(of),
        request: request.into(),
        fallback: false,
        latency: 1,
        model: "v1".into(),
        drawn: items.iter().map(drawn).collect(),
    }
}

fn outcome(of: u8, seconds: i64, value: f64, item: Option<&str>, request: Option<&str>) -> Outcome {
    let id = format!("{of}-{seconds}-{value}-{item:?}-{request:?}");
    Outcome {
        time: at(seconds),
        received: at(seconds),
        id: EventId::of(&[id.as_bytes()]),
        unit: unit(of),
        kind: "purchase".into(),
        value,
        item: item.map(Arc::from),
        request: request.map(Arc::from),
    }
}

fn log(answers: &[Exposure], outcomes: &[Outcome]) -> Log {
    let mut log = Log::default();
    // Twice: it counts once.
    for _ in 0..2 {
        log.take_exposures(encode_exposures(answers).unwrap(), None)
            .unwrap();
    }
    for _ in 0..2 {
        log.take_outcomes(encode_outcomes(outcomes).unwrap(), &["purchase".into()])
            .unwrap();
    }
    log
}

fn metric(kind: MetricKind, cap: Option<f64>) -> MetricSettings {
    MetricSettings {
        name: "purchase".into(),
        kind,
        outcome: "purchase".into(),
        below: None,
        window: HOUR,
        lookback: None,
        cap,
    }
}

/// What became of the first unit's answers, long after.
fn followed(log: &Log, kind: MetricKind, cap: Option<f64>) -> Followed {
    let (_, first) = log.units().next().unwrap();
    first.followed(&metric(kind, cap), at(100_000), HOUR)
}

#[test]
fn an_outcome_counts_at_the_place_of_its_item_in_the_answer_that_it_followed() {
    let answers = [
        answer(1, 0, "first", &["a", "b", "c"]),
        answer(1, 60, "second", &["b", "d"]),
    ];
    let outcomes = [
        // The last answer that shows it.
        outcome(1, 90, 2.0, Some("b"), None),
        outcome(1, 91, 3.0, Some("a"), None),
        // By its own word.
        outcome(1, 92, 5.0, Some("b"), Some("first")),
        // Of the whole list.
        outcome(1, 93, 7.0, None, None),
    ];
    let found = followed(&log(&answers, &outcomes), MetricKind::Sum, None);
    assert_eq!(found.rewards, [(0, vec![3.0, 5.0, 0.0]), (1, vec![2.0, 7.0])]);
    assert_eq!((found.not_shown, found.without_answer, found.young), (0, 0, 0));
}

#[test]
fn what_follows_no_answer_or_was_not_shown_is_left_out_and_counted() {
    let answers = [answer(1, 0, "first", &["a", "b"])];
    let outcomes = [
        outcome(1, 10, 1.0, Some("elsewhere"), None),
        outcome(1, 11, 1.0, Some("elsewhere"), Some("first")),
        outcome(1, 12, 1.0, None, Some("another")),
        outcome(1, -5, 1.0, None, None),
        outcome(1, 3600, 1.0, Some("a"), None),
        outcome(2, 10, 1.0, None, None),
    ];
    let found = followed(&log(&answers, &outcomes), MetricKind::Count, None);
    assert_eq!(found.rewards, [(0, vec![0.0, 0.0])]);
    assert_eq!((found.not_shown, found.without_answer), (2, 3));
}

#[test]
fn a_conversion_is_one_at_the_first_place_that_has_it_and_a_cap_bounds_the_list() {
    let answers = [answer(1, 0, "first", &["a", "b", "c"])];
    let outcomes = [
        outcome(1, 10, 4.0, Some("c"), None),
        outcome(1, 11, 4.0, Some("b"), None),
        outcome(1, 12, 4.5, Some("b"), None),
    ];
    let log = log(&answers, &outcomes);
    let rewards = |kind, cap| followed(&log, kind, cap).rewards.remove(0).1;
    assert_eq!(rewards(MetricKind::Conversion, None), [0.0, 1.0, 0.0]);
    assert_eq!(rewards(MetricKind::Count, None), [0.0, 2.0, 1.0]);
    assert_eq!(rewards(MetricKind::Sum, Some(10.0)), [0.0, 8.5, 1.5]);
}

#[test]
fn an_answer_waits_until_its_window_is_over_and_outcomes_can_have_come() {
    let log = log(
        &[answer(1, 0, "first", &["a"]), answer(1, 60, "second", &["a"])],
        &[],
    );
    let (_, first) = log.units().next().unwrap();
    let of = |now| first.followed(&metric(MetricKind::Count, None), at(now), HOUR);
    assert_eq!((of(7199).rewards.len(), of(7199).young), (0, 2));
    assert_eq!((of(7200).rewards.len(), of(7200).young), (1, 1));
}

#[test]
fn answers_that_were_not_drawn_and_other_arms_are_no_part_of_it() {
    let mut log = Log::default();
    let file = encode_exposures(&[answer(1, 0, "drawn", &["a"]), answer(2, 0, "not", &[])]).unwrap();
    log.take_exposures(file.clone(), None).unwrap();
    assert_eq!((log.drawn, log.not_drawn, log.units().len()), (1, 1, 1));
    let mut other = Log::default();
    other.take_exposures(file, Some("treatment")).unwrap();
    assert_eq!((other.drawn, other.not_drawn), (0, 0));
}
