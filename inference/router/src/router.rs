//! The router: gives every user a variant and keeps them there.
//!
//! [`assignment`](gondola_experiments::assignment) decides, as a pure function of configuration and user, so that every pod decides alike.
//! [`Router`] calls the assigned variant, then the control, then every other variant until one answers, and shows the popular
//! items of the [`last_resort`](crate::last_resort) where none does in time. [`experiment`](crate::experiment) says who takes part in an
//! A/B test, and records what they were shown. [`remote`](crate::remote) is a variant behind gRPC, at one address or at several. In a
//! cluster, [`watch`](crate::watch) makes a new router whenever configuration or addresses change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::join_all;
use gondola_events::intake::{RawOutcome, RawTime};
use gondola_experiments::assignment::{Allocation, ArmRange, Assignment, AssignmentError, Reason, allocate};
use gondola_wire::router_report::RouterReport;
use gondola_wire::routes::{BucketRange, ExperimentRoutes};

use gondola_causes::with_causes;
use gondola_protocol::{
    AssignmentReason, ChangeReceipt, Code, Explained, Inquiry, PipelineDescription, Recommender, Served,
    ServiceError, VariantDescription, Visit,
};
use gondola_request::{
    Change, Degradation, ExplainRequest, Moment, Question, RecommendRequest, Rules, SimilarRequest,
};
use gondola_server::experimenter::{Experimenter, Receipt};

use crate::experiment::{Enrolment, Recording, Ticket};
use crate::hedge;
use crate::last_resort::{LastResort, MAX_KEPT, Popular};

/// How long a variant may take for the list of last resort, for which nobody waits.
const LIST_WITHIN: Duration = Duration::from_secs(5);

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
    /// The experiment that splits the users, and which backend each of its arms is.
    experiment: Option<(Enrolment, Vec<usize>)>,
    /// Where outcomes go: also those that come when an experiment is over.
    recording: Option<Arc<Recording>>,
    last_resort: Arc<LastResort>,
}

/// Who answers a request, and why.
struct Choice<'a> {
    backend: usize,
    reason: Reason,
    ticket: Option<Ticket<'a>>,
}

impl Router {
    /// A router of the pipeline `namespace`/`pipeline`, whose users are split by the buckets or the weights of `backends`. Where the
    /// control is none of them the first takes its place, and without any of them every request gets that error: a router that could not
    /// be made would leave an older one in place.
    pub fn new(
        namespace: &str,
        pipeline: &str,
        control: &str,
        mut backends: Vec<Backend>,
    ) -> Result<Self, RouterError> {
        let order: Vec<String> = backends.iter().map(|backend| backend.name.clone()).collect();
        if let Some(position) = order.iter().position(|name| name == control) {
            backends[..=position].rotate_right(1);
        }
        let shares = backends.iter().map(|backend| Share {
            name: &backend.name,
            weight: backend.weight,
            buckets: &backend.buckets,
        });
        let salt = format!("{namespace}/{pipeline}");
        let assignment = split_by_weight(&salt, control, shares.collect())?;
        Ok(Self {
            pipeline: pipeline.to_owned(),
            assignment,
            backends,
            order,
            experiment: None,
            recording: None,
            last_resort: Arc::default(),
        })
    }

    /// Shows the items of a list that others keep and that outlives this router, where no variant answers in time.
    pub fn with_last_resort(mut self, last_resort: Arc<LastResort>) -> Self {
        self.last_resort = last_resort;
        self
    }

    /// Records what users do, whether or not an experiment is running.
    pub fn with_recording(mut self, recording: Arc<Recording>) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Lets an experiment split the users: who takes part is split by its arms, and everybody else gets the control.
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

