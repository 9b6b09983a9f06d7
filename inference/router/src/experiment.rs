//! An experiment as a router sees it: who takes part, what each arm did, and what is recorded of it.
//!
//! [`Enrolment`] is recreated whenever routes change; counts and the recorder outlive it in [`Recording`]. Every arm goes through
//! the same lines here, so that arms differ in nothing but the variant. What is recorded is the arm that a unit was assigned to,
//! also where the control had to answer: an arm that fails must not lose its users from the comparison.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gondola_events::event::{Drawn, Exposure, MAX_DRAWN};
use gondola_events::intake::{self, RawOutcome, Refusal};
use gondola_events::recorder::Recorder;
use gondola_events::unit::UnitKey;
use gondola_experiments::assignment::{Arm, Assigned, Assignment, AssignmentError, Holdout, Reason};
use gondola_wire::counts::ArmCounts;
use gondola_wire::router_report::{ArmReport, RouterReport};
use gondola_wire::routes::ExperimentRoutes;
use jiff::Timestamp;

use gondola_protocol::{Code, Served, ServiceError, Visit};
use gondola_request::{Degradation, Recommendation};
use gondola_server::experimenter::{MAX_UNIT_BYTES, Receipt};

/// Where events go, and what was counted since this process started.
pub struct Recording {
    incarnation: String,
    sink: Result<Sink, Silence>,
    requests: AtomicU64,
    outcomes: AtomicU64,
    counts: Mutex<HashMap<(String, u32), Arc<Counts>>>,
}

/// What it takes to record.
pub struct Sink {
    /// Takes events.
    pub recorder: Recorder,
    /// Makes units of ids.
    pub key: UnitKey,
}

/// Why nothing is recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// Recording is not configured.
    #[error("no store of events is given; name one with --events-url")]
    Unasked,
    /// It can't be done.
    #[error("{0}")]
    Problem(String),
}

/// What each arm did, the control first.
struct Counts {
    arms: Vec<Counters>,
}

/// [`ArmCounts`] that requests add to at the same time.
#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    slow: AtomicU64,
    fallbacks: AtomicU64,
    empty: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    fn add(&self, counts: &ArmCounts) {
        let ArmCounts {
            requests,
            errors,
            slow,
            fallbacks,
            empty,
        } = *counts;
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.errors.fetch_add(errors, Ordering::Relaxed);
        self.slow.fetch_add(slow, Ordering::Relaxed);
        self.fallbacks.fetch_add(fallbacks, Ordering::Relaxed);
        self.empty.fetch_add(empty, Ordering::Relaxed);
    }

    fn read(&self) -> ArmCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ArmCounts {
            requests: count(&self.requests),
            errors: count(&self.errors),
            slow: count(&self.slow),
            fallbacks: count(&self.fallbacks),
            empty: count(&self.empty),
        }
    }
}

impl Recording {
    /// Records into `sink`, or says why not. `incarnation` is another text after each start.
    pub fn new(incarnation: String, sink: Result<Sink, Silence>) -> Self {
        Self {
            incarnation,
            sink,
            requests: AtomicU64::new(0),
            outcomes: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    /// Counts of an epoch continue, however often routes change.
    fn counts(&self, routes: &ExperimentRoutes) -> Arc<Counts> {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (routes.name.clone(), routes.epoch);
        let new = || {
            let arms = routes.arms.iter().map(|_| Counters::default());
            Arc::new(Counts { arms: arms.collect() })
        };
        let counts = all.entry(key).or_insert_with(new);
        if counts.arms.len() != routes.arms.len() {
            *counts = new();
        }
        Arc::clone(counts)
    }

    /// An id for a request that brought none.
    fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number}", self.incarnation)
    }

    /// Takes outcomes, each for itself.
    pub fn record_outcomes(
        &self,
        reported: Vec<Result<RawOutcome, String>>,
    ) -> Result<Receipt, ServiceError> {
        let sink = self.sink.as_ref().map_err(|silence| match silence {
            Silence::Unasked => ServiceError::NoExperiment,
            Silence::Problem(problem) => ServiceError::NotRecording {
                problem: problem.clone(),
            },
        })?;
        let now = Timestamp::now();
        let mut receipt = Receipt::default();
        for (index, reported) in reported.into_iter().enumerate() {
            let checked = reported.and_then(|reported| intake::check(reported, &sink.key, now));
            let taken = checked.and_then(|outcome| match sink.recorder.outcome(outcome) {
                true => Ok(()),
                false => Err("there is no room for it now; send it again later".to_owned()),
            });
            match taken {
                Ok(()) => receipt.taken += 1,
                Err(problem) => receipt.refused.push(Refusal { index, problem }),
            }
        }
        self.outcomes.fetch_add(receipt.taken as u64, Ordering::Relaxed);
        Ok(receipt)
    }

