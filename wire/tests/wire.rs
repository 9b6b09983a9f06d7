//! What one release writes, another one reads: objects, what routers and pods are told, and what they report.
//!
//! `tests/wire/0.1.0` holds what this release writes. A later release reads it (these tests stay, with a folder a release), and this
//! one reads `tests/wire/next`: the same with fields and words that nobody knows yet.

use gondola_crds::experiment_status::Phase;
use gondola_crds::{RecommenderPipeline, from_yaml};
use gondola_wire::evidence::Evidence;
use gondola_wire::ledger::Ledger;
use gondola_wire::memory::Memory;
use gondola_wire::resolution::{Resolution, VariantResolution};
use gondola_wire::router_report::RouterReport;
use gondola_wire::routes::Routes;
use gondola_wire::serve_order::ServeOrder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn text(release: &str, file: &str) -> String {
    let path = format!("{}/tests/wire/{release}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn read<T: DeserializeOwned>(release: &str, file: &str) -> T {
    serde_json::from_str(&text(release, file)).unwrap_or_else(|error| panic!("{release}/{file}: {error}"))
}

/// What was read is written as it was: nothing was lost on the way.
#[track_caller]
fn check_same<T: DeserializeOwned + Serialize>(file: &str) {
    let written: Value = read("0.1.0", file);
    let read: T = read("0.1.0", file);
    assert_eq!(serde_json::to_value(&read).ok(), Some(written), "{file}");
}

#[test]
fn what_this_release_writes_is_read_whole() {
    check_same::<RecommenderPipeline>("pipeline.json");
    check_same::<Routes>("routes.json");
    check_same::<Resolution>("resolution.json");
    check_same::<RouterReport>("router-report.json");
    check_same::<ServeOrder>("order.json");
    check_same::<Evidence>("evidence.json");
    check_same::<Ledger>("ledger.json");
    check_same::<Memory>("memory.json");
}

#[test]
fn an_object_of_the_next_release_is_read() {
    let pipeline: RecommenderPipeline = read("next", "pipeline.json");
    assert_eq!(pipeline.spec.variants.len(), 2);
    let experiment = pipeline.status.unwrap().experiment.unwrap();
    assert_eq!(experiment.phase, Phase::Unknown, "a word that nobody knows yet");
}

#[test]
fn what_pods_of_this_release_are_told_by_the_next_operator_is_read() {
    let routes: Routes = read("next", "routes.json");
    assert_eq!(routes.variants[0].buckets[0].end, 5000);
    let order: ServeOrder = read("next", "order.json");
    assert_eq!(order.variant.name, "dlrm");
}

#[test]
fn a_person_is_told_of_a_field_of_the_next_release() {
    let refused = from_yaml(&text("next", "manifest.json")).unwrap_err().to_string();
    assert!(
        refused.contains("spec.cache: is not a field in this release"),
        "a person is told: {refused}"
    );
}

#[test]
fn what_pods_of_the_next_release_report_is_read() {
    let resolution: Resolution = read("next", "resolution.json");
    assert!(matches!(
        resolution.variants["dlrm"],
        VariantResolution::Resolved(_)
    ));
    let report: RouterReport = read("next", "router-report.json");
    assert_eq!(report.arms[0].counts.requests, 7);
}

#[test]
fn what_the_next_release_remembers_is_read() {
    let ledger: Ledger = read("next", "ledger.json");
    assert_eq!((ledger.phase, ledger.epoch), (Phase::Unknown, 2));
    let memory: Memory = read("next", "memory.json");
    assert!(memory.ending.is_some());
}