    /// The answer of the user's variant or, where that one is down or too slow, of another; popular items where none answers in time.
    async fn ask(
        &self,
        place: usize,
        request: RecommendRequest,
        deadline: Instant,
    ) -> Result<Served, ServiceError> {
        let k = request.k;
        let ask = |other: usize| {
            let answer = self.backends[other]
                .recommender
                .answer(request.clone().into(), deadline);
            async move {
                let mut served = answer.await?;
                served.answer.degraded.extend(fallback(place, other));
                Ok(served)
            }
        };
        let answer = self.first_answer(place, deadline, ask);
        if !self.last_resort.is_known() {
            return answer.await;
        }
        let give_up = deadline - left(deadline) / 20;
        match tokio::time::timeout_at(give_up.into(), answer).await {
            Ok(Err(error)) if is_down(&error) => self.last_resort.answer(k).ok_or(error),
            Ok(outcome) => outcome,
            Err(_) => self.last_resort.answer(k).ok_or(ServiceError::Late),
        }
    }

    /// Asks the backend at `place`, then the control, then all others: the next when one is down, or half of the time that is left has
    /// passed.
    async fn first_answer<F>(
        &self,
        place: usize,
        deadline: Instant,
        ask: impl Fn(usize) -> F,
    ) -> Result<Served, ServiceError>
    where
        F: Future<Output = Result<Served, ServiceError>>,
    {
        let others = (0..self.backends.len()).filter(|other| *other != place);
        let mut places = std::iter::once(place).chain(others);
        let next = |_| places.next().map(&ask);
        let patience = |_| left(deadline) / 2;
        hedge::first_answer(next, patience, |error| !is_down(error))
            .await
            .unwrap_or(Err(ServiceError::NoVariant))
    }

    fn control(&self) -> Result<&Backend, ServiceError> {
        self.backends.first().ok_or(ServiceError::NoVariant)
    }

    /// Asks whichever variant answers for the list of last resort; whether one did.
    pub async fn refresh_last_resort(&self) -> bool {
        for backend in &self.backends {
            match popular(backend).await {
                Ok(popular) => {
                    self.last_resort.set(popular);
                    return true;
                }
                Err(error) => {
                    let (variant, error) = (&backend.name, with_causes(&error));
                    tracing::debug!(variant, error, "no list of last resort from this variant");
                }
            }
        }
        false
    }

