//! A variant in this process, called through the compute threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use gondola_causes::with_causes;
use gondola_models::pipeline::{RequestError, RequestErrorKind, Variant};
use gondola_protocol::{
    BundleDescription, Code, Digests, Inquiry, PipelineDescription, Recommender, Served, ServiceError,
    VariantDescription,
};
use gondola_request::{Answer, Change, Degradation, Question, RecommendRequest, VariantSummary};

use crate::compute::{Compute, Gatherer, NotDone};

/// What a server needs of a variant. `answer` and `change` take their time, and are called on compute threads.
pub trait Pipeline: Send + Sync + 'static {
    /// Answers a question.
    fn answer(&self, question: &Question) -> Result<Answer, RequestError>;
    /// Whether recommendations are better made for several users together.
    fn gathers(&self) -> bool {
        false
    }
    /// Answers some requests, each as [`Pipeline::answer`] does, in their order.
    fn recommend_each(&self, requests: &[RecommendRequest]) -> Vec<Result<Answer, RequestError>> {
        let answer = |request: &RecommendRequest| self.answer(&Question::Recommend(request.clone()));
        requests.iter().map(answer).collect()
    }
    /// Makes a change.
    fn change(&self, change: Change) -> Result<(), RequestError>;
    /// The most popular items, in microseconds.
    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError>;
    /// Its name.
    fn name(&self) -> &str;
    /// What it holds.
    fn summary(&self) -> VariantSummary;
}

impl Pipeline for Variant {
    fn answer(&self, question: &Question) -> Result<Answer, RequestError> {
        match question {
            Question::Recommend(request) => self.recommend(request),
            Question::Similar(request) => self.similar(request),
        }
    }

    fn gathers(&self) -> bool {
        self.has_device()
    }

    fn recommend_each(&self, requests: &[RecommendRequest]) -> Vec<Result<Answer, RequestError>> {
        Variant::recommend_each(self, requests)
    }

    fn change(&self, change: Change) -> Result<(), RequestError> {
        match change {
            Change::User { user, update } => self.put_user(user, update),
            Change::Item { item, features } => self.put_item(item, features),
        }
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
    /// Where recommendations are made for several users together.
    gatherer: Option<Gatherer<RecommendRequest, Result<Answer, RequestError>>>,
    name: Arc<str>,
    bundles: Digests,
    description: PipelineDescription,
}

impl<P: Pipeline> LocalVariant<P> {
    /// Serves `pipeline`, which was made of `bundles`, on the threads of `compute`. `of` names the whole pipeline.
    pub fn new(
        of: &str,
        pipeline: P,
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
        let pipeline = Arc::new(pipeline);
        let gatherer = pipeline.gathers().then(|| {
            let pipeline = Arc::clone(&pipeline);
            Gatherer::new(Arc::clone(&compute), move |requests: &[RecommendRequest]| {
                pipeline.recommend_each(requests)
            })
        });
        Self {
            pipeline,
            compute,
            gatherer,
            name: name.into(),
            bundles: digests,
            description,
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
        match (&self.gatherer, question) {
            (Some(gatherer), Question::Recommend(request)) => {
                let done = gatherer.run(deadline, request).await;
                done.map_err(not_done)?.map_err(|error| refused(&error))
            }
            (_, question) => {
                self.run(deadline, move |pipeline| pipeline.answer(&question))
                    .await
            }
        }
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

    async fn change(&self, change: Change, deadline: Instant) -> Result<(), ServiceError> {
        self.run(deadline, move |pipeline| pipeline.change(change)).await
    }

    async fn describe(&self, _deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        Ok(self.description.clone())
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
    let code = match error.kind() {
        RequestErrorKind::InvalidArgument => Code::InvalidArgument,
        RequestErrorKind::NotFound => Code::NotFound,
        RequestErrorKind::ResourceExhausted => Code::ResourceExhausted,
        RequestErrorKind::Unimplemented => Code::Unimplemented,
        RequestErrorKind::Internal => Code::Internal,
    };
    ServiceError::Refused {
        code,
        message: with_causes(error),
    }
}
