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
    let case: Value = serde_json::from_str(include_str!("assign-and-remap.json")).unwrap();
    let (input, expected) = (&case["input"], &case["expected"]);
    let config = &input["config"];
    let arm = |arm: &Value| Arm {
        name: arm["name"].as_str().unwrap().to_owned(),
        weight: arm["weight"].as_u64().unwrap() as u32,
    };
    let buckets = |count: &Value| Buckets::new(count.as_u64().unwrap() as u16);
    let arms: Vec<Arm> = config["arms"].as_array().unwrap().iter().map(arm).collect();
    let all = Assignment::new(config["salt"].as_str().unwrap(), &arms).unwrap();
    for (arm, count) in expected["armCounts"].as_array().unwrap().iter().enumerate() {
        assert_eq!(owned(&all.allocation, arm) as u64, count.as_u64().unwrap());
    }

    let first = all.clone().with_traffic(buckets(&config["trafficBuckets"]));
    let second = all.with_traffic(buckets(&input["secondTrafficBuckets"]));
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
}

#[test]
fn a_user_who_is_held_out_gets_the_control_and_is_not_enrolled() {
    let holdout = Holdout {
        salt: "shop/holdout".to_owned(),
        buckets: Buckets::ALL,
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
        let before = all.clone().with_traffic(Buckets::new(fewer)).assign(&unit);
        let after = all.with_traffic(Buckets::new(more)).assign(&unit);
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

type Ranges = BTreeMap<String, Vec<BucketRange>>;

fn named(weights: &[(&str, u32)]) -> BTreeMap<String, u32> {
    let owned = |(name, weight): &(&str, u32)| ((*name).to_owned(), *weight);
    weights.iter().map(owned).collect()
}

/// Who owns each bucket; fails where one is owned twice or never.
fn owners(buckets: &Ranges) -> Vec<&str> {
    let mut owners = vec![None; usize::from(BUCKETS)];
    for (name, ranges) in buckets {
        for bucket in ranges.iter().flat_map(|range| range.start..range.end) {
            let before = owners[usize::from(bucket)].replace(name.as_str());
            assert_eq!(before, None, "bucket {bucket} is owned twice");
        }
    }
    let owned = |owner: Option<_>| owner.expect("every bucket is owned");
    owners.into_iter().map(owned).collect()
}

/// How many buckets a name owns.
fn size(buckets: &Ranges, name: &str) -> usize {
    let ranges = buckets.get(name).into_iter().flatten();
    ranges.map(|range| usize::from(range.end - range.start)).sum()
}

fn moved(before: &Ranges, after: &Ranges) -> usize {
    let (before, after) = (owners(before), owners(after));
    before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one != other)
        .count()
}

#[test]
fn three_shares_that_turn_round_move_three_tenths_of_the_users() {
    let weights = [("a", 50), ("b", 30), ("c", 20)];
    let before = allocate(&Ranges::new(), &named(&weights)).unwrap();
    let after = allocate(&before, &named(&[("a", 20), ("b", 30), ("c", 50)])).unwrap();
    assert_eq!(moved(&before, &after), 3000);
    assert_eq!(after["b"], before["b"], "whose share stays keeps every user");
    assert_eq!(size(&after, "c"), 5000);
}

#[test]
fn a_name_that_is_gone_gives_up_everything_and_one_that_gets_nobody_owns_nothing() {
    let before = allocate(&Ranges::new(), &named(&[("a", 1), ("b", 1)])).unwrap();
    let after = allocate(&before, &named(&[("b", 1), ("c", 0), ("d", 1)])).unwrap();
    assert_eq!(after["d"], before["a"]);
    assert_eq!(after["b"], before["b"]);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["b", "c", "d"]);
    assert!(after["c"].is_empty());
}

#[test]
fn buckets_that_were_damaged_count_as_none() {
    let weights = named(&[("a", 3), ("b", 1)]);
    let fresh = allocate(&Ranges::new(), &weights).unwrap();
    let whole = |start, end| vec![BucketRange { start, end }];
    let damages = [
        [("a", whole(0, 9_999)), ("b", Vec::new())],
        [("a", whole(0, 6_000)), ("b", whole(5_999, 10_000))],
        [("a", whole(0, 5_000)), ("b", whole(5_000, 10_001))],
        [("a", whole(5_000, 0)), ("b", whole(0, 10_000))],
    ];
    for damaged in damages {
        let damaged = damaged.map(|(name, ranges)| (name.to_owned(), ranges)).into();
        assert_eq!(allocate(&damaged, &weights).unwrap(), fresh, "{damaged:?}");
    }
}

#[test]
fn shares_of_nobody_are_refused_by_name() {
    let refused = allocate(&Ranges::new(), &named(&[("a", 0)])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no arm of [\"a\"] has a weight above 0; give one of them a weight"
    );
}

#[test]
fn remembered_ranges_come_back_as_they_were_and_say_what_is_wrong_with_them() {
    let before = Allocation::new(&[3, 0, 4])
        .unwrap()
        .reallocate(&[2, 5, 2])
        .unwrap();
    assert_eq!(Allocation::from_ranges(&before.ranges()), Ok(before));
    let range = |arm, start, end| ArmRange { arm, start, end };
    let wrong = |ranges: &[ArmRange]| Allocation::from_ranges(ranges).unwrap_err().to_string();
    assert_eq!(
        wrong(&[range(0, 0, 7), range(1, 6, 9)]),
        "bucket 6 is owned twice"
    );
    assert_eq!(wrong(&[range(0, 0, 9_999)]), "bucket 9999 is owned by no arm");
    assert_eq!(
        wrong(&[range(2, 5, 5)]),
        "buckets 5 to 5 of arm 2 are no range within 0 to 10000"
    );
}

/// Weights of some of six names, of which somebody is served.
fn some_names() -> impl Strategy<Value = BTreeMap<String, u32>> {
    let names = prop::sample::select(vec!["a", "b", "c", "d", "e", "f"]);
    prop::collection::btree_map(names.prop_map(str::to_owned), 0_u32..1000, 1..6)
        .prop_filter("somebody is served", |weights| {
            weights.values().any(|weight| *weight > 0)
        })
}

proptest! {
    #[test]
    fn any_sequence_of_changes_moves_no_more_users_than_shares_shrink(
        steps in prop::collection::vec(some_names(), 1..6),
    ) {
        let mut before = allocate(&Ranges::new(), &steps[0]).unwrap();
        for weights in &steps {
            let after = allocate(&before, weights).unwrap();
            let afresh = allocate(&Ranges::new(), weights).unwrap();
            for name in weights.keys() {
                prop_assert_eq!(size(&after, name), size(&afresh, name), "shares know no past");
            }
            let shrunk: usize = before
                .keys()
                .map(|name| size(&before, name).saturating_sub(size(&after, name)))
                .sum();
            prop_assert_eq!(moved(&before, &after), shrunk);
            prop_assert_eq!(&allocate(&after, weights).unwrap(), &after, "the same weights move nobody");
            before = after;
        }
    }
}