    /// What a variant says of what all have in common, the online store: the control, or another if it can't be reached.
    async fn somewhere<T, F>(&self, ask: impl Fn(usize) -> F) -> Result<T, ServiceError>
    where
        F: Future<Output = Result<T, ServiceError>>,
    {
        let mut last = ServiceError::NoVariant;
        for place in 0..self.backends.len() {
            match ask(place).await {
                Err(error @ (ServiceError::Unreachable { .. } | ServiceError::Loading)) => last = error,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    /// Records what users did as outcomes of the experiment, if there is one: as far as its analysis goes, they are the same.
    fn record_interactions(&self, changes: &[Change], receipt: &ChangeReceipt) {
        let (Some(recording), Some(_)) = (&self.recording, &self.experiment) else {
            return;
        };
        let refused: Vec<usize> = receipt.refused.iter().map(|refused| refused.index).collect();
        let taken = changes
            .iter()
            .enumerate()
            .filter(|(place, _)| !refused.contains(place));
        let outcomes: Vec<_> = taken.filter_map(|(_, change)| outcome(change)).map(Ok).collect();
        if outcomes.is_empty() {
            return;
        }
        match recording.record_outcomes(outcomes) {
            Ok(receipt) => {
                for refusal in receipt.refused {
                    tracing::warn!(
                        problem = refusal.problem,
                        "an interaction is no outcome of the experiment"
                    );
                }
            }
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(
                    error,
                    "interactions were not recorded as outcomes of the experiment"
                );
            }
        }
    }
}

/// What a user did, as an outcome of an experiment.
fn outcome(change: &Change) -> Option<RawOutcome> {
    let Change::Interaction(interaction) = change else {
        return None;
    };
    let unit = interaction.unit.clone();
    Some(RawOutcome {
        event_id: Some(interaction.event_id.clone()),
        unit: unit.unwrap_or_else(|| interaction.user.as_str().to_owned()),
        kind: interaction.kind.to_string(),
        value: interaction.price,
        item_id: Some(interaction.item.as_str().to_owned()),
        request_id: interaction.request_id.clone(),
        event_time: interaction.event_time.map(|Moment(at)| RawTime::Milliseconds(at)),
    })
}

impl Router {
    /// The recommendation of the unit's variant, noted for the experiment if there is one.
    async fn recommend(
        &self,
        request: RecommendRequest,
        mut visit: Visit,
        deadline: Instant,
    ) -> Result<Served, ServiceError> {
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
        self.control()?;
        let outcome = self.ask(backend, request, deadline).await;
        if let (Some((enrolment, _)), Some(ticket)) = (&self.experiment, ticket) {
            enrolment.note(ticket, unit, request_id, &outcome);
        }
        let mut served = outcome?;
        served.reason = Some(public(reason));
        Ok(served)
    }

    /// What the unit's own variant, and no other in its place, makes of items. Nobody is shown anything, so that there is no exposure.
    async fn explain_own(
        &self,
        request: ExplainRequest,
        visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        self.control()?;
        let user = request.user.as_str();
        let (backend, reason) = match &self.experiment {
            Some((enrolment, places)) => {
                let assigned = enrolment.assigned(enrolment.unit(user, &visit), &visit);
                (places[assigned.arm], assigned.reason)
            }
            None => {
                let assigned = self.assignment.assign_asked(user, visit.arm.as_deref());
                (assigned.arm, assigned.reason)
            }
        };
        let recommender = &self.backends[backend].recommender;
        let mut explained = recommender.explain(request, Visit::default(), deadline).await?;
        explained.reason = Some(public(reason));
        Ok(explained)
    }

    /// Similar items are the same in every variant, so the control is called, and another one if it is down.
    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let ask = |place: usize| {
            self.backends[place]
                .recommender
                .answer(request.clone().into(), deadline)
        };
        self.control()?;
        self.first_answer(0, deadline, ask).await
    }
}

/// Why a user got a variant, as reported to clients.
fn public(reason: Reason) -> AssignmentReason {
    match reason {
        Reason::Assigned => AssignmentReason::Assigned,
        Reason::Forced => AssignmentReason::Forced,
        Reason::NoUnit => AssignmentReason::NoUnit,
        Reason::Holdout => AssignmentReason::Holdout,
        Reason::NotInTraffic => AssignmentReason::NotInTraffic,
    }
}

#[async_trait]
impl Recommender for Router {
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError> {
        match inquiry.question {
            Question::Recommend(request) => self.recommend(request, inquiry.visit, deadline).await,
            Question::Similar(request) => self.similar(request, deadline).await,
        }
    }

    async fn explain(
        &self,
        request: ExplainRequest,
        visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        self.explain_own(request, visit, deadline).await
    }

    async fn change(&self, changes: Vec<Change>, deadline: Instant) -> Result<ChangeReceipt, ServiceError> {
        let change = |place: usize| {
            let recommender = &self.backends[place].recommender;
            recommender.change(changes.clone(), deadline)
        };
        let receipt = self.somewhere(change).await?;
        self.record_interactions(&changes, &receipt);
        Ok(receipt)
    }

    async fn rules(&self, deadline: Instant) -> Result<Rules, ServiceError> {
        self.somewhere(|place| self.backends[place].recommender.rules(deadline))
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
        let control = self
            .control()
            .map_or_else(|_| String::new(), |control| control.name.clone());
        Ok(PipelineDescription {
            pipeline: self.pipeline.clone(),
            control,
            variants,
        })
    }
}

impl Experimenter for Router {
    fn unit_header(&self) -> Option<Arc<str>> {
        self.experiment.as_ref()?.0.unit_header()
    }

    fn report(&self) -> Option<RouterReport> {
        self.experiment.as_ref().map(|(enrolment, _)| enrolment.report())
    }

