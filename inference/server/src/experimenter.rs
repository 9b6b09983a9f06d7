//! What an experiment adds to a pipeline: a router's interface in addition to
//! [`Recommender`](gondola_protocol::Recommender).

use std::sync::Arc;

use gondola_events::intake::{RawOutcome, Refusal};
use gondola_protocol::ServiceError;
use gondola_wire::router_report::RouterReport;
use schemars::JsonSchema;
use serde::Serialize;

/// Longest id of a unit, in bytes.
pub const MAX_UNIT_BYTES: usize = 256;

/// Runs an experiment, or may do so.
pub trait Experimenter: Send + Sync + 'static {
    /// The header that holds the id of the experiment's unit, where it isn't the user's.
    fn unit_header(&self) -> Option<Arc<str>>;

    /// How the experiment goes; `None` where there is none.
    fn report(&self) -> Option<RouterReport>;

    /// Takes what units did; what could not be read says why. Never waits.
    fn record_outcomes(&self, reported: Vec<Result<RawOutcome, String>>) -> Result<Receipt, ServiceError>;
}

/// What became of outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Receipt {
    /// How many were taken; one that was sent before is taken again, and counts once.
    pub taken: usize,
    /// Which were not, and why.
    pub refused: Vec<Refusal>,
}
