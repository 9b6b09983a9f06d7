//! The router: gives every user a variant and keeps them there.
//!
//! [`assignment`](gondola_experiments::assignment) decides, as a pure function of configuration and user, so that every pod decides alike. [`Router`] asks the
//! variant that was decided on, and the control if that one is down; [`experiment`] says who takes part in an A/B test, and records
//! what they were shown. [`remote`] is a variant behind gRPC, at one address or
//! at several. In a cluster, [`watch`] makes a new router whenever configuration or addresses change.

pub mod experiment;
pub mod remote;
pub mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::future::join_all;
use gondola_crds::router_report::RouterReport;
use gondola_crds::routes::{BucketRange, ExperimentRoutes};
use gondola_events::intake::ToldOutcome;
use gondola_experiments::assignment::{Allocation, ArmRange, Assignment, AssignmentError, Reason, allocate};

use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{Degradation, RecommendRequest, SimilarRequest, UserUpdate, Visit};
use crate::server::service::{
    Code, PipelineDescription, Receipt, Recommender, Served, ServiceError, VariantDescription,
};
use experiment::{Enrolment, Recording, Ticket};

/// A variant that users may get.
#[derive(Clone)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
    /// The buckets of users that are remembered to be its own; where every variant has none, weights alone say who gets what.
    pub buckets: Vec<BucketRange>,
    /// What answers for it.
    pub recommender: Arc<dyn Recommender>,
}

/// Why a router can't be made.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The shares decide nothing.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// The control is none of the variants.
    #[error("the control {control:?} is none of the variants {variants:?}; name one of them")]
    Control {
        /// The control.
        control: String,
        /// The variants.
        variants: Vec<String>,
    },
    /// An arm of the experiment is none of the variants.
    #[error("the arm {arm:?} of the experiment is none of the variants {variants:?}; name one of them")]
    Arm {
        /// The arm.
        arm: String,
        /// The variants.
        variants: Vec<String>,
    },
}

/// Gives every user a variant.
pub struct Router {
    pipeline: String,
    assignment: Assignment,
    /// In the order of the assignment's arms: the control first.
    backends: Vec<Backend>,
    /// In the order of the specification.
    order: Vec<String>,
    /// The experiment that shares the users, and which backend each of its arms is.
    experiment: Option<(Enrolment, Vec<usize>)>,
    /// Where outcomes go: also those that come when an experiment is over.
    recording: Option<Arc<Recording>>,
}

/// Who answers a request, and why.
struct Choice<'a> {
    backend: usize,
    reason: Reason,
    ticket: Option<Ticket<'a>>,
}

impl Router {
    /// A router of the pipeline `namespace`/`pipeline`, whose users are shared by the weights of `backends`.
    pub fn new(
        namespace: &str,
        pipeline: &str,
        control: &str,
        mut backends: Vec<Backend>,
    ) -> Result<Self, RouterError> {
        let order: Vec<String> = backends.iter().map(|backend| backend.name.clone()).collect();
        let Some(position) = order.iter().position(|name| name == control) else {
            return Err(RouterError::Control {
                control: control.to_owned(),
                variants: order,
            });
        };
        backends[..=position].rotate_right(1);
        let names = backends.iter().map(|backend| backend.name.clone()).collect();
        let salt = format!("{namespace}/{pipeline}");
        let assignment = Assignment::with_allocation(&salt, names, allocation(&backends)?)?;
        Ok(Self {
            pipeline: pipeline.to_owned(),
            assignment,
            backends,
            order,
            experiment: None,
            recording: None,
        })
    }

    /// Takes what users do, whether or not an experiment goes on.
    pub fn with_recording(mut self, recording: Arc<Recording>) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Lets an experiment share the users: who takes part is split by its arms, and everybody else gets the control.
    pub fn with_experiment(
        mut self,
        routes: &ExperimentRoutes,
        recording: Arc<Recording>,
    ) -> Result<Self, RouterError> {
        let enrolment = Enrolment::new(routes, Arc::clone(&recording))?;
        let place = |arm: &Arc<str>| {
            let found = self.backends.iter().position(|backend| backend.name == **arm);
            found.ok_or_else(|| RouterError::Arm {
                arm: arm.to_string(),
                variants: self.order.clone(),
            })
        };
        let places = enrolment.arms().iter().map(place).collect::<Result<_, _>>()?;
        self.experiment = Some((enrolment, places));
        Ok(self.with_recording(recording))
    }

