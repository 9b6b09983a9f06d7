//! What happened: a unit was shown what an arm chose, or did something.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::unit::{EventId, UnitHash};

/// A unit was shown what its arm chose: one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    /// When.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub time: Timestamp,
    /// The same however often the event is sent.
    pub id: EventId,
    /// The experiment's name.
    pub experiment: Arc<str>,
    /// Its epoch.
    pub epoch: u32,
    /// The configuration that the router answered by.
    pub revision: Arc<str>,
    /// The arm that the unit is assigned to, whoever answered.
    pub arm: Arc<str>,
    /// The unit's bucket among arms.
    pub arm_bucket: u16,
    /// The unit's bucket in the order in which units are enrolled.
    pub traffic_bucket: u16,
    /// Who.
    pub unit: UnitHash,
    /// The request.
    pub request: Arc<str>,
    /// Whether the answer fell back to something else: the control, or an order that the arm's models did not make.
    pub fallback: bool,
    /// How long the answer took, in microseconds.
    pub latency: u32,
    /// The version of the scorer that answered.
    pub model: Arc<str>,
    /// The items in their order, each with the chance with which it was drawn: at most [`MAX_DRAWN`], and none where the order was not
    /// drawn by chance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<Drawn>,
}

/// The most items of an answer that are written down, from the first on: the chance of each depends on those before it alone. A
/// hundred ids of 256 bytes are 26 KB.
pub const MAX_DRAWN: usize = 100;

/// An item that was drawn by chance for its place in an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// The item's id.
    pub item: Arc<str>,
    /// The chance that it had there, given the items before it; above 0.
    pub chance: f32,
}

impl Exposure {
    /// The id of a request's exposure: the same however often it is written.
    pub fn id_of(experiment: &str, epoch: u32, unit: UnitHash, request: &str) -> EventId {
        EventId::of(&[
            experiment.as_bytes(),
            epoch.to_string().as_bytes(),
            hex::encode(unit.0).as_bytes(),
            request.as_bytes(),
        ])
    }
}

/// A unit did something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it happened, as the client says.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub time: Timestamp,
    /// When it arrived.
    #[serde(with = "jiff::fmt::serde::timestamp::microsecond::required")]
    pub received: Timestamp,
    /// The same however often the event is sent.
    pub id: EventId,
    /// Who.
    pub unit: UnitHash,
    /// What, such as `purchase`.
    pub kind: Arc<str>,
    /// How much; 1 where the client says nothing.
    pub value: f64,
    /// The item, if there is one.
    pub item: Option<Arc<str>>,
    /// The request that it followed, if that is known.
    pub request: Option<Arc<str>>,
}

/// Whether a time that was reported in whole seconds names the second in which something was shown: within a second, cause comes before effect.
pub(crate) fn is_in_its_second(time: Timestamp, shown: Timestamp) -> bool {
    time.subsec_nanosecond() == 0 && time.as_second() == shown.as_second()
}

/// Either.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A unit was shown something.
    Exposure(Exposure),
    /// A unit did something.
    Outcome(Outcome),
}