    /// Uploads what was recorded; whether all of it was within `patience`.
    pub async fn stop(&self, patience: Duration) -> bool {
        match &self.sink {
            Ok(sink) => sink.recorder.stop(patience).await,
            Err(_) => true,
        }
    }

    fn problem(&self) -> Option<String> {
        match &self.sink {
            Ok(sink) => sink.recorder.state().problem(),
            Err(silence) => Some(silence.to_string()),
        }
    }

    fn waiting(&self) -> u64 {
        self.sink
            .as_ref()
            .map_or(0, |sink| sink.recorder.state().waiting())
    }
}

/// An experiment that units take part in.
pub struct Enrolment {
    name: Arc<str>,
    epoch: u32,
    revision: Arc<str>,
    unit_header: Option<Arc<str>>,
    slow: Duration,
    arms: Vec<Arc<str>>,
    assignment: Assignment,
    counts: Arc<Counts>,
    recording: Arc<Recording>,
}

/// What an experiment decided about one request. It counts a client that goes away unanswered, if the answer was slow by then: an arm
/// that is too slow to wait for must not look as if it had no slow answers.
pub struct Ticket<'a> {
    /// The arm, by its place, and why.
    pub assigned: Assigned,
    started: Instant,
    enrolment: &'a Enrolment,
    noted: bool,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let late = self.started.elapsed() > self.enrolment.slow;
        if !self.noted && late && self.assigned.enrolled() {
            self.enrolment.counts.arms[self.assigned.arm].add(&ArmCounts {
                requests: 1,
                slow: 1,
                ..ArmCounts::default()
            });
        }
    }
}

/// Who takes part in an experiment, and which arm they get.
pub(crate) fn split(routes: &ExperimentRoutes) -> Result<Assignment, AssignmentError> {
    let arms = routes.arms.iter().map(|arm| Arm {
        name: arm.variant.clone(),
        weight: arm.weight,
    });
    let assignment = Assignment::new(&routes.salt, &arms.collect::<Vec<_>>())?;
    let assignment = assignment.with_traffic(routes.traffic_buckets);
    match &routes.holdout {
        None => Ok(assignment),
        Some(holdout) => assignment.with_holdout(Holdout {
            salt: holdout.salt.clone(),
            buckets: holdout.buckets,
        }),
    }
}

impl Enrolment {
    /// An experiment as the routes describe it.
    pub fn new(routes: &ExperimentRoutes, recording: Arc<Recording>) -> Result<Self, AssignmentError> {
        let assignment = split(routes)?;
        Ok(Self {
            name: routes.name.as_str().into(),
            epoch: routes.epoch,
            revision: routes.revision.as_str().into(),
            unit_header: routes.unit_header.as_deref().map(Arc::from),
            slow: Duration::from_millis(routes.slow_milliseconds),
            arms: assignment.arms().iter().map(|arm| arm.as_str().into()).collect(),
            assignment,
            counts: recording.counts(routes),
            recording,
        })
    }

    /// Names of the arms, the control first.
    pub fn arms(&self) -> &[Arc<str>] {
        &self.arms
    }

    /// The header that holds the unit's id.
    pub fn unit_header(&self) -> Option<Arc<str>> {
        self.unit_header.clone()
    }

    /// The unit that a request counts for.
    pub fn unit<'a>(&self, user: &'a str, visit: &'a Visit) -> &'a str {
        let id = match self.unit_header {
            Some(_) => visit.unit.as_deref().unwrap_or_default(),
            None => user,
        };
        // An id that is too long to be one is nobody's.
        if id.len() > MAX_UNIT_BYTES { "" } else { id }
    }

    /// The arm that a unit gets, or would get.
    pub fn assigned(&self, unit: &str, visit: &Visit) -> Assigned {
        self.assignment.assign_asked(unit, visit.arm.as_deref())
    }

