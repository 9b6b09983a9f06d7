//! What one release remembers of an experiment, another one reads: see `crds/tests/wire.rs`.

use gondola_crds::experiment_status::Phase;
use gondola_experiments::ledger::Ledger;
use gondola_experiments::memory::Memory;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[track_caller]
fn read<T: DeserializeOwned>(release: &str, file: &str) -> T {
    let path = format!("{}/tests/wire/{release}/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn check_same<T: DeserializeOwned + Serialize>(file: &str) {
    let written: Value = read("0.1.0", file);
    let read: T = read("0.1.0", file);
    assert_eq!(serde_json::to_value(&read).ok(), Some(written), "{file}");
}

#[test]
fn what_this_release_remembers_is_read_whole() {
    check_same::<Ledger>("ledger.json");
    check_same::<Memory>("memory.json");
}

#[test]
fn what_the_next_release_remembers_is_read() {
    let ledger: Ledger = read("next", "ledger.json");
    assert_eq!((ledger.phase, ledger.epoch), (Phase::Unknown, 2));
    let memory: Memory = read("next", "memory.json");
    assert!(memory.ending.is_some());
}