    fn record_outcomes(&self, reported: Vec<Result<RawOutcome, String>>) -> Result<Receipt, ServiceError> {
        match &self.recording {
            Some(recording) => match recording.record_outcomes(reported) {
                // This program was started before there was an experiment, and another takes its place.
                Err(ServiceError::NoExperiment) if self.experiment.is_some() => Err(ServiceError::Stopping),
                receipt => receipt,
            },
            None => Err(ServiceError::NoExperiment),
        }
    }
}

/// A variant's share of the users.
#[derive(Clone, Copy)]
pub(crate) struct Share<'a> {
    /// The variant's name.
    pub(crate) name: &'a str,
    /// Its share, relative to the sum of all weights.
    pub(crate) weight: u32,
    /// The buckets that are remembered to be its own.
    pub(crate) buckets: &'a [BucketRange],
}

/// Splits users by weight. The control comes first; where it is none of the variants, the first of them does.
pub(crate) fn split_by_weight(
    salt: &str,
    control: &str,
    mut shares: Vec<Share<'_>>,
) -> Result<Assignment, AssignmentError> {
    if let Some(position) = shares.iter().position(|share| share.name == control) {
        shares[..=position].rotate_right(1);
    }
    let names = shares.iter().map(|share| share.name.to_owned()).collect();
    Assignment::with_allocation(salt, names, allocation(&shares)?)
}

/// Who owns which buckets: as it is remembered, so that a change of weights moves the fewest users, or afresh by weights.
fn allocation(shares: &[Share<'_>]) -> Result<Allocation, AssignmentError> {
    let remembered = by_place(shares, |share| share.buckets);
    if !remembered.is_empty() {
        match Allocation::from_ranges(&remembered) {
            Ok(allocation) => return Ok(allocation),
            Err(error) => {
                tracing::warn!(%error, "the remembered buckets can't be used; weights alone decide")
            }
        }
    }
    // Whoever owns the buckets: there is no variant to call.
    if shares.is_empty() {
        return Allocation::new(&[1]);
    }
    let weights = shares.iter().map(|share| (share.name.to_owned(), share.weight));
    let fresh = allocate(&BTreeMap::new(), &weights.collect())?;
    Allocation::from_ranges(&by_place(shares, |share| &fresh[share.name]))
}

/// The buckets of every variant, with its place.
fn by_place<'a>(
    shares: &'a [Share<'a>],
    buckets: impl Fn(&'a Share<'a>) -> &'a [BucketRange],
) -> Vec<ArmRange> {
    let mut ranges = Vec::new();
    for (place, share) in shares.iter().enumerate() {
        ranges.extend(buckets(share).iter().map(|range| ArmRange::of(place, range)));
    }
    ranges
}

/// Popular items of a variant: the recommendations of an unknown user.
async fn popular(backend: &Backend) -> Result<Popular, ServiceError> {
    let deadline = Instant::now() + LIST_WITHIN;
    let described = backend.recommender.describe(deadline).await?;
    let summary = described.variants.into_iter().find_map(|variant| variant.summary);
    let most = summary.as_ref().map(|summary| summary.candidates.min(MAX_KEPT));
    let anybody = |k| RecommendRequest { user: "".into(), k };
    let served = match backend.recommender.answer(anybody(most).into(), deadline).await {
        // A small shop has fewer items than a variant may look at.
        Err(error) if error.code() == Code::InvalidArgument => {
            backend.recommender.answer(anybody(None).into(), deadline).await?
        }
        served => served?,
    };
    Ok(Popular {
        variant: served.variant,
        bundles: served.bundles,
        usual: summary.map_or(served.answer.items.len(), |summary| summary.limit),
        items: served.answer.items,
    })
}

/// What to say where another than the user's variant answered.
fn fallback(place: usize, answered: usize) -> Option<Degradation> {
    match answered {
        same if same == place => None,
        0 => Some(Degradation::FallbackToControl),
        _ => Some(Degradation::FallbackToVariant),
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Whether another variant could do better: not where the request is wrong, and not where there is too much to do.
fn is_down(error: &ServiceError) -> bool {
    match error.code() {
        Code::Unavailable | Code::Internal | Code::DeadlineExceeded => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::ResourceExhausted
        | Code::Unimplemented
        | Code::Unauthenticated
        | Code::PermissionDenied => false,
    }
}
