use gondola_crds::experiment_status::Phase;
use gondola_wire::counts::ArmCounts;
use gondola_wire::decision::{Reason, Verdict};
use gondola_wire::operations::Operations;
use serde_json::json;

use crate::fixtures::{DAY, Daily, START, World, evidence, spec};
use crate::operations::observe;
use crate::step::Routing;

const SAME: Daily = Daily {
    users: 2000,
    buyers: 200,
    clicks: 6000,
};
const BETTER: Daily = Daily { buyers: 240, ..SAME };
const WORSE: Daily = Daily { buyers: 140, ..SAME };

#[track_caller]
fn check(world: &mut World, days: u32, arms: [Daily; 2], verdict: Verdict, reason: Reason) {
    let step = world.run(START, START + DAY * days, arms);
    let decision = step.ledger.decision.expect("something was decided");
    assert_eq!(
        (decision.verdict, decision.reason),
        (verdict, reason),
        "{}",
        decision.message
    );
}

#[test]
fn a_better_arm_is_ready_for_promotion_and_nothing_is_changed() {
    let mut world = World::new(&spec());
    let step = world.run(START, START + DAY * 6, [SAME, BETTER]);
    assert!(step.assessment.unwrap().success[0].better);
    assert_eq!(step.ledger.decision, None, "a week is not over");
    let mut world = World::new(&spec());
    check(
        &mut world,
        8,
        [SAME, BETTER],
        Verdict::PromotionReady,
        Reason::Better,
    );
    let ledger = world.ledger.unwrap();
    assert_eq!(ledger.phase, Phase::Running);
    assert_eq!(ledger.winner, None);
}

#[test]
fn a_better_arm_gets_everybody_where_that_is_asked_for() {
    let mut spec = spec();
    spec["promotion"] = json!("Automatic");
    let mut world = World::new(&spec);
    check(&mut world, 8, [SAME, BETTER], Verdict::Promoted, Reason::Better);
    assert_eq!(world.ledger.as_ref().unwrap().winner.as_deref(), Some("dlrm"));
    // Data that turn later change nothing any more.
    let step = world.step(START + DAY * 20, Some(evidence(1, 20, [SAME, WORSE])));
    assert_eq!(step.routing, Routing::Everybody("dlrm".to_owned()));
    world.only_weighted_variant = Some("dlrm");
    let step = world.step(START + DAY * 21, None);
    assert_eq!(step.ledger.phase, Phase::Completed);
}

#[test]
fn a_worse_arm_is_rolled_back_before_the_week_is_over() {
    let mut world = World::new(&spec());
    check(
        &mut world,
        3,
        [SAME, WORSE],
        Verdict::RolledBack,
        Reason::SuccessHarm,
    );
    let step = world.step(START + DAY * 4, None);
    assert_eq!(step.routing, Routing::Everybody("rf".to_owned()));
}

#[test]
fn harm_to_a_guardrail_outweighs_success() {
    let harm = Daily {
        clicks: 4000,
        ..BETTER
    };
    check(
        &mut World::new(&spec()),
        8,
        [SAME, harm],
        Verdict::RolledBack,
        Reason::GuardrailHarm,
    );
}

#[test]
fn nothing_is_believed_where_users_are_not_split_as_planned() {
    let lost = Daily { users: 1800, ..WORSE };
    let mut world = World::new(&spec());
    check(
        &mut world,
        9,
        [SAME, lost],
        Verdict::Invalid,
        Reason::SampleRatioMismatch,
    );
    let frozen = world.ledger.clone().unwrap();
    let step = world.run(START + DAY * 9, START + DAY * 27, [SAME, lost]);
    assert_eq!(step.ledger.stage, frozen.stage, "the ramp is frozen");
    assert_eq!(step.ledger.phase, Phase::Invalid);
}

