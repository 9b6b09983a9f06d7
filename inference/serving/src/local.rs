//! A variant in this process, called through the compute threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;

use gondola_causes::with_causes;
use gondola_models::pipeline::change::RefusedItem;
use gondola_models::pipeline::{RequestError, RequestErrorKind, Variant};
use gondola_online::{StoreError, Written};
use gondola_protocol::{
    BundleDescription, ChangeReceipt, Code, Digests, Explained, Inquiry, PipelineDescription, Recommender,
    RefusedChange, Served, ServiceError, VariantDescription, Visit,
};
use gondola_request::{
    Answer, Change, Degradation, ExplainRequest, Explanations, InformedRequest, ItemId, ItemState, Question,
    RecommendRequest, Rules, SimilarRequest, UserId, UserState, VariantSummary,
};

use gondola_server::traces;

use crate::compute::{Compute, Gatherer, NotDone};
use crate::live::{Informed, Live};

/// What a server needs of a variant. Answers, checks and items take their time, and are made on threads for that.
pub trait Pipeline: Send + Sync + 'static {
    /// Recommends items for a user.
    fn recommend(&self, request: &InformedRequest) -> Result<Answer, RequestError>;
    /// Finds similar items.
    fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError>;
    /// Whether recommendations are better made for several users together.
    fn gathers(&self) -> bool {
        false
    }
    /// Answers some requests, each as [`Pipeline::recommend`] does, in their order.
    fn recommend_each(&self, requests: &[InformedRequest]) -> Vec<Result<Answer, RequestError>> {
        requests.iter().map(|request| self.recommend(request)).collect()
    }
    /// Says what becomes of items in the answer for a user; `state` is what an online store holds of them.
    fn explain(
        &self,
        request: &ExplainRequest,
        state: Option<&UserState>,
    ) -> Result<Explanations, RequestError>;
    /// Refuses a change that the models can't be given.
    fn check(&self, change: &Change) -> Result<(), RequestError>;
    /// Makes items what an online store says they are.
    fn set_items(&self, states: Vec<(ItemId, Option<ItemState>)>) -> Vec<RefusedItem>;
    /// Follows rules from the next request on, or the manifest's alone.
    fn set_rules(&self, rules: Option<&Rules>) -> Result<(), RequestError>;
    /// The most popular items, in microseconds.
    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError>;
    /// Its name.
    fn name(&self) -> &str;
    /// What it holds.
    fn summary(&self) -> VariantSummary;
}

impl Pipeline for Variant {
    fn recommend(&self, request: &InformedRequest) -> Result<Answer, RequestError> {
        self.recommend_informed(&request.request, request.state.as_deref())
    }

    fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError> {
        Variant::similar(self, request)
    }

    fn gathers(&self) -> bool {
        self.has_device()
    }

    fn recommend_each(&self, requests: &[InformedRequest]) -> Vec<Result<Answer, RequestError>> {
        Variant::recommend_each(self, requests)
    }

    fn explain(
        &self,
        request: &ExplainRequest,
        state: Option<&UserState>,
    ) -> Result<Explanations, RequestError> {
        Variant::explain(self, request, state)
    }

    fn check(&self, change: &Change) -> Result<(), RequestError> {
        Variant::check(self, change)
    }

    fn set_items(&self, states: Vec<(ItemId, Option<ItemState>)>) -> Vec<RefusedItem> {
        Variant::set_items(self, states)
    }

    fn set_rules(&self, rules: Option<&Rules>) -> Result<(), RequestError> {
        Variant::set_rules(self, rules)
    }

    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError> {
        Variant::popular(self, k)
    }

    fn name(&self) -> &str {
        Variant::name(self)
    }

    fn summary(&self) -> VariantSummary {
        Variant::summary(self)
    }
}

/// A variant in this process.
pub struct LocalVariant<P> {
    pipeline: Arc<P>,
    compute: Arc<Compute>,
    /// The online store, if there is one.
    live: Option<Arc<Live<P>>>,
    /// Where recommendations are made for several users together.
    gatherer: Option<Gatherer<InformedRequest, Result<Answer, RequestError>>>,
    name: Arc<str>,
    bundles: Digests,
    description: PipelineDescription,
}

