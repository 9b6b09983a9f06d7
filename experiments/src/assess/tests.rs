use crate::fixtures::{Daily, evidence, settings, spec};
use crate::statistics::guardrail::GuardrailVerdict;

use super::*;

const SAME: Daily = Daily {
    users: 2000,
    buyers: 200,
    clicks: 6000,
};

#[test]
fn equal_arms_show_nothing() {
    let assessment = assess(&settings(&spec()), &evidence(1, 9, [SAME, SAME]));
    let purchase = &assessment.success[0];
    assert!(!purchase.better && !purchase.worse);
    assert_eq!(purchase.latest.unwrap().lift, Some(0.0));
    assert_eq!(assessment.plan_fulfilled_at, None, "18,000 of 20,000 users");
    assert!(!assessment.sample_ratio.detected);
    assert_eq!(assessment.guardrails[0].verdict, GuardrailVerdict::NonInferior);
}

#[test]
fn the_plan_is_read_once_at_the_look_in_which_it_is_fulfilled() {
    let settings = settings(&spec());
    let better = Daily { buyers: 216, ..SAME };
    let at_ten = assess(&settings, &evidence(1, 10, [SAME, better]));
    let read = at_ten.success[0].final_read.unwrap();
    assert_eq!(
        at_ten.plan_fulfilled_at,
        Some(evidence(1, 10, [SAME, SAME]).analyzed_at)
    );
    let later = assess(&settings, &evidence(1, 20, [SAME, better]));
    assert_eq!(
        later.success[0].final_read.unwrap(),
        read,
        "more data don't change it"
    );
}

#[test]
fn an_unfinished_look_is_not_the_planned_one() {
    let mut seen = evidence(1, 10, [SAME, SAME]);
    seen.analyzed_at -= std::time::Duration::from_millis(1);
    let assessment = assess(&settings(&spec()), &seen);
    assert_eq!(assessment.plan_fulfilled_at, None);
}

#[test]
fn a_large_effect_is_seen_at_any_time() {
    let better = Daily { buyers: 300, ..SAME };
    let assessment = assess(&settings(&spec()), &evidence(1, 2, [SAME, better]));
    assert!(assessment.success[0].better);
    let worse = assess(&settings(&spec()), &evidence(1, 2, [better, SAME]));
    assert!(worse.success[0].worse);
}

#[test]
fn intervals_only_shrink() {
    let better = Daily { buyers: 210, ..SAME };
    let settings = settings(&spec());
    let mut before: Option<Interval> = None;
    for days in 1..=20 {
        let assessment = assess(&settings, &evidence(1, days, [SAME, better]));
        let now = assessment.success[0].interval.unwrap();
        if let Some(before) = before {
            assert!(now.lies_within(before));
        }
        before = Some(now);
    }
}

#[test]
fn a_few_users_say_nothing_however_different_they_are() {
    let tiny = |buyers| Daily {
        users: 60,
        buyers,
        clicks: 60,
    };
    let assessment = assess(&settings(&spec()), &evidence(1, 1, [tiny(0), tiny(60)]));
    assert!(!assessment.success[0].better);
    assert_eq!(assessment.success[0].p, 1.0);
}

#[test]
fn harm_to_a_guardrail_is_seen() {
    let fewer = Daily { clicks: 4000, ..SAME };
    let assessment = assess(&settings(&spec()), &evidence(1, 5, [SAME, fewer]));
    assert_eq!(assessment.guardrails[0].verdict, GuardrailVerdict::Harm);
}

#[test]
fn lost_users_are_a_mismatch() {
    let lost = Daily { users: 1900, ..SAME };
    let assessment = assess(&settings(&spec()), &evidence(1, 10, [SAME, lost]));
    assert!(
        assessment.sample_ratio.detected,
        "5 % of one arm within 20,000 users"
    );
}

/// An arm of one look: users, of them with an outcome, and what each of those has.
fn arm(n: u64, nonzero: u64, each: f64) -> Sums {
    let share = nonzero as f64 / n as f64;
    Sums {
        n,
        nonzero,
        mean_y: share * each,
        yy: n as f64 * share * (1.0 - share) * each * each,
        ..Sums::default()
    }
}

