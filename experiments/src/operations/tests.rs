use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::fixtures::{settings, spec};

fn traffic(requests: u64, errors: u64) -> ArmCounts {
    ArmCounts {
        requests,
        errors,
        ..ArmCounts::default()
    }
}

#[test]
fn an_arm_with_a_tenth_of_errors_ends_within_two_ticks() {
    let settings = settings(&spec());
    let mut operations = Operations::new(&settings.arms);
    observe(
        &mut operations,
        &[traffic(100, 0), traffic(100, 10)].into(),
        &settings.operations,
    );
    assert_eq!(
        alarm(&operations, &settings.operations),
        None,
        "one tick may be chance"
    );
    observe(
        &mut operations,
        &[traffic(100, 0), traffic(100, 10)].into(),
        &settings.operations,
    );
    assert_eq!(
        alarm(&operations, &settings.operations),
        Some(Alarm {
            arm: Treatment::FIRST,
            kind: None
        })
    );
    observe(
        &mut operations,
        &[traffic(100, 0), traffic(100, 0)].into(),
        &settings.operations,
    );
    assert!(
        alarm(&operations, &settings.operations).is_some(),
        "it is not forgotten"
    );
}

#[test]
fn a_few_requests_say_nothing() {
    let settings = settings(&spec());
    let mut operations = Operations::new(&settings.arms);
    for _ in 0..50 {
        observe(
            &mut operations,
            &[traffic(49, 0), traffic(49, 40)].into(),
            &settings.operations,
        );
    }
    assert!(operations.broken.is_empty());
}

#[test]
fn slow_answers_are_weighed_against_the_control() {
    let settings = settings(&spec());
    let mut operations = Operations::new(&settings.arms);
    let slow = |slow| ArmCounts {
        requests: 1000,
        slow,
        ..ArmCounts::default()
    };
    for tick in 1..=40 {
        observe(
            &mut operations,
            &[slow(10 + tick % 3), slow(40)].into(),
            &settings.operations,
        );
    }
    assert_eq!(
        alarm(&operations, &settings.operations),
        Some(Alarm {
            arm: Treatment::FIRST,
            kind: Some(Kind::Slow)
        })
    );
}

/// Nominal 1 %, of four kinds of which one has events; clumped ones as well, of which a plain test would alarm half the time.
#[test]
fn equal_arms_rarely_alarm_even_where_errors_come_in_clumps() {
    let settings = settings(&spec());
    for clump in [1, 5] {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut alarms = 0;
        let runs = 400;
        for _ in 0..runs {
            let mut operations = Operations::new(&settings.arms);
            for _ in 0..120 {
                let mut arm = || {
                    let clumps = (0..20)
                        .filter(|_| random.random_bool(0.1 / f64::from(clump)))
                        .count();
                    traffic(2000, clumps as u64 * clump as u64)
                };
                let tick = [arm(), arm()].into();
                observe(&mut operations, &tick, &settings.operations);
            }
            alarms += usize::from(alarm(&operations, &settings.operations).is_some());
        }
        // 1 % and three standard errors of 400 runs are 2.5 %; clumps cost a little more.
        assert!(alarms <= 14, "{alarms} of {runs} at clumps of {clump}");
    }
}
