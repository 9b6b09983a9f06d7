use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn arms(weights: &[u32]) -> Vec<Arm> {
    weights
        .iter()
        .enumerate()
        .map(|(arm, weight)| Arm {
            name: format!("arm-{arm}"),
            weight: *weight,
        })
        .collect()
}

fn owned(allocation: &Allocation, arm: usize) -> usize {
    (0..BUCKETS)
        .filter(|bucket| allocation.arm(*bucket) == arm)
        .count()
}

fn expect(assignment: &Assignment, unit: &str, expected: &Value) {
    let assigned = assignment.assign(unit);
    let found = serde_json::json!({
        "arm": assignment.arms()[assigned.arm],
        "enrolled": assigned.enrolled(),
        "reason": assigned.reason.as_str(),
    });
    for field in ["arm", "enrolled", "reason"] {
        assert_eq!(found[field], expected[field], "{field} of unit {unit:?}");
    }
    let number = |field: &str| expected[field].as_u64().map(|bucket| bucket as u16);
    assert_eq!(assigned.traffic_bucket, number("trafficBucket"), "unit {unit:?}");
    assert_eq!(assigned.arm_bucket, number("armBucket"), "unit {unit:?}");
}

#[test]
fn the_worked_case_comes_out_as_written() {
    let case: Value =
        serde_json::from_str(include_str!("../../../tests/fixtures/assign-and-remap.json")).unwrap();
    let (input, expected) = (&case["input"], &case["expected"]);
    let config = &input["config"];
    let arm = |arm: &Value| Arm {
        name: arm["name"].as_str().unwrap().to_owned(),
        weight: arm["weight"].as_u64().unwrap() as u32,
    };
    let arms: Vec<Arm> = config["arms"].as_array().unwrap().iter().map(arm).collect();
    let all = Assignment::new(config["salt"].as_str().unwrap(), &arms).unwrap();
    for (arm, count) in expected["armCounts"].as_array().unwrap().iter().enumerate() {
        assert_eq!(owned(&all.allocation, arm) as u64, count.as_u64().unwrap());
    }

    let first = all
        .clone()
        .with_traffic(config["trafficBuckets"].as_u64().unwrap() as u16)
        .unwrap();
    let second = all
        .with_traffic(input["secondTrafficBuckets"].as_u64().unwrap() as u16)
        .unwrap();
    let units = input["units"].as_array().unwrap();
    for (assignment, expected) in [(first, &expected["first"]), (second, &expected["second"])] {
        for (unit, expected) in units.iter().zip(expected.as_array().unwrap()) {
            expect(&assignment, unit.as_str().unwrap(), expected);
        }
    }

    let weights =
        |index: usize| -> Vec<u32> { serde_json::from_value(input["remap"][index].clone()).unwrap() };
    let before = Allocation::new(&weights(0)).unwrap();
    let after = before.reallocate(&weights(1)).unwrap();
    let moved = (0..BUCKETS)
        .filter(|bucket| before.arm(*bucket) != after.arm(*bucket))
        .count();
    assert_eq!(moved as u64, expected["moved"].as_u64().unwrap());
    let names = input["remapArms"].as_array().unwrap();
    let ranges: Vec<Value> = after
        .ranges()
        .iter()
        .map(|range| serde_json::json!([range.start, range.end, names[range.arm]]))
        .collect();
    assert_eq!(&Value::Array(ranges), &expected["ranges"]);
}

#[test]
fn configurations_that_decide_nothing_are_refused() {
    let refused = |result: Result<Assignment, AssignmentError>, message: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(message), "{error:?} does not say {message:?}");
    };
    refused(
        Assignment::new("shop/feed", &arms(&[0, 0])),
        "[\"arm-0\", \"arm-1\"] has a weight above 0",
    );
    refused(Assignment::new("shop/feed", &[]), "weight above 0");
    refused(Assignment::new("a|b", &arms(&[1])), "\"a|b\" is not 1 to 128");
    refused(Assignment::new("", &arms(&[1])), "\"\" is not 1 to 128");
    refused(Assignment::new("s", &arms(&[1; 300])), "there are 300 arms");
    refused(
        Assignment::new("s", &arms(&[1])).unwrap().with_traffic(10_001),
        "give 0 to 10000",
    );
}

#[test]
fn a_user_who_is_held_out_gets_the_control_and_is_not_enrolled() {
    let holdout = Holdout {
        salt: "shop/holdout".to_owned(),
        buckets: BUCKETS,
    };
    let assignment = Assignment::new("shop/feed", &arms(&[0, 1]))
        .unwrap()
        .with_holdout(holdout)
        .unwrap();
    let assigned = assignment.assign("alice");
    assert_eq!(
        (assigned.arm, assigned.reason, assigned.enrolled()),
        (0, Reason::Holdout, false)
    );
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0_u32..1000, 1..6)
        .prop_filter("somebody is served", |weights| weights.iter().any(|w| *w > 0))
}

proptest! {
    #[test]
    fn shares_differ_from_weights_by_less_than_a_bucket(weights in weights()) {
        let allocation = Allocation::new(&weights).unwrap();
        let total: u32 = weights.iter().sum();
        for (arm, weight) in weights.iter().enumerate() {
            let exact = f64::from(*weight) * f64::from(BUCKETS) / f64::from(total);
            prop_assert!((owned(&allocation, arm) as f64 - exact).abs() < 1.0);
        }
    }

    #[test]
    fn letting_more_users_in_moves_nobody(unit in ".{1,40}", fewer in 0..=BUCKETS, more in 0..=BUCKETS) {
        let all = Assignment::new("shop/feed", &arms(&[2, 5, 3])).unwrap();
        let (fewer, more) = (fewer.min(more), fewer.max(more));
        let before = all.clone().with_traffic(fewer).unwrap().assign(&unit);
        let after = all.with_traffic(more).unwrap().assign(&unit);
        prop_assert!(!before.enrolled() || before == after);
    }

    #[test]
    fn reallocation_moves_as_few_buckets_as_can_be((from, to) in (1_usize..6).prop_flat_map(|arms| {
        let weights = prop::collection::vec(1_u32..1000, arms);
        (weights.clone(), weights)
    })) {
        let before = Allocation::new(&from).unwrap();
        let after = before.reallocate(&to).unwrap();
        let target = Allocation::new(&to).unwrap();
        let sizes = |allocation: &Allocation| (0..from.len()).map(|arm| owned(allocation, arm)).collect::<Vec<_>>();
        let (had, wanted) = (sizes(&before), sizes(&target));
        prop_assert_eq!(&sizes(&after), &wanted);
        let moved: Vec<u16> = (0..BUCKETS).filter(|bucket| before.arm(*bucket) != after.arm(*bucket)).collect();
        let surplus: usize = had.iter().zip(&wanted).map(|(had, wanted)| had.saturating_sub(*wanted)).sum();
        prop_assert_eq!(moved.len(), surplus);
        for bucket in moved {
            let (giver, taker) = (before.arm(bucket), after.arm(bucket));
            prop_assert!(had[giver] > wanted[giver] && had[taker] < wanted[taker]);
        }
    }

    #[test]
    fn there_and_back_gives_the_same_shares(from in weights()) {
        let before = Allocation::new(&from).unwrap();
        prop_assert_eq!(&before.reallocate(&from).unwrap(), &before);
    }
}
