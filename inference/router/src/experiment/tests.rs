use gondola_wire::buckets::Buckets;
use gondola_wire::routes::ArmRoute;
use proptest::prelude::*;

use super::*;
use gondola_request::{Answer, Recommendation};

fn routes(traffic_buckets: u16, weights: &[u32]) -> ExperimentRoutes {
    let arm = |(place, weight): (usize, &u32)| ArmRoute {
        variant: format!("arm-{place}"),
        weight: *weight,
    };
    ExperimentRoutes {
        name: "which".into(),
        epoch: 1,
        revision: "r".into(),
        salt: "shop/home/which".into(),
        unit_header: None,
        holdout: None,
        traffic_buckets: Buckets::new(traffic_buckets),
        arms: weights.iter().enumerate().map(arm).collect(),
        slow_milliseconds: 300,
    }
}

fn enrolment(traffic_buckets: u16, weights: &[u32]) -> Enrolment {
    let recording = Arc::new(Recording::new("1".into(), Err(Silence::Unasked)));
    Enrolment::new(&routes(traffic_buckets, weights), recording).unwrap()
}

proptest! {
    /// Letting more users in moves nobody who takes part.
    #[test]
    fn who_takes_part_stays_in_their_arm(
        unit in "[a-z0-9]{1,20}",
        fewer in 0_u16..=10_000,
        more in 0_u16..=10_000,
        weights in prop::collection::vec(1_u32..100, 2..5),
    ) {
        let (fewer, more) = (fewer.min(more), fewer.max(more));
        let before = enrolment(fewer, &weights).enrol(&unit, &Visit::default()).assigned;
        let after = enrolment(more, &weights).enrol(&unit, &Visit::default()).assigned;
        if before.enrolled() {
            prop_assert_eq!(before, after);
        }
    }
}

#[test]
fn an_id_that_is_too_long_to_be_one_is_nobodys() {
    let enrolment = enrolment(10_000, &[1, 1]);
    let long = "a".repeat(MAX_UNIT_BYTES + 1);
    assert_eq!(enrolment.unit(&long, &Visit::default()), "");
    assert_eq!(enrolment.unit("alice", &Visit::default()), "alice");
    let reason = enrolment.enrol("", &Visit::default()).assigned.reason;
    assert_eq!(reason, Reason::NoUnit);
}

#[test]
fn counts_go_on_when_more_take_part_and_begin_anew_with_an_epoch() {
    let recording = Arc::new(Recording::new("1".into(), Err(Silence::Unasked)));
    let error: Result<Served, ServiceError> = Err(ServiceError::Loading);
    let note = |routes: &ExperimentRoutes| {
        let enrolment = Enrolment::new(routes, Arc::clone(&recording)).unwrap();
        let ticket = enrolment.enrol("alice", &Visit::default());
        enrolment.note(ticket, "alice", None, &error);
        let report = enrolment.report();
        report.arms.iter().map(|arm| arm.counts.errors).sum::<u64>()
    };
    assert_eq!(note(&routes(9999, &[1, 1])), 1);
    let mut more = routes(10_000, &[1, 1]);
    assert_eq!(note(&more), 2);
    more.epoch = 2;
    assert_eq!(note(&more), 1);
}

fn answer(degraded: Vec<Degradation>) -> Result<Served, ServiceError> {
    let item = Recommendation {
        item: "42".into(),
        score: 0.5,
        chance: None,
    };
    Ok(Served {
        variant: "arm-1".into(),
        reason: None,
        bundles: Arc::default(),
        answer: Answer {
            items: vec![item],
            degraded,
            ..Answer::default()
        },
    })
}

#[test]
fn an_order_that_the_arms_models_did_not_make_is_a_fallback() {
    let enrolment = enrolment(10_000, &[1]);
    let fallbacks = |degraded: Vec<Degradation>| {
        let before = enrolment.report().arms[0].counts.fallbacks;
        let ticket = enrolment.enrol("alice", &Visit::default());
        enrolment.note(ticket, "alice", None, &answer(degraded));
        enrolment.report().arms[0].counts.fallbacks - before
    };
    assert_eq!(fallbacks(vec![]), 0);
    assert_eq!(fallbacks(vec![Degradation::UnknownUser]), 0);
    assert_eq!(fallbacks(vec![Degradation::Scoring]), 1);
    assert_eq!(
        fallbacks(vec![Degradation::UnknownUser, Degradation::Deadline]),
        1
    );
    assert_eq!(
        fallbacks(vec![Degradation::Retrieval, Degradation::FallbackToControl]),
        1
    );
}

#[test]
fn a_client_that_did_not_wait_for_a_slow_answer_counts_as_one() {
    let recording = Arc::new(Recording::new("1".into(), Err(Silence::Unasked)));
    let gone = |slow_milliseconds: u64, traffic_buckets: u16| {
        let routes = ExperimentRoutes {
            name: format!("{slow_milliseconds}-{traffic_buckets}"),
            slow_milliseconds,
            ..routes(traffic_buckets, &[1])
        };
        let enrolment = Enrolment::new(&routes, Arc::clone(&recording)).unwrap();
        drop(enrolment.enrol("alice", &Visit::default()));
        let report = enrolment.report();
        (report.arms[0].counts.requests, report.arms[0].counts.slow)
    };
    assert_eq!(gone(0, 10_000), (1, 1));
    assert_eq!(gone(60_000, 10_000), (0, 0), "nothing was slow yet");
    assert_eq!(gone(0, 0), (0, 0), "who takes no part is not counted");
}

#[test]
fn what_was_drawn_is_written_down_with_its_chances_and_nothing_of_an_order_that_was_not() {
    let item = |number: usize, chance| Recommendation {
        item: number.to_string().into(),
        score: 0.5,
        chance,
    };
    let listed: Vec<Recommendation> = (0..200).map(|number| item(number, Some(0.25))).collect();
    let written = drawn(&listed);
    assert_eq!(written.len(), MAX_DRAWN);
    assert_eq!((&*written[99].item, written[99].chance), ("99", 0.25));
    assert_eq!(drawn(&[item(0, None), item(1, None)]), Vec::new());
}
