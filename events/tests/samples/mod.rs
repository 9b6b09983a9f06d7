//! Events for tests.

use super::{EventId, Exposure, UnitHash};

/// One of many exposures that differ in unit and id alone.
pub(super) fn exposure(number: u64) -> Exposure {
    Exposure {
        time: jiff::Timestamp::constant(1_793_577_600, 0),
        id: EventId::of(&[&number.to_be_bytes()]),
        experiment: "dlrm-vs-rf".into(),
        epoch: 1,
        revision: "abc".into(),
        arm: "rf".into(),
        arm_bucket: 1,
        traffic_bucket: 2,
        unit: UnitHash(u128::from(number).to_be_bytes()),
        request: "r".into(),
        fallback: false,
        latency: 3,
        model: "v1".into(),
        drawn: Vec::new(),
    }
}
