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
        Some(evidence(1, 10, [SAME, SAME]).analysed_at)
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
    seen.analysed_at = seen.analysed_at + std::time::Duration::ZERO;
    seen.analysed_at.0 -= 1;
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
