//! Off-policy estimates, held against Open Bandit Pipeline 0.4.1.
//!
//! `synthetic.csv` and `expected.json` are by `reference.py`. `make off-policy-check` has obp judge the logs inside its own wheel as
//! well, and names their folder in `GONDOLA_OBP_LOGS`.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

mod rules;

use std::path::Path;

use gondola_experiments::off_policy::{Figure, Modelled, Round, Rules, Verdict, estimates, preview};
use serde_json::Value;

/// Numbers are sums of thousands, in another order than numpy's.
const TOLERANCE: f64 = 1e-9;

/// The rounds of a file; each is a unit, as obp has it.
fn rounds(file: &Path) -> Vec<Round> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("reward,propensity,chance,shown,expected"),
        "{}",
        file.display()
    );
    let round = |(unit, line): (u64, &str)| {
        let cells: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
        Round {
            unit,
            reward: cells[0],
            propensity: cells[1],
            chance: cells[2],
            modelled: Some(Modelled {
                shown: cells[3],
                expected: cells[4],
            }),
        }
    };
    (0..).zip(lines).map(round).collect()
}

#[track_caller]
fn check_equal(what: &str, found: f64, wanted: &Value) {
    let wanted = wanted.as_f64().unwrap();
    let distance = (found - wanted).abs();
    assert!(
        distance <= TOLERANCE * wanted.abs().max(1e-3),
        "{what}: {found}, and obp has {wanted}"
    );
}

/// Whether every log of a folder has the numbers that obp has; how many numbers those were.
fn check_folder(folder: &Path) -> usize {
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    assert_eq!(expected["obp"], "0.4.1");
    let mut numbers = 0;
    for (log, said) in expected["logs"].as_object().unwrap() {
        let rounds = rounds(&folder.join(format!("{log}.csv")));
        for obp in said.as_array().unwrap() {
            let rules = Rules {
                max_weight: obp["max_weight"].as_f64().unwrap_or(f64::INFINITY),
                ..Rules::default()
            };
            let ours = estimates(&rounds, &rules).unwrap();
            let overlap = preview(&rounds, &rules).unwrap().overlap;
            let doubly_robust = ours.doubly_robust.unwrap().value;
            for (name, found) in [
                ("ips", ours.ips.value.value),
                ("ips_error", ours.ips.value.standard_error),
                ("snips", ours.snips.value.value),
                ("direct", ours.direct.unwrap().value.value),
                ("doubly_robust", doubly_robust.value),
                ("doubly_robust_error", doubly_robust.standard_error),
                ("effective_rounds", overlap.effective_rounds),
                ("mean_weight", overlap.mean_weight),
            ] {
                let what = format!("{log}, weights of at most {}: {name}", rules.max_weight);
                check_equal(&what, found, &obp[name]);
                numbers += 1;
            }
        }
    }
    numbers
}

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/off_policy"))
}

#[test]
fn estimates_are_those_of_open_bandit_pipeline() {
    assert_eq!(check_folder(here()), 3 * 8);
}

/// A bootstrap of 2,000 draws is itself uncertain: a twentieth of the interval's width, on each side.
#[test]
fn intervals_are_about_those_of_its_bootstrap() {
    let expected = std::fs::read_to_string(here().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let rounds = rounds(&here().join("synthetic.csv"));
    let ours = estimates(
        &rounds,
        &Rules {
            max_weight: f64::INFINITY,
            ..Rules::default()
        },
    )
    .unwrap();
    let near = |found: Figure, obp: &Value| {
        let [low, high] = [&obp[0], &obp[1]].map(|end| end.as_f64().unwrap());
        let slack = (high - low) / 20.0;
        assert!(
            (found.interval.low - low).abs() < slack && (found.interval.high - high).abs() < slack,
            "{found:?}, and obp has {low} to {high}"
        );
    };
    let obp = &expected["logs"]["synthetic"][0];
    near(ours.ips.value, &obp["ips_interval"]);
    near(ours.doubly_robust.unwrap().value, &obp["doubly_robust_interval"]);
}

#[test]
#[ignore = "needs the logs of obp's wheel: make off-policy-check"]
fn the_logs_of_its_wheel_come_to_the_same_numbers() {
    let folder = std::env::var_os("GONDOLA_OBP_LOGS").expect("make off-policy-check sets GONDOLA_OBP_LOGS");
    let folder = Path::new(&folder);
    assert_eq!(check_folder(folder), 6 * 3 * 8);
    // 10,000 rounds of Thompson sampling are worth two of a policy that shows everything alike: there is no number.
    let rounds = rounds(&folder.join("bts-women.csv"));
    let verdict = preview(
        &rounds,
        &Rules {
            max_weight: f64::INFINITY,
            ..Rules::default()
        },
    )
    .unwrap()
    .verdict;
    assert!(matches!(verdict, Verdict::NotEnoughOverlap(_)), "{verdict:?}");
}
