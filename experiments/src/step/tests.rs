use gondola_wire::memory::Ending;
use serde_json::json;

use super::*;
use crate::fixtures::{DAY, Daily, HOUR, START, World, evidence, spec};
use crate::report;

const SAME: Daily = Daily {
    users: 2000,
    buyers: 200,
    clicks: 6000,
};

fn traffic(step: &Step) -> u16 {
    match &step.routing {
        Routing::Experiment(routes) => routes.traffic_buckets.count(),
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
    seen.analyzed_at = START + HOUR * 30;
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

/// How an experiment of another life of the pipeline ended.
fn rolled_back(token: Option<&str>) -> Memory {
    let mut world = World::new(&spec());
    world.run(START, START + HOUR, [SAME, SAME]);
    world.ready.remove("dlrm");
    let at = START + HOUR + Duration::from_secs(10);
    world.step(at, None);
    let step = world.step(at + GRACE, None);
    assert_eq!(step.ledger.phase, Phase::RolledBack);
    let mut ledger = step.ledger;
    ledger.restart_token = token.map(|token| token.to_owned().try_into().unwrap());
    Memory {
        ending: Ending::of(&ledger),
        last_epoch: Some(ledger.epoch),
        experiment: ledger.experiment,
    }
}

#[test]
fn people_are_told_the_end_once_the_store_has_kept_it() {
    let mut world = World::new(&spec());
    let settings = Settings::of(&world.experiment).unwrap();
    world.run(START, START + HOUR, [SAME, SAME]);
    world.ready.remove("dlrm");
    let at = START + HOUR + Duration::from_secs(10);
    world.step(at, None);
    let step = world.step(at + GRACE, None);
    let now = report::status(&settings, &step, None);
    assert_eq!((now.phase, traffic(&step)), (Phase::Ramping, 0));
    assert_eq!(now.decision.as_ref().unwrap().verdict, "RolledBack");
    // The status alone is enough to go on from, and to know what is to be kept.
    let ledger = epoch::from_status(&now, world.experiment.restart_token.clone());
    assert_eq!(ledger.phase, Phase::RolledBack);
    world.memory = Some(Memory {
        ending: Ending::of(&ledger),
        ..Memory::nothing("dlrm-vs-rf")
    });
    let step = world.step(at + GRACE, None);
    assert_eq!(report::status(&settings, &step, None).phase, Phase::RolledBack);
    // The end of another epoch is not this one's.
    if let Some(ending) = world.memory.as_mut().and_then(|memory| memory.ending.as_mut()) {
        ending.epoch = 7;
    }
    let step = world.step(at + GRACE, None);
    assert_eq!(report::status(&settings, &step, None).phase, Phase::Ramping);
}

#[test]
fn another_life_of_an_experiment_that_never_ended_is_another_epoch() {
    let mut world = World::new(&spec());
    world.memory = Some(Memory {
        last_epoch: Some(3),
        ..Memory::nothing("dlrm-vs-rf")
    });
    let step = world.step(START, None);
    assert_eq!((step.ledger.phase, step.ledger.epoch), (Phase::Ramping, 4));
    // Once it goes on, what the store says of itself changes nothing.
    world.memory = Some(Memory {
        last_epoch: Some(4),
        ..Memory::nothing("dlrm-vs-rf")
    });
    assert_eq!(world.step(START + HOUR, None).ledger.epoch, 4);
}

#[test]
fn it_begins_only_after_somebody_looked_how_it_ended_before() {
    let mut world = World::new(&spec());
    world.memory = None;
    let step = world.step(START, None);
    assert_eq!(
        (step.ledger.phase, step.waits_for),
        (Phase::Pending, Some(WaitsFor::Memory))
    );
    world.memory = Some(Memory::nothing("another"));
    assert_eq!(world.step(START, None).waits_for, Some(WaitsFor::Memory));
    world.memory = Some(Memory::nothing("dlrm-vs-rf"));
    assert_eq!(world.step(START, None).ledger.phase, Phase::Ramping);
}

#[test]
fn what_was_rolled_back_stays_so_in_another_life_of_the_pipeline() {
    let mut world = World::new(&spec());
    world.memory = Some(rolled_back(None));
    let step = world.step(START + DAY, None);
    assert_eq!((step.ledger.phase, traffic(&step)), (Phase::RolledBack, 0));
    assert!(step.ledger.decision.is_some());
    // Another token is the way on, and its events don't mix with the earlier ones.
    let mut again = World::new(&spec());
    again.memory = Some(rolled_back(Some("an-earlier-token")));
    let step = again.step(START + DAY, None);
    assert_eq!((step.ledger.phase, step.ledger.epoch), (Phase::Ramping, 2));
    assert_eq!(step.ledger.history[0].phase, Phase::RolledBack);
}

fn bundles(version: &str) -> VariantBundles {
    let bundle = |name: &str| gondola_wire::resolution::ResolvedBundle {
        name: name.to_owned(),
        version: version.to_owned(),
        digest: format!("sha256:{version}"),
        bytes: 1,
    };
    VariantBundles {
        features: bundle("features"),
        retrieval: bundle("two-tower"),
        sources: Default::default(),
        scorer: bundle("scorer"),
        similarity: None,
    }
}

#[test]
fn arms_keep_the_bundles_that_they_began_with() {
    let mut world = World::new(&spec());
    let served = |version: &str| {
        ["rf", "dlrm"]
            .map(|arm| (arm.to_owned(), bundles(version)))
            .into()
    };
    world.served = Some(BTreeMap::from([("rf".to_owned(), bundles("v1"))]));
    assert_eq!(
        world.step(START, None).ledger.phase,
        Phase::Pending,
        "an arm is not rolled out"
    );
    world.served = Some(served("v1"));
    let first = world.step(START, None).ledger;
    assert_eq!(first.pinned.len(), 2);
    world.served = Some(served("v2"));
    assert_eq!(world.step(START + HOUR, None).ledger.pinned, first.pinned);
}

#[test]
fn harm_is_rolled_back_also_while_all_else_is_suspended() {
    let mut world = World::new(&spec());
    world.suspended = true;
    assert_eq!(
        world.step(START, None).ledger.phase,
        Phase::Pending,
        "nothing begins"
    );
    world.suspended = false;
    let ramping = world.step(START, None);
    world.suspended = true;
    let held = world.run(START, START + DAY * 3, [SAME, SAME]);
    assert_eq!(held.ledger.stage, ramping.ledger.stage, "no step of the ramp");
    world.ready.remove("dlrm");
    world.step(START + DAY * 3, None);
    let step = world.step(START + DAY * 3 + GRACE, None);
    assert_eq!((step.ledger.phase, traffic(&step)), (Phase::RolledBack, 0));
}
