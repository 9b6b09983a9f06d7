use serde_json::json;

use super::*;
use crate::fixtures::{DAY, Daily, HOUR, START, World, evidence, spec};

const SAME: Daily = Daily {
    users: 2000,
    buyers: 200,
    clicks: 6000,
};

fn traffic(step: &Step) -> u16 {
    match &step.routing {
        Routing::Experiment(routes) => routes.traffic_buckets,
        Routing::Everybody(_) => 0,
    }
}

#[test]
fn nobody_takes_part_until_every_arm_answers() {
    let mut world = World::new(&spec());
    world.ready.remove("dlrm");
    let step = world.step(START, None);
    assert_eq!((step.ledger.phase, traffic(&step)), (Phase::Pending, 0));
    world.ready.insert("dlrm".to_owned());
    let step = world.step(START + HOUR, None);
    assert_eq!((step.ledger.phase, traffic(&step)), (Phase::Ramping, 100));
    assert_eq!(step.ledger.started_at, Some(START + HOUR));
}

#[test]
fn users_are_let_in_step_by_step() {
    let mut world = World::new(&spec());
    let seen: Vec<u16> = [1, 3, 24, 30, 52, 60]
        .map(|hours| {
            let from = START;
            traffic(&World::run(
                &mut world,
                from.max(START),
                START + HOUR * hours,
                [SAME, SAME],
            ))
        })
        .into();
    assert_eq!(seen, [100, 500, 500, 2000, 10_000, 10_000]);
    assert_eq!(world.ledger.unwrap().phase, Phase::Running);
}

#[test]
fn a_step_counts_only_when_every_router_has_it() {
    let mut world = World::new(&spec());
    world.routers_follow = false;
    let step = world.run(START, START + DAY, [SAME, SAME]);
    assert_eq!(traffic(&step), 100, "the first step stays");
    assert_eq!(step.ledger.stage_since, None);
    world.routers_follow = true;
    let step = world.run(START + DAY, START + DAY + HOUR * 2, [SAME, SAME]);
    assert_eq!(traffic(&step), 500);
}

#[test]
fn a_step_that_is_made_twice_comes_to_the_same_end() {
    let mut world = World::new(&spec());
    world.run(START, START + HOUR * 30, [SAME, SAME]);
    let mut seen = evidence(1, 1, [SAME, SAME]);
    seen.analysed_at = START + HOUR * 30;
    let first = world.step(START + HOUR * 30, Some(seen.clone()));
    let second = world.step(START + HOUR * 30, Some(seen));
    assert_eq!(first.ledger, second.ledger);
    assert_eq!(first.routing, second.routing);
}

#[test]
fn a_ledger_read_back_is_the_ledger() {
    let mut world = World::new(&spec());
    let step = world.run(START, START + DAY * 28, [SAME, SAME]);
    let text = serde_json::to_string(&step.ledger).unwrap();
    assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), step.ledger);
}

#[test]
fn a_dead_arm_is_rolled_back_after_its_grace() {
    let mut world = World::new(&spec());
    world.run(START, START + HOUR, [SAME, SAME]);
    world.ready.remove("dlrm");
    let at = START + HOUR + Duration::from_secs(10);
    assert_eq!(world.step(at, None).ledger.decision, None);
    let step = world.step(at + GRACE, None);
    assert_eq!(step.ledger.phase, Phase::RolledBack);
    assert!(
        step.ledger
            .decision
            .unwrap()
            .message
            .contains("no pod of arm dlrm")
    );
}

#[test]
fn a_rollback_stays_until_the_experiment_starts_anew() {
    let mut world = World::new(&spec());
    let worse = Daily { buyers: 120, ..SAME };
    world.run(START, START + DAY * 3, [SAME, worse]);
    assert_eq!(world.ledger.as_ref().unwrap().phase, Phase::RolledBack);
    let step = world.run(START + DAY * 3, START + DAY * 5, [SAME, SAME]);
    assert_eq!(
        step.ledger.phase,
        Phase::RolledBack,
        "better days don't bring it back"
    );
    world.experiment.restart_token = Some("2".parse().unwrap());
    let step = world.step(START + DAY * 6, None);
    assert_eq!((step.ledger.epoch, step.ledger.phase), (2, Phase::Ramping));
    let past = &step.ledger.history[0];
    assert_eq!((past.epoch, past.phase), (1, Phase::RolledBack));
    assert_eq!(past.reason.as_deref(), Some("SuccessHarm"));
    // Evidence of the first epoch is not taken for the second's.
    let step = world.step(START + DAY * 6 + HOUR, Some(evidence(1, 5, [SAME, worse])));
    assert!(step.assessment.is_none());
}

#[test]
fn another_name_is_another_experiment() {
    let mut world = World::new(&spec());
    world.run(START, START + DAY * 3, [SAME, SAME]);
    let mut other = spec();
    other["name"] = json!("again");
    world.experiment = crate::fixtures::experiment(&other);
    let step = world.step(START + DAY * 3, None);
    assert_eq!((step.ledger.epoch, step.ledger.stage), (1, 0));
    let Routing::Experiment(routes) = step.routing else {
        panic!()
    };
    assert_eq!(routes.salt, "shop/home/again");
}

#[test]
fn what_routers_are_told_has_a_revision_of_its_own() {
    let mut world = World::new(&spec());
    let first = world.step(START, None);
    let later = world.run(START, START + HOUR * 3, [SAME, SAME]);
    let revision = |step: &Step| match &step.routing {
        Routing::Experiment(routes) => routes.revision.clone(),
        Routing::Everybody(_) => panic!("it goes on"),
    };
    assert_ne!(revision(&first), revision(&later), "more take part");
    assert_eq!(revision(&world.step(START + HOUR * 3, None)), revision(&later));
}

#[test]
fn the_next_look_is_when_time_changes_something() {
    let mut world = World::new(&spec());
    let step = world.run(START, START + HOUR, [SAME, SAME]);
    let next = step.next.unwrap();
    assert!(next > START + HOUR && next <= START + HOUR * 2, "{next}");
}