    /// Who answers a request.
    fn choose(&self, unit: &str, visit: &Visit) -> Choice<'_> {
        match &self.experiment {
            Some((enrolment, places)) => {
                let ticket = enrolment.enrol(unit, visit);
                Choice {
                    backend: places[ticket.assigned.arm],
                    reason: ticket.assigned.reason,
                    ticket: Some(ticket),
                }
            }
            None => {
                let assigned = self.assignment.assign_asked(unit, visit.arm.as_deref());
                Choice {
                    backend: assigned.arm,
                    reason: assigned.reason,
                    ticket: None,
                }
            }
        }
    }

    /// The answer of a backend, or the control's if that one is down.
    async fn ask(
        &self,
        place: usize,
        request: RecommendRequest,
        deadline: Instant,
    ) -> Result<Served, ServiceError> {
        let backend = &self.backends[place];
        match backend.recommender.recommend(request.clone(), deadline).await {
            Err(error) if place != 0 && is_down(&error) => {
                tracing::warn!(
                    variant = backend.name,
                    error = error.message(),
                    "the control variant answers instead"
                );
                let mut served = self.control().recommender.recommend(request, deadline).await?;
                served.answer.degraded.push(Degradation::FallbackToControl);
                Ok(served)
            }
            outcome => outcome,
        }
    }

    fn control(&self) -> &Backend {
        &self.backends[0]
    }

    /// Makes a change in every variant. The same change twice is the same as once, so that a client can repeat it.
    async fn put_everywhere<'a, F>(
        &'a self,
        put: impl Fn(&'a dyn Recommender) -> F,
    ) -> Result<(), ServiceError>
    where
        F: Future<Output = Result<(), ServiceError>> + 'a,
    {
        let outcomes = join_all(
            self.backends
                .iter()
                .map(|backend| put(backend.recommender.as_ref())),
        )
        .await;
        let anywhere = outcomes.iter().any(Result::is_ok);
        for (backend, outcome) in self.backends.iter().zip(outcomes) {
            match outcome {
                Ok(()) => {}
                // Where nothing was changed, the error alone says everything.
                Err(error) if !anywhere => return Err(error),
                Err(error) => {
                    let variant = backend.name.as_str().into();
                    return Err(ServiceError::PartlyPut {
                        variant,
                        source: Box::new(error),
                    });
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Recommender for Router {
    async fn recommend(
        &self,
        mut request: RecommendRequest,
        deadline: Instant,
    ) -> Result<Served, ServiceError> {
        let mut visit = std::mem::take(&mut request.visit);
        let request_id = visit.request.take();
        let user = request.user.clone();
        let unit = match &self.experiment {
            Some((enrolment, _)) => enrolment.unit(user.as_str(), &visit),
            None => user.as_str(),
        };
        let Choice {
            backend,
            reason,
            ticket,
        } = self.choose(unit, &visit);
        let outcome = self.ask(backend, request, deadline).await;
        if let (Some((enrolment, _)), Some(ticket)) = (&self.experiment, ticket) {
            enrolment.note(ticket, unit, request_id, &outcome);
        }
        let mut served = outcome?;
        served.reason = Some(reason);
        Ok(served)
    }

    /// Similar items are the same in every variant, so that the control answers, and another if it is down.
    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let mut outcome = self
            .control()
            .recommender
            .similar(request.clone(), deadline)
            .await;
        for backend in &self.backends[1..] {
            match &outcome {
                Err(error) if is_down(error) => {
                    outcome = backend.recommender.similar(request.clone(), deadline).await;
                }
                _ => break,
            }
        }
        outcome
    }

    async fn put_user(
        &self,
        user: UserId,
        update: UserUpdate,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        self.put_everywhere(|backend| backend.put_user(user.clone(), update.clone(), deadline))
            .await
    }

    async fn put_item(&self, item: ItemId, features: RawRow, deadline: Instant) -> Result<(), ServiceError> {
        self.put_everywhere(|backend| backend.put_item(item.clone(), features.clone(), deadline))
            .await
    }

    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        let asks = self
            .backends
            .iter()
            .map(|backend| backend.recommender.describe(deadline));
        let described = join_all(asks).await;
        let mut variants: Vec<VariantDescription> = self
            .backends
            .iter()
            .zip(described)
            .map(|(backend, described)| {
                let known = described
                    .ok()
                    .and_then(|description| description.variants.into_iter().next());
                let (bundles, summary) =
                    known.map_or_else(Default::default, |known| (known.bundles, known.summary));
                VariantDescription {
                    name: backend.name.clone(),
                    weight: backend.weight,
                    bundles,
                    summary,
                }
            })
            .collect();
        variants.sort_by_key(|variant| self.order.iter().position(|name| *name == variant.name));
        let control = self.control().name.clone();
        Ok(PipelineDescription {
            pipeline: self.pipeline.clone(),
            control,
            variants,
        })
    }

    fn unit_header(&self) -> Option<Arc<str>> {
        self.experiment.as_ref()?.0.unit_header()
    }

    fn report(&self) -> Option<RouterReport> {
        self.experiment.as_ref().map(|(enrolment, _)| enrolment.report())
    }

    fn record_outcomes(&self, told: Vec<Result<ToldOutcome, String>>) -> Result<Receipt, ServiceError> {
        match &self.recording {
            Some(recording) => recording.record_outcomes(told),
            None => Err(ServiceError::NoExperiment),
        }
    }
}

/// Who owns which buckets: as it is remembered, so that a change of weights moves the fewest users, or afresh by weights.
fn allocation(backends: &[Backend]) -> Result<Allocation, AssignmentError> {
    let remembered = by_place(backends, |backend| &backend.buckets);
    if !remembered.is_empty() {
        match Allocation::from_ranges(&remembered) {
            Ok(allocation) => return Ok(allocation),
            Err(error) => {
                tracing::warn!(%error, "the remembered buckets can't be used; weights alone decide")
            }
        }
    }
    let weights = backends
        .iter()
        .map(|backend| (backend.name.clone(), backend.weight));
    let fresh = allocate(&BTreeMap::new(), &weights.collect())?;
    Allocation::from_ranges(&by_place(backends, |backend| &fresh[&backend.name]))
}

/// The buckets of every backend, with its place.
fn by_place<'a>(
    backends: &'a [Backend],
    buckets: impl Fn(&'a Backend) -> &'a Vec<BucketRange>,
) -> Vec<ArmRange> {
    let mut ranges = Vec::new();
    for (place, backend) in backends.iter().enumerate() {
        ranges.extend(buckets(backend).iter().map(|range| ArmRange::of(place, range)));
    }
    ranges
}

/// Whether another variant could do better: not where the request is wrong, and not where there is too much to do.
fn is_down(error: &ServiceError) -> bool {
    match error.code() {
        Code::Unavailable | Code::Internal => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::DeadlineExceeded => false,
    }
}
