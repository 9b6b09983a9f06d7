use serde_json::{Value, json};

use super::*;
use crate::fixtures::{experiment, settings, spec};

#[track_caller]
fn check(pointer: &str, value: Value, message: &str) {
    let mut spec = spec();
    *spec.pointer_mut(pointer).unwrap() = value;
    let error = Settings::of(&experiment(&spec)).unwrap_err().to_string();
    assert!(error.contains(message), "{error:?} does not say {message:?}");
}

#[test]
fn what_is_left_out_is_as_in_production() {
    let settings = settings(&spec());
    let stages: Vec<_> = settings
        .stages
        .iter()
        .map(|stage| (stage.buckets.count(), stage.hold.as_secs() / 3600))
        .collect();
    assert_eq!(stages, [(100, 1), (500, 24), (2000, 24), (10_000, 0)]);
    assert!((settings.alpha_sequence - 0.01).abs() < 1e-12);
    assert!((settings.alpha_final - 0.04).abs() < 1e-12);
    assert_eq!(
        settings.tuned_at(),
        20_000.0,
        "half of the planned users of both arms"
    );
    assert_eq!(settings.arm_names(), ["rf", "dlrm"], "the control comes first");
}

#[test]
fn the_control_comes_first_wherever_it_stands() {
    let mut spec = spec();
    spec["control"] = json!("dlrm");
    assert_eq!(settings(&spec).arm_names(), ["dlrm", "rf"]);
}

#[test]
fn a_plan_is_computed_from_what_is_known() {
    let mut spec = spec();
    spec["design"] = json!({"minDetectableLift": "5%", "baseline": "0.03"});
    let planned = |method: &str| {
        let mut spec = spec.clone();
        spec["design"]["method"] = json!(method);
        settings(&spec).planned_units
    };
    assert_eq!(planned("Fixed"), 207_936);
    // A fifth of alpha is spent on looking at any time.
    let (hybrid, sequential) = (planned("Hybrid"), planned("Sequential"));
    assert!((1.0..1.1).contains(&(hybrid as f64 / 207_936.0)), "{hybrid}");
    assert!(
        (1.4..2.0).contains(&(sequential as f64 / 207_936.0)),
        "{sequential}"
    );
}

#[test]
fn whole_weeks_are_used_where_there_are_days() {
    for (given, seconds) in [("30s", 30), ("1d", 604_800), ("7d", 604_800), ("8d", 1_209_600)] {
        let mut spec = spec();
        spec["design"]["minDuration"] = json!(given);
        assert_eq!(settings(&spec).min_duration.as_secs(), seconds, "{given}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_way_out() {
    check("/control", json!("gbt"), "control \"gbt\" is none of the arms");
    check(
        "/design",
        json!({"minDetectableLift": "0%", "baseline": "0.03"}),
        "a lift of nothing",
    );
    check(
        "/design",
        json!({"minDetectableLift": "5%", "baseline": "0.99"}),
        "between 0 and 1",
    );
    check(
        "/metrics/guardrails/0/name",
        json!("purchase"),
        "two metrics are called \"purchase\"",
    );
    let mut down = spec();
    down["traffic"] = json!({"ramp": [{"percent": "20%", "hold": "1h"}, {"percent": "5%", "hold": "1h"}]});
    let error = Settings::of(&experiment(&down)).unwrap_err().to_string();
    assert!(error.contains("5% after 20%"), "{error}");
    let mut nobody = spec();
    nobody["traffic"] = json!({"percent": "0%"});
    assert!(Settings::of(&experiment(&nobody)).is_err());
    let mut revenue = spec();
    revenue["metrics"]["success"][0]["type"] = json!("Sum");
    revenue["design"] = json!({"minDetectableLift": "5%", "baseline": "12"});
    let error = Settings::of(&experiment(&revenue)).unwrap_err().to_string();
    assert!(error.contains("deviation is missing"), "{error}");
}

#[test]
fn what_can_never_be_decided_is_refused() {
    check(
        "/arms",
        json!([{"variant": "rf", "weight": 1_000_000}, {"variant": "dlrm", "weight": 30}]),
        "arm \"dlrm\" has a weight of 30 among 1000030, which is none of the 10,000 buckets that users fall into; give it 101 or more",
    );
    check(
        "/design",
        json!({"units": 1000, "alpha": "0.5"}),
        "design.alpha is 0.5; give less than 0.5",
    );
    check(
        "/metrics/success",
        json!([{"name": "rate", "type": "Ratio", "numerator": "click", "denominator": "view", "window": "1d", "cuped": {"lookback": "7d"}}]),
        "metric \"rate\" is a Ratio with cuped",
    );
    let mut spec = spec();
    spec["arms"] = json!([{"variant": "rf", "weight": 1_000_000}, {"variant": "dlrm", "weight": 101}]);
    let owned = settings(&spec).arms.map(|arm| arm.buckets.count());
    assert_eq!(owned.iter().copied().collect::<Vec<_>>(), [9999, 1]);
}