fn of_one_metric(spec: &serde_json::Value, arms: [Sums; 2]) -> Assessment {
    let mut seen = evidence(1, 1, [SAME, SAME]);
    seen.metrics = vec!["value".to_owned()];
    seen.looks[0].units = arms.map(|arm| arm.n).into();
    seen.looks[0].metrics = vec![arms.into()];
    assess(&settings(spec), &seen)
}

fn success_of(kind: &str) -> serde_json::Value {
    let mut spec = spec();
    spec["metrics"] = serde_json::json!({
        "success": [{"name": "value", "type": kind, "event": "purchase", "window": "1d"}],
    });
    spec
}

#[test]
fn an_arm_that_stops_converting_is_seen_on_the_first_day() {
    for kind in ["Conversion", "Count", "Sum"] {
        let control = arm(10_000, 500, 1.0);
        let assessment = of_one_metric(&success_of(kind), [control, arm(10_000, 0, 0.0)]);
        assert!(assessment.success[0].worse, "{kind}");
        assert!(assessment.success[0].p < 1e-6, "{kind}");
        // What makes nothing is never what the other is praised against.
        let assessment = of_one_metric(&success_of(kind), [arm(10_000, 0, 0.0), control]);
        let comparison = &assessment.success[0];
        assert!(!comparison.better && comparison.final_read.is_none(), "{kind}");
    }
}

#[test]
fn a_few_large_amounts_say_nothing() {
    // 160 buyers an arm are many users and few outcomes.
    let assessment = of_one_metric(&success_of("Sum"), [arm(5000, 160, 100.0), arm(5000, 160, 10.0)]);
    let comparison = &assessment.success[0];
    assert!(!comparison.worse && !comparison.better && comparison.p == 1.0);
    let (much, little) = (arm(8000, 240, 100.0), arm(8000, 240, 10.0));
    let assessment = of_one_metric(&success_of("Sum"), [much, little]);
    assert!(assessment.success[0].worse && assessment.success[0].interval.is_none());
    let assessment = of_one_metric(&success_of("Sum"), [little, much]);
    assert!(assessment.success[0].better);
    let assessment = of_one_metric(
        &success_of("Sum"),
        [arm(16_000, 480, 100.0), arm(16_000, 480, 10.0)],
    );
    assert!(assessment.success[0].worse && assessment.success[0].interval.is_some());
}

#[test]
fn losses_that_are_the_same_are_neither_better_nor_worse() {
    let mut spec = success_of("Sum");
    spec["metrics"]["success"][0]["minEffect"] = serde_json::json!("5%");
    let (loss, less) = (arm(50_000, 25_000, -20.0), arm(50_000, 25_000, -18.0));
    let same = of_one_metric(&spec, [loss, loss]);
    assert!(!same.success[0].better && !same.success[0].worse);
    let improved = of_one_metric(&spec, [loss, less]);
    assert!(improved.success[0].better && !improved.success[0].worse);
    let worsened = of_one_metric(&spec, [less, loss]);
    assert!(worsened.success[0].worse && !worsened.success[0].better);
    assert!(improved.success[0].latest.unwrap().lift.unwrap() > 0.0);
}

#[test]
fn users_are_compared_with_the_buckets_that_routers_share_them_by() {
    let mut spec = spec();
    spec["arms"] =
        serde_json::json!([{"variant": "rf", "weight": 1_000_000}, {"variant": "dlrm", "weight": 160}]);
    let mut seen = evidence(1, 1, [SAME, SAME]);
    seen.looks[0].units = [9_998_000, 2000].into();
    let ratio = assess(&settings(&spec), &seen).sample_ratio;
    assert!(!ratio.detected && ratio.p > 0.5, "{}", ratio.p);
}

#[test]
fn a_doubt_about_shares_goes_with_the_next_users() {
    let mut seen = evidence(1, 2, [SAME, SAME]);
    seen.looks[0].units = [50_600, 49_400].into();
    seen.looks[1].units = [500_000, 500_000].into();
    let ratio = assess(&settings(&spec()), &seen).sample_ratio;
    assert!(DETECT < ratio.p && ratio.p < 0.01, "{}", ratio.p);
    assert!(ratio.p_now > 0.01, "{}", ratio.p_now);
}
