//! A variant in this process, asked through the compute threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::compute::{Compute, NotDone};
use super::service::{
    BundleDescription, Digests, PipelineDescription, Recommender, Served, ServiceError, VariantDescription,
};
use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{
    Answer, Degradation, RecommendRequest, RequestError, SimilarRequest, UserUpdate, Variant, VariantSummary,
};

/// What a server needs of a variant. Calls take their time and are made on compute threads, but for the last three.
pub trait Pipeline: Send + Sync + 'static {
    /// Answers a personalised request.
    fn recommend(&self, request: &RecommendRequest) -> Result<Answer, RequestError>;
    /// Answers with similar items.
    fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError>;
    /// Puts a new or changed user.
    fn put_user(&self, user: UserId, update: UserUpdate) -> Result<(), RequestError>;
    /// Puts a new or changed item.
    fn put_item(&self, item: ItemId, features: RawRow) -> Result<(), RequestError>;
    /// The most popular items, in microseconds.
    fn popular(&self, k: Option<usize>) -> Result<Answer, RequestError>;
    /// Its name.
    fn name(&self) -> &str;
    /// What it holds.
    fn summary(&self) -> VariantSummary;
}

impl Pipeline for Variant {
    fn recommend(&self, request: &RecommendRequest) -> Result<Answer, RequestError> {
        Variant::recommend(self, request)
    }

    fn similar(&self, request: &SimilarRequest) -> Result<Answer, RequestError> {
        Variant::similar(self, request)
    }

    fn put_user(&self, user: UserId, update: UserUpdate) -> Result<(), RequestError> {
        Variant::put_user(self, user, update)
    }

    fn put_item(&self, item: ItemId, features: RawRow) -> Result<(), RequestError> {
        Variant::put_item(self, item, features)
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
        Self {
            pipeline: Arc::new(pipeline),
            compute,
            name: name.into(),
            bundles: digests,
            description,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce(&P) -> Result<T, RequestError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let pipeline = Arc::clone(&self.pipeline);
        Ok(self.compute.run(deadline, move || work(&pipeline)).await??)
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
    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let k = request.k;
        match self
            .run(deadline, move |pipeline| pipeline.recommend(&request))
            .await
        {
            Err(ServiceError::NotDone(NotDone::Late)) => {
                let mut answer = self.pipeline.popular(k)?;
                answer.degraded.push(Degradation::Deadline);
                Ok(self.served(answer))
            }
            answer => Ok(self.served(answer?)),
        }
    }

    /// Popular items are like nothing, so that a late answer is an error here.
    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let answer = self
            .run(deadline, move |pipeline| pipeline.similar(&request))
            .await?;
        Ok(self.served(answer))
    }

    async fn put_user(
        &self,
        user: UserId,
        update: UserUpdate,
        deadline: Instant,
    ) -> Result<(), ServiceError> {
        self.run(deadline, move |pipeline| pipeline.put_user(user, update))
            .await
    }

    async fn put_item(&self, item: ItemId, features: RawRow, deadline: Instant) -> Result<(), ServiceError> {
        self.run(deadline, move |pipeline| pipeline.put_item(item, features))
            .await
    }

    async fn describe(&self, _deadline: Instant) -> Result<PipelineDescription, ServiceError> {
        Ok(self.description.clone())
    }
}