impl<P: Pipeline> LocalVariant<P> {
    /// Serves `pipeline`, which was made of `bundles`, on the threads of `compute`. `of` names the whole pipeline. Nothing can be put yet.
    pub fn new(
        of: &str,
        pipeline: Arc<P>,
        weight: u32,
        bundles: BTreeMap<String, BundleDescription>,
        compute: Arc<Compute>,
    ) -> Self {
        let digests = bundles
            .iter()
            .map(|(role, bundle)| (role.clone(), bundle.digest.clone()));
        let digests = Arc::new(digests.collect());
        let name = pipeline.name().to_owned();
        let summary = Some(pipeline.summary());
        let variant = VariantDescription {
            name: name.clone(),
            weight,
            bundles,
            summary,
        };
        let description = PipelineDescription {
            pipeline: of.to_owned(),
            control: name.clone(),
            variants: vec![variant],
        };
        let gatherer = pipeline.gathers().then(|| {
            let pipeline = Arc::clone(&pipeline);
            Gatherer::new(Arc::clone(&compute), move |requests: &[InformedRequest]| {
                pipeline.recommend_each(requests)
            })
        });
        Self {
            pipeline,
            compute,
            live: None,
            gatherer,
            name: name.into(),
            bundles: digests,
            description,
        }
    }

    /// Has an online store, which brings this variant's pipeline up to date and takes changes.
    pub fn with_live(self, live: Arc<Live<P>>) -> Self {
        Self {
            live: Some(live),
            ..self
        }
    }

    /// Does `work` on a compute thread, until the deadline.
    async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&P) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let pipeline = Arc::clone(&self.pipeline);
        let done = self.compute.run(deadline, move || work(&pipeline)).await;
        done.map_err(not_done)?.map_err(|error| refused(&error))
    }

    /// Answers a question on a compute thread, alone or together with others, until the deadline.
    async fn ask(&self, question: Question, deadline: Instant) -> Result<Answer, ServiceError> {
        let answer = match question {
            Question::Recommend(request) => self.recommend(request, deadline).await,
            Question::Similar(request) => {
                self.run(deadline, move |pipeline| pipeline.similar(&request))
                    .await
            }
        }?;
        traces::add_stages(&answer.timing, SystemTime::now());
        Ok(answer)
    }

    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Answer, ServiceError> {
        let (state, informed) = self.informed(&request.user, deadline).await;
        let request = InformedRequest { request, state };
        let answer = match &self.gatherer {
            Some(gatherer) => {
                let done = gatherer.run(deadline, request).await;
                done.map_err(not_done)?.map_err(|error| refused(&error))
            }
            None => {
                self.run(deadline, move |pipeline| pipeline.recommend(&request))
                    .await
            }
        };
        let mut answer = answer?;
        if !informed {
            answer.degraded.push(Degradation::OnlineStore);
        }
        Ok(answer)
    }

    /// What the online store holds of a user, and whether it said so. A quarter of the time at most goes there.
    async fn informed(&self, user: &UserId, deadline: Instant) -> (Option<Arc<UserState>>, bool) {
        let Some(live) = self.live.as_ref().filter(|_| !user.as_str().is_empty()) else {
            return (None, true);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match live.user(user, left / 4).await {
            Informed::Fully(state) => (state, true),
            Informed::Not => (None, false),
        }
    }

    /// The changes that the models can be given, with their places, and those that they can't.
    async fn checked(
        &self,
        changes: Vec<Change>,
        deadline: Instant,
    ) -> Result<(Vec<(usize, Change)>, Vec<RefusedChange>), ServiceError> {
        let check = move |pipeline: &P| {
            let (mut sound, mut refused) = (Vec::new(), Vec::new());
            for (index, change) in changes.into_iter().enumerate() {
                match pipeline.check(&change) {
                    Ok(()) => sound.push((index, change)),
                    Err(error) => refused.push(RefusedChange {
                        index,
                        code: code(&error),
                        problem: with_causes(&error),
                    }),
                }
            }
            Ok((sound, refused))
        };
        self.run(deadline, check).await
    }

    fn served(&self, answer: Answer) -> Served {
        Served {
            variant: Arc::clone(&self.name),
            reason: None,
            bundles: Arc::clone(&self.bundles),
            answer,
        }
    }
}

#[async_trait]
impl<P: Pipeline> Recommender for LocalVariant<P> {
    /// Popular items take the place of recommendations that are late. They are like nothing, so that late neighbors are an error.
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError> {
        let question = inquiry.question;
        let recommends = matches!(question, Question::Recommend(_));
        let k = question.k();
        match self.ask(question, deadline).await {
            Err(ServiceError::DeadlineExceeded) if recommends => {
                let mut answer = self.pipeline.popular(k).map_err(|error| refused(&error))?;
                answer.degraded.push(Degradation::Deadline);
                Ok(self.served(answer))
            }
            answer => Ok(self.served(answer?)),
        }
    }