#[test]
fn errors_end_an_arm_even_where_users_are_not_split_as_planned() {
    let lost = Daily { users: 1800, ..SAME };
    let mut world = World::new(&spec());
    world.run(START, START + DAY * 9, [SAME, lost]);
    let mut seen = evidence(1, 9, [SAME, lost]);
    let bad = ArmCounts {
        requests: 100,
        errors: 20,
        ..ArmCounts::default()
    };
    let good = ArmCounts {
        requests: 100,
        ..ArmCounts::default()
    };
    let settings = crate::fixtures::settings(&spec());
    seen.operations = Operations::new(&settings.arms);
    for _ in 0..2 {
        observe(&mut seen.operations, &[good, bad].into(), &settings.operations);
    }
    let step = world.step(START + DAY * 9, Some(seen));
    assert_eq!(step.ledger.decision.unwrap().reason, Reason::OperationsHarm);
}

#[test]
fn old_data_decide_nothing() {
    let mut world = World::new(&spec());
    world.run(START, START + DAY * 6, [SAME, BETTER]);
    // The analyzer stands still.
    let step = world.step(START + DAY * 9, Some(evidence(1, 8, [SAME, BETTER])));
    assert_eq!(step.fresh, Some(false));
    assert_eq!(step.ledger.decision, None);
}

#[test]
fn a_fulfilled_plan_without_a_winner_is_a_result() {
    let slightly = Daily { buyers: 202, ..SAME };
    check(
        &mut World::new(&spec()),
        11,
        [SAME, slightly],
        Verdict::Equivalent,
        Reason::PlanFulfilled,
    );
    let mut spec = spec();
    spec["design"]
        .as_object_mut()
        .unwrap()
        .remove("equivalenceMargin");
    check(
        &mut World::new(&spec),
        11,
        [SAME, slightly],
        Verdict::Inconclusive,
        Reason::PlanFulfilled,
    );
}

#[test]
fn time_ends_what_data_do_not() {
    let few = Daily {
        users: 200,
        buyers: 20,
        clicks: 600,
    };
    check(
        &mut World::new(&spec()),
        28,
        [few, few],
        Verdict::Inconclusive,
        Reason::TimeOver,
    );
}

#[test]
fn an_arm_that_has_won_waits_for_its_person_as_long_as_it_takes() {
    let mut world = World::new(&spec());
    world.run(START, START + DAY * 8, [SAME, BETTER]);
    // The longest time is over, and the analyzer is late.
    for (day, seen) in [(29, None), (30, Some(evidence(1, 20, [SAME, BETTER])))] {
        let step = world.step(START + DAY * day, seen);
        assert_eq!(step.ledger.decision.unwrap().verdict, Verdict::PromotionReady);
        assert_eq!(step.ledger.phase, Phase::Running);
    }
    // Harm still counts.
    let step = world.run(
        START + DAY * 31,
        START + DAY * 40,
        [
            SAME,
            Daily {
                clicks: 4000,
                ..WORSE
            },
        ],
    );
    assert_eq!(step.ledger.phase, Phase::RolledBack);
}

#[test]
fn time_shows_equivalence_also_without_the_planned_users() {
    let mut spec = spec();
    spec["design"]["units"] = json!(1_000_000);
    check(
        &mut World::new(&spec),
        28,
        [SAME, SAME],
        Verdict::Equivalent,
        Reason::TimeOver,
    );
}

#[test]
fn what_kept_a_better_arm_from_winning_is_said() {
    let hardly = Daily {
        users: 400,
        buyers: 40,
        clicks: 1200,
    };
    let unsure = Daily {
        buyers: 80,
        clicks: 1150,
        ..hardly
    };
    let mut world = World::new(&spec());
    let step = world.run(START, START + DAY * 28, [hardly, unsure]);
    let decision = step.ledger.decision.unwrap();
    assert_eq!(decision.verdict, Verdict::Inconclusive);
    assert!(
        decision
            .message
            .contains("arm dlrm is better in purchase, but not known to keep clicks within its margin of 5%"),
        "{}",
        decision.message
    );
}

#[test]
fn evidence_from_the_future_is_not_fresh() {
    let mut world = World::new(&spec());
    world.run(START, START + DAY * 6, [SAME, BETTER]);
    let mut seen = evidence(1, 8, [SAME, BETTER]);
    seen.analyzed_at = START + DAY * 19;
    let step = world.step(START + DAY * 8, Some(seen));
    assert_eq!((step.fresh, step.ledger.decision), (Some(false), None));
}