    /// Decides about a request.
    pub fn enrol(&self, unit: &str, visit: &Visit) -> Ticket<'_> {
        Ticket {
            assigned: self.assigned(unit, visit),
            started: Instant::now(),
            enrolment: self,
            noted: false,
        }
    }

    /// Counts and records the result of the request, if its unit takes part.
    pub fn note(
        &self,
        mut ticket: Ticket<'_>,
        unit: &str,
        request: Option<String>,
        outcome: &Result<Served, ServiceError>,
    ) {
        ticket.noted = true;
        let Assigned {
            arm,
            reason: Reason::Assigned,
            traffic_bucket: Some(traffic_bucket),
            arm_bucket: Some(arm_bucket),
        } = ticket.assigned
        else {
            return;
        };
        let counts = &self.counts.arms[arm];
        let took = ticket.started.elapsed();
        let served = match outcome {
            Ok(served) => served,
            Err(error) => {
                if is_ours(error.code()) {
                    counts.add(&ArmCounts {
                        requests: 1,
                        errors: 1,
                        ..ArmCounts::default()
                    });
                }
                return;
            }
        };
        let fallback = served.answer.degraded.iter().copied().any(is_fallback);
        counts.add(&ArmCounts {
            requests: 1,
            errors: 0,
            slow: u64::from(took > self.slow),
            fallbacks: u64::from(fallback),
            empty: u64::from(served.answer.items.is_empty()),
        });
        let recorded = self.recording.sink.as_ref().is_ok_and(|sink| {
            let unit = sink.key.hash(unit);
            let request = request.unwrap_or_else(|| self.recording.request_id());
            sink.recorder.exposure(Exposure {
                time: Timestamp::now(),
                id: Exposure::id_of(&self.name, self.epoch, unit, &request),
                experiment: Arc::clone(&self.name),
                epoch: self.epoch,
                revision: Arc::clone(&self.revision),
                arm: Arc::clone(&self.arms[arm]),
                arm_bucket,
                traffic_bucket,
                unit,
                request: request.into(),
                fallback,
                latency: u32::try_from(took.as_micros()).unwrap_or(u32::MAX),
                model: served.bundles.get("scorer").map_or("", String::as_str).into(),
                drawn: drawn(&served.answer.items),
            })
        });
        if !recorded {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How it goes.
    pub fn report(&self) -> RouterReport {
        let arm = |(name, counters): (&Arc<str>, &Counters)| ArmReport {
            name: name.to_string(),
            counts: counters.read(),
            dropped: counters.dropped.load(Ordering::Relaxed),
        };
        RouterReport {
            incarnation: self.recording.incarnation.clone(),
            experiment: self.name.to_string(),
            epoch: self.epoch,
            revision: self.revision.to_string(),
            arms: self.arms.iter().zip(&self.counts.arms).map(arm).collect(),
            outcomes: self.recording.outcomes.load(Ordering::Relaxed),
            waiting: self.recording.waiting(),
            problem: self.recording.problem(),
        }
    }
}

/// What was drawn by chance, as far as it is written down; nothing, and no memory, where the best came first.
fn drawn(items: &[Recommendation]) -> Vec<Drawn> {
    let chance = |item: &Recommendation| {
        Some(Drawn {
            item: item.item.as_str().into(),
            chance: item.chance?,
        })
    };
    items.iter().take(MAX_DRAWN).map_while(chance).collect()
}

/// Whether something stood in for what the arm is: the control, or an order that its models did not make.
fn is_fallback(degradation: Degradation) -> bool {
    match degradation {
        Degradation::Retrieval
        | Degradation::Scoring
        | Degradation::Deadline
        | Degradation::FallbackToControl
        | Degradation::FallbackToVariant
        | Degradation::LastResort => true,
        Degradation::UnknownUser | Degradation::OnlineStore | Degradation::Candidates => false,
    }
}

/// Whether an error is the arm's, and not the client's.
fn is_ours(code: Code) -> bool {
    match code {
        Code::Unavailable | Code::Internal | Code::ResourceExhausted | Code::DeadlineExceeded => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::Unimplemented
        | Code::Unauthenticated
        | Code::PermissionDenied => false,
    }
}

#[cfg(test)]
mod tests;
