//! The router: gives every user a variant and keeps them there.
//!
//! [`assignment`] decides, as a pure function of configuration and user, so that every pod decides alike. [`Router`] asks the
//! variant that was decided on, and the control if that one is down; [`remote`] is a variant behind gRPC, at one address or
//! at several. In a cluster, [`watch`] makes a new router whenever configuration or addresses change.

pub mod assignment;
pub mod remote;
pub mod watch;

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::future::join_all;

use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{Degradation, RecommendRequest, SimilarRequest, UserUpdate};
use crate::server::service::{
    Code, PipelineDescription, Recommender, Served, ServiceError, VariantDescription,
};
use assignment::{Arm, Assignment, AssignmentError};

/// A variant that users may get.
#[derive(Clone)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
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
}

/// Gives every user a variant.
pub struct Router {
    pipeline: String,
    assignment: Assignment,
    /// In the order of the assignment's arms: the control first.
    backends: Vec<Backend>,
    /// In the order of the specification.
    order: Vec<String>,
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
        let arm = |backend: &Backend| Arm {
            name: backend.name.clone(),
            weight: backend.weight,
        };
        let arms: Vec<Arm> = backends.iter().map(arm).collect();
        let assignment = Assignment::new(&format!("{namespace}/{pipeline}"), &arms)?;
        Ok(Self {
            pipeline: pipeline.to_owned(),
            assignment,
            backends,
            order,
        })
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
    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Served, ServiceError> {
        let assigned = self.assignment.assign(request.user.as_str());
        let backend = &self.backends[assigned.arm];
        let mut served = match backend.recommender.recommend(request.clone(), deadline).await {
            Err(error) if assigned.arm != 0 && is_down(&error) => {
                tracing::warn!(
                    variant = backend.name,
                    error = error.message(),
                    "the control variant answers instead"
                );
                let mut served = self.control().recommender.recommend(request, deadline).await?;
                served.answer.degraded.push(Degradation::FallbackToControl);
                served
            }
            outcome => outcome?,
        };
        served.reason = Some(assigned.reason);
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
