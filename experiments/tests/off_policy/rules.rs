//! Units, what is refused, and where there is no number.

use gondola_experiments::off_policy::{
    Modelled, OffPolicyError, Round, Rules, Shortfall, Verdict, estimates, preview,
};
use gondola_experiments::statistics::Interval;

const ROUND: Round = Round {
    unit: 0,
    reward: 1.0,
    propensity: 0.5,
    chance: 0.25,
    modelled: None,
};

/// So many units with a round each: every other one has a reward.
fn many(units: u64) -> Vec<Round> {
    let round = |unit| Round {
        unit,
        reward: (unit % 2) as f64,
        chance: 0.5,
        ..ROUND
    };
    (0..units).map(round).collect()
}

#[track_caller]
fn check_refused(change: impl Fn(&mut Round), message: &str) {
    let mut rounds = many(3);
    change(&mut rounds[1]);
    let refused = estimates(&rounds, &Rules::default()).unwrap_err().to_string();
    assert_eq!(refused, message);
}

#[test]
fn a_round_that_can_not_be_is_named_with_the_way_out() {
    let propensity = "give the chance with which it was chosen, above 0 and at most 1";
    check_refused(
        |round| round.propensity = 0.0,
        &format!("round 1 has the propensity 0; {propensity}"),
    );
    check_refused(
        |round| round.propensity = 1.5,
        &format!("round 1 has the propensity 1.5; {propensity}"),
    );
    check_refused(
        |round| round.propensity = f64::NAN,
        &format!("round 1 has the propensity NaN; {propensity}"),
    );
    check_refused(
        |round| round.chance = -0.5,
        "round 1 has a chance of -0.5 under the new policy; give one from 0 to 1",
    );
    check_refused(
        |round| round.chance = f64::NAN,
        "round 1 has a chance of NaN under the new policy; give one from 0 to 1",
    );
    check_refused(
        |round| round.reward = f64::INFINITY,
        "round 1 has a reward of inf; give a finite number, or leave the round out",
    );
    check_refused(
        |round| round.propensity = 1e-310,
        "round 1 has a weight of inf; give a finite number, or leave the round out",
    );
    check_refused(
        |round| {
            round.modelled = Some(Modelled {
                shown: 0.0,
                expected: 0.0,
            });
        },
        "round 1 is the first that differs in having modelled rewards; give them for all rounds or for none",
    );
}

#[test]
fn nothing_and_rules_that_can_not_be_followed_are_refused() {
    assert_eq!(
        preview(&[], &Rules::default()).unwrap_err(),
        OffPolicyError::NoRounds
    );
    for max_weight in [0.0, -1.0, f64::NAN] {
        let rules = Rules {
            max_weight,
            ..Rules::default()
        };
        let refused = estimates(&many(3), &rules).unwrap_err().to_string();
        assert!(refused.contains("give a number above 0"), "{refused}");
    }
    let rules = Rules {
        confidence: 95.0,
        ..Rules::default()
    };
    let refused = estimates(&many(3), &rules).unwrap_err().to_string();
    assert!(refused.contains("such as 0.95"), "{refused}");
}

#[test]
fn the_same_policy_has_the_logged_value_and_no_gain() {
    let found = preview(&many(400), &Rules::default()).unwrap();
    let Verdict::Estimated(made) = &found.verdict else {
        panic!("{found:?}")
    };
    assert_eq!(found.logged.value, 0.5);
    for estimate in [made.ips, made.snips] {
        assert_eq!((estimate.value.value, estimate.gain.value), (0.5, 0.0));
        assert_eq!(estimate.gain.interval, Interval::around(0.0, 0.0));
    }
    assert_eq!((made.direct, made.doubly_robust), (None, None));
}

/// A unit that is logged four times in the same way is one unit: the interval is as wide as that of one round each.
#[test]
fn rounds_of_one_unit_are_not_independent() {
    let once = many(400);
    let four_times: Vec<Round> = once.iter().flat_map(|round| [*round; 4]).collect();
    let of = |rounds: &[Round]| estimates(rounds, &Rules::default()).unwrap().ips.value;
    let (alone, repeated) = (of(&once), of(&four_times));
    assert!((alone.standard_error - repeated.standard_error).abs() < 1e-12);
    let overlap = preview(&four_times, &Rules::default()).unwrap().overlap;
    assert_eq!(
        (overlap.effective_rounds, overlap.effective_units),
        (1600.0, 400.0)
    );
}

#[test]
fn one_unit_says_nothing_of_others() {
    let of_one = estimates(&[ROUND; 9], &Rules::default()).unwrap();
    assert_eq!(of_one.ips.value.interval, Interval::EVERYTHING);
    assert_eq!(of_one.ips.value.value, 0.5);
}

#[track_caller]
fn check_shortfall(rounds: &[Round], wanted: impl Fn(&Shortfall) -> bool) {
    let found = preview(rounds, &Rules::default()).unwrap();
    match &found.verdict {
        Verdict::NotEnoughOverlap(shortfall) => assert!(wanted(shortfall), "{shortfall:?}"),
        Verdict::Estimated(made) => panic!("{made:?} of {:?}", found.overlap),
    }
}

#[test]
fn there_is_no_number_where_the_log_can_not_speak_for_the_policy() {
    // The new policy makes each of the choices half as often as it would if it made no others.
    let mut uncovered = many(400);
    uncovered.iter_mut().for_each(|round| round.chance = 0.25);
    check_shortfall(&uncovered, |found| matches!(found, Shortfall::Uncovered { .. }));
    // One choice in a hundred carries all the weight.
    let mut few = many(400);
    for (place, round) in few.iter_mut().enumerate() {
        (round.propensity, round.chance) = if place % 100 == 0 {
            (0.01, 1.0)
        } else {
            (0.99, 0.0)
        };
    }
    check_shortfall(
        &few,
        |found| matches!(found, Shortfall::Units { effective, .. } if *effective == 4.0),
    );
    let mut without_outcome = many(400);
    for (place, round) in without_outcome.iter_mut().enumerate() {
        round.reward = if place < 20 { 1.0 } else { 0.0 };
    }
    check_shortfall(
        &without_outcome,
        |found| matches!(found, Shortfall::Outcomes { effective, .. } if *effective == 20.0),
    );
}

#[test]
fn weights_that_are_cut_count_as_chance_that_is_lost() {
    let mut rounds = many(1000);
    for (place, round) in rounds.iter_mut().enumerate() {
        (round.propensity, round.chance) = if place % 10 == 0 { (0.1, 0.9) } else { (0.9, 0.1) };
    }
    let rules = Rules {
        max_weight: 3.0,
        ..Rules::default()
    };
    let found = preview(&rounds, &rules).unwrap();
    assert_eq!((found.overlap.cut, found.overlap.largest_weight), (0.1, 9.0));
    assert!((found.overlap.mean_weight - 0.4).abs() < 1e-12);
    assert!(matches!(
        found.verdict,
        Verdict::NotEnoughOverlap(Shortfall::Uncovered { .. })
    ));
}

#[test]
fn shortfalls_say_what_is_wanted() {
    let said = Shortfall::Units {
        effective: 2.08,
        least: 100.0,
    };
    assert_eq!(
        said.to_string(),
        "the weighted units are worth 2.1, and must be worth 100; log for longer, or at a higher temperature"
    );
}
