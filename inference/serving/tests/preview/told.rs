//! What people and programs are told.

use gondola_serving::preview::report::{Answers, MetricOutcome, Report};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::coverage::preview;
use super::shop::{Policy, Shop};

fn report(new: impl Fn(&Shop, &mut ChaCha8Rng) -> Policy) -> Report {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let shop = Shop::new(&mut random);
    let old = shop.policy(0.2, 0.35, &mut random);
    let new = new(&shop, &mut random);
    let made = preview(&shop, &old, &new, &mut random);
    let outcome = |name: &str, said| MetricOutcome {
        name: name.into(),
        young: 12,
        not_shown: 0,
        without_answer: 3,
        said,
    };
    Report {
        pipeline: "shop/home".into(),
        experiment: "which".into(),
        epoch: 2,
        arm: None,
        variant: "dlrm".into(),
        bundles: vec![("scorer".into(), "dlrm@canary 20261130".into())],
        answers: Answers {
            logged: 8000,
            not_drawn: 1000,
            unknown: 500,
            beyond: 0,
            failed: 0,
            units: 3000,
        },
        metrics: vec![
            outcome("purchases", Ok(made)),
            outcome("rate", Err("a Ratio is not previewed".into())),
        ],
        max_weight: 100.0,
    }
}

#[test]
fn people_read_numbers_with_their_intervals_and_what_was_left_out() {
    let said = report(|shop, random| shop.policy(0.8, 0.25, random)).to_string();
    for part in [
        "variant dlrm on the traffic of experiment which of shop/home, epoch 2",
        "scorer      dlrm@canary 20261130",
        "answers     6,500 of 8,000, to 3,000 users",
        "left out    1,000 (12.5%): their order was not drawn by chance",
        "left out    500 (6.25%): their user is not in the features bundle",
        "metric purchases (Count), per answer",
        "left out    12 answers whose window is not over",
        "  IPS  ",
        "  SNIPS  ",
        "  doubly robust  ",
        "against logged",
        "metric rate: a Ratio is not previewed",
    ] {
        assert!(said.contains(part), "{said} does not say {part:?}");
    }
}

#[test]
fn where_there_is_not_enough_overlap_no_number_is_said() {
    let report = report(|shop, random| shop.policy(0.8, 0.25, random).certain());
    let said = report.to_string();
    assert!(
        said.contains("new             not enough overlap: ") && !said.contains("IPS"),
        "{said}"
    );
    let json = report.json();
    let metric = &json["metrics"][0];
    assert!(
        metric["notEnoughOverlap"].is_string() && metric["ips"].is_null(),
        "{json:#}"
    );
}

#[test]
fn programs_read_the_same() {
    let json = report(|shop, random| shop.policy(0.8, 0.25, random)).json();
    assert_eq!(json["bundles"]["scorer"], "dlrm@canary 20261130");
    assert_eq!(json["answers"]["notDrawn"], 1000);
    let metric = &json["metrics"][0];
    for estimate in ["ips", "snips", "doublyRobust"] {
        let [low, high] = [0, 1].map(|end| metric[estimate]["gain"]["interval"][end].as_f64().unwrap());
        let gain = metric[estimate]["gain"]["value"].as_f64().unwrap();
        assert!(low < gain && gain < high, "{json:#}");
    }
    assert_eq!(json["metrics"][1]["problem"], "a Ratio is not previewed");
}
