//! Events: whatever a file or a client says, reading it ends in events that can be meant or in an error.

use bytes::Bytes;
use jiff::Timestamp;

use crate::event::Outcome;
use crate::intake::{check, read};
use crate::table::{encode_outcomes, read_drawn, read_exposures, read_following, read_outcomes};
use crate::unit::UnitKey;

/// 2026-11-02.
const NOW: Timestamp = Timestamp::constant(1_793_577_600, 0);

/// Reads a file of events as either kind, and a client's outcomes; those that are taken are read as they were written.
pub fn read_events(bytes: &[u8]) {
    let file = Bytes::copy_from_slice(bytes);
    let _ = read_exposures(file.clone(), |row| drop(row.arm.to_owned()));
    let _ = read_drawn(file.clone(), |mut row| row.drawn.clear());
    let _ = read_following(file.clone(), |row| drop(row.item.map(str::to_owned)));
    let _ = read_outcomes(file, |row| drop(row.kind.to_owned()));
    let Ok(json) = serde_json::from_slice(bytes) else {
        return;
    };
    let key = UnitKey::new(b"0123456789abcdef").expect("the key is long enough");
    if let Ok(outcome) = read(json).and_then(|told| check(told, &key, NOW)) {
        comes_back(&outcome);
    }
}

fn comes_back(outcome: &Outcome) {
    assert!(outcome.value.is_finite() && outcome.received == NOW);
    let file = encode_outcomes(std::slice::from_ref(outcome)).expect("what was checked can be written");
    let mut rows = 0;
    let read = read_outcomes(file, |row| {
        rows += 1;
        assert!(row.unit == outcome.unit && row.time == outcome.time && row.value == outcome.value);
    });
    read.expect("what was written can be read");
    assert_eq!(rows, 1);
}