    async fn explain(
        &self,
        request: ExplainRequest,
        _visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError> {
        let (state, informed) = self.informed(&request.user, deadline).await;
        let explain = move |pipeline: &P| pipeline.explain(&request, state.as_deref());
        let mut explanations = self.run(deadline, explain).await?;
        if !informed {
            explanations.degraded.push(Degradation::OnlineStore);
        }
        traces::add_stages(&explanations.timing, SystemTime::now());
        Ok(Explained {
            variant: Arc::clone(&self.name),
            reason: None,
            bundles: Arc::clone(&self.bundles),
            explanations,
        })
    }

    async fn change(&self, changes: Vec<Change>, deadline: Instant) -> Result<ChangeReceipt, ServiceError> {
        let live = self.live.as_ref().ok_or(ServiceError::NoOnlineStore)?;
        let (sound, refused) = self.checked(changes, deadline).await?;
        let mut receipt = ChangeReceipt {
            refused,
            ..ChangeReceipt::default()
        };
        if sound.is_empty() {
            return Ok(receipt);
        }
        let (places, changes): (Vec<usize>, Vec<Change>) = sound.into_iter().unzip();
        let written = tokio::time::timeout_at(deadline.into(), live.write(&changes)).await;
        let outcome = written
            .map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(not_written)?;
        for ((index, change), written) in places.into_iter().zip(&changes).zip(outcome.written) {
            note(&mut receipt, index, change, written);
        }
        receipt.refused.sort_by_key(|refused| refused.index);
        Ok(receipt)
    }

    async fn rules(&self, deadline: Instant) -> Result<Rules, ServiceError> {
        let live = self.live.as_ref().ok_or(ServiceError::NoOnlineStore)?;
        let read = tokio::time::timeout_at(deadline.into(), live.rules()).await;
        read.map_err(|_| ServiceError::DeadlineExceeded)?
            .map_err(not_read)
    }

    async fn describe(&self, _deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        Ok(self.description.clone())
    }
}

fn note(receipt: &mut ChangeReceipt, index: usize, change: &Change, written: Written) {
    let problem = match written {
        Written::Taken => {
            receipt.taken += 1;
            return;
        }
        Written::Duplicate => {
            receipt.taken += 1;
            receipt.duplicates += 1;
            return;
        }
        Written::Conflict => {
            let event = match change {
                Change::Interaction(interaction) => interaction.event_id.as_str(),
                _ => "",
            };
            format!(
                "event {event:?} of this user was sent before with other content; give each event an id of its own"
            )
        }
        Written::Refused { problem } => problem,
    };
    receipt.refused.push(RefusedChange {
        index,
        code: Code::InvalidArgument,
        problem,
    });
}

/// The error of changes that an online store did not take, for clients.
fn not_written(error: StoreError) -> ServiceError {
    ServiceError::OnlineStore {
        problem: with_causes(&error),
    }
}

/// The error of what an online store did not say.
fn not_read(error: StoreError) -> ServiceError {
    ServiceError::Refused {
        code: Code::Unavailable,
        message: with_causes(&error),
    }
}

/// The error of work that was not done, for clients.
fn not_done(error: NotDone) -> ServiceError {
    let refused = |code| ServiceError::Refused {
        code,
        message: error.to_string(),
    };
    match error {
        NotDone::QueueFull { .. } => refused(Code::ResourceExhausted),
        NotDone::Late => ServiceError::DeadlineExceeded,
        NotDone::Panicked => refused(Code::Internal),
    }
}

/// The error of a request that the models refused, for clients.
fn refused(error: &RequestError) -> ServiceError {
    ServiceError::Refused {
        code: code(error),
        message: with_causes(error),
    }
}

fn code(error: &RequestError) -> Code {
    match error.kind() {
        RequestErrorKind::InvalidArgument => Code::InvalidArgument,
        RequestErrorKind::NotFound => Code::NotFound,
        RequestErrorKind::ResourceExhausted => Code::ResourceExhausted,
        RequestErrorKind::Unimplemented => Code::Unimplemented,
        RequestErrorKind::Internal => Code::Internal,
    }
}
