//! What `gondola experiment` prints and how it ends.

#![expect(clippy::unwrap_used, reason = "what is wrong ends a test")]

use std::path::Path;
use std::process::{Command, Output};

use gondola_events::event::Exposure;
use gondola_events::place::Kind;
use gondola_events::table::encode_exposures;
use gondola_events::unit::UnitKey;
use gondola_experiments::assignment::{Allocation, bucket};

const MANIFEST: &str = "../examples/complete-journey/experiment.yaml";
const SALT: &str = "shop/complete-journey/dlrm-vs-forest";

fn gondola(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gondola"))
        .arg("experiment")
        .args(arguments)
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn a_plan_says_how_many_users_and_how_long() {
    let plan = gondola(&["plan", "--file", MANIFEST, "--daily-users", "20000"]);
    let said = text(&plan);
    assert!(plan.status.success(), "{said}");
    for part in [
        "27,321 in each arm of forest, dlrm",
        "1% for 1.0 hours, then 5% for 24.0 hours",
        "2 whole weeks",
        "week 2: 49,166 users in the smallest arm detect +3.7%",
    ] {
        assert!(said.contains(part), "{said} does not say {part:?}");
    }
}

#[test]
fn what_can_not_be_asked_is_said_with_the_way_out() {
    let missing = gondola(&["plan", "--file", "nowhere.yaml"]);
    assert!(!missing.status.success() && text(&missing).contains("cannot read nowhere.yaml"));
    let without = gondola(&["plan", "--file", "../examples/complete-journey/pipeline.yaml"]);
    assert!(
        text(&without).contains("has no spec.experiment; add one"),
        "{}",
        text(&without)
    );
    let nowhere = gondola(&["status", "grocery"]);
    assert!(
        text(&nowhere).contains("cannot reach a cluster"),
        "{}",
        text(&nowhere)
    );
}

/// A store with an exposure of each of 200 users, by the rule, but for what `change` does to them.
fn logged(folder: &Path, change: impl Fn(usize, &mut Exposure)) {
    let key = UnitKey::new(b"0123456789abcdef").unwrap();
    let allocation = Allocation::new(&[50, 50]).unwrap();
    let rows: Vec<Exposure> = (0..200)
        .map(|number| {
            let id = format!("user-{number}");
            let arm_bucket = bucket("arm", SALT, &id);
            let unit = key.hash(&id);
            let mut row = Exposure {
                time: jiff::Timestamp::constant(1_793_577_600, 0),
                id: Exposure::id_of("dlrm-vs-forest", 1, unit, "r"),
                experiment: "dlrm-vs-forest".into(),
                epoch: 1,
                revision: "abc".into(),
                arm: ["forest", "dlrm"][allocation.arm(arm_bucket)].into(),
                arm_bucket,
                traffic_bucket: bucket("traffic", SALT, &id),
                unit,
                request: "r".into(),
                fallback: false,
                latency: 3,
                model: "v1".into(),
                drawn: Vec::new(),
            };
            change(number, &mut row);
            row
        })
        .collect();
    let kind = Kind::Exposures {
        experiment: "dlrm-vs-forest".into(),
        epoch: 1,
    };
    let file = folder
        .join("store/shop/complete-journey")
        .join(kind.file(rows[0].time, "router-a", 0));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, encode_exposures(&rows).unwrap()).unwrap();
    std::fs::write(folder.join("unit-key"), "0123456789abcdef").unwrap();
    let ids: String = (0..200).map(|number| format!("user-{number}\n")).collect();
    std::fs::write(folder.join("ids"), ids).unwrap();
}

fn audit(folder: &Path) -> Output {
    let place = |name: &str| folder.join(name).display().to_string();
    gondola(&[
        "audit",
        "--file",
        MANIFEST,
        "--events-url",
        &format!("file://{}", place("store")),
        "--units",
        &place("ids"),
        "--unit-key",
        &place("unit-key"),
    ])
}

#[test]
fn an_audit_finds_arms_and_buckets_that_are_not_by_the_rule() {
    let right = tempfile::tempdir().unwrap();
    logged(right.path(), |_, _| {});
    let found = audit(right.path());
    assert!(found.status.success(), "{}", text(&found));
    assert!(text(&found).contains("200 of them from units whose ids were given: 0 differ"));
    let wrong = tempfile::tempdir().unwrap();
    logged(wrong.path(), |number, row| match number {
        7 => row.arm = if &*row.arm == "dlrm" { "forest" } else { "dlrm" }.into(),
        8 => row.traffic_bucket = (row.traffic_bucket + 1) % 10_000,
        _ => {}
    });
    let found = audit(wrong.path());
    assert!(
        !found.status.success() && text(&found).contains(": 2 differ"),
        "{}",
        text(&found)
    );
}

/// Exported workflows of NVTabular.
const EXPORTED: &str = "../inference/models/tests/fixtures/nvtabular";

fn import_workflow(case: &str, into: &Path, choices: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gondola"))
        .args(["import-workflow", &format!("{EXPORTED}/{case}"), "--into"])
        .arg(into)
        .args(choices)
        .output()
        .unwrap()
}

#[test]
fn an_exported_workflow_of_nvtabular_is_imported_once_with_its_inputs_and_notes() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("features");
    let choices = [
        "--user",
        "age,club",
        "--item",
        "article_id,colour,price",
        "--leave-out",
        "customer_id",
    ];
    let imported = import_workflow("saved/thesis_like", &into, &choices);
    assert!(imported.status.success(), "{}", text(&imported));
    let inputs = "   0  user.club  index, 0 to 4
   1  user.age  number
   2  item.article_id  index, 0 to 33
   3  item.colour  index, 0 to 6
   4  item.price  number
";
    assert_eq!(text(&imported), inputs);
    assert!(into.join("vocabulary/item.colour.parquet").exists());
    let again = text(&import_workflow("saved/thesis_like", &into, &choices));
    assert!(
        again.contains("has a workflow already; name another folder"),
        "{again}"
    );
    let notes = text(&import_workflow(
        "saved/normalize_nofill",
        &folder.path().join("notes"),
        &["--user", "age,price"],
    ));
    assert!(
        notes.contains("note: age: where NVTabular gives NaN, this gives 0"),
        "{notes}"
    );
}

#[test]
fn a_workflow_that_hashes_is_not_imported_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("features");
    let refused = import_workflow(
        "saved/hashbucket",
        &into,
        &["--user", "customer_id", "--item", "article_id"],
    );
    let said = text(&refused);
    assert!(
        !refused.status.success() && said.contains("gondola: customer_id: HashBucket hashes a value"),
        "{said}"
    );
    assert!(!into.exists());
}
