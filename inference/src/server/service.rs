//! What can be asked of a pipeline, whoever answers: one variant in this process, or a router in front of several.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use gondola_crds::router_report::RouterReport;
use gondola_events::intake::{Refusal, ToldOutcome};
use gondola_experiments::assignment::Reason;
use serde::Serialize;

use super::compute::NotDone;
use crate::causes::with_causes;
use crate::features::{ItemId, RawRow, UserId};
use crate::pipeline::{
    Answer, RecommendRequest, RequestError, RequestErrorKind, SimilarRequest, UserUpdate, VariantSummary,
};

/// Answers asks. Each has until its deadline.
#[async_trait]
pub trait Recommender: Send + Sync + 'static {
    /// What a user should see.
    async fn recommend(&self, request: RecommendRequest, deadline: Instant) -> Result<Served, ServiceError>;

    /// What is like an item.
    async fn similar(&self, request: SimilarRequest, deadline: Instant) -> Result<Served, ServiceError>;

    /// Adds a user or changes one.
    async fn put_user(&self, user: UserId, update: UserUpdate, deadline: Instant)
    -> Result<(), ServiceError>;

    /// Adds an item or changes one.
    async fn put_item(&self, item: ItemId, features: RawRow, deadline: Instant) -> Result<(), ServiceError>;

    /// What is loaded.
    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError>;

    /// The header that holds the id of an experiment's unit, where it isn't the user's.
    fn unit_header(&self) -> Option<Arc<str>> {
        None
    }

    /// How the experiment goes; `None` where there is none.
    fn report(&self) -> Option<RouterReport> {
        None
    }

    /// Takes what units did; what could not be read says why. Never waits.
    fn record_outcomes(&self, told: Vec<Result<ToldOutcome, String>>) -> Result<Receipt, ServiceError> {
        drop(told);
        Err(ServiceError::NoExperiment)
    }
}

/// What became of outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// How many were taken; one that was sent before is taken again, and counts once.
    pub taken: usize,
    /// Which were not, and why.
    pub refused: Vec<Refusal>,
}

/// Digests of bundles, by role.
pub type Digests = Arc<BTreeMap<String, String>>;

/// An answer and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The variant that answered.
    pub variant: Arc<str>,
    /// Why the user got this variant; `None` where no router chose.
    pub reason: Option<Reason>,
    /// The bundles that made it.
    pub bundles: Digests,
    /// The answer itself.
    pub answer: Answer,
}

/// What is loaded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PipelineDescription {
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant that stands in for others.
    pub control: String,
    /// The variants, in the order of the specification.
    pub variants: Vec<VariantDescription>,
}

/// One loaded variant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VariantDescription {
    /// Its name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
    /// Its bundles, by role.
    pub bundles: BTreeMap<String, BundleDescription>,
    /// What it holds; `None` where it can't be asked now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<VariantSummary>,
}

/// One loaded bundle.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BundleDescription {
    /// What the specification asks for.
    pub reference: String,
    /// The version that was loaded.
    pub version: String,
    /// Its digest.
    pub digest: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The pipeline could not answer this request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The work was not done.
    #[error(transparent)]
    NotDone(#[from] NotDone),
    /// Something that was asked for makes no sense, whatever the pipeline.
    #[error("{argument} {problem}")]
    Argument {
        /// Which part of the request.
        argument: &'static str,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// Nobody asks what users do.
    #[error("this pipeline has no experiment, so that outcomes are not recorded; give it spec.experiment")]
    NoExperiment,
    /// What users do can't be recorded now.
    #[error("outcomes can't be recorded: {problem}")]
    NotRecording {
        /// Why.
        problem: String,
    },
    /// Nothing is loaded yet.
    #[error("the pipeline is still loading its bundles; wait until /readyz answers 200")]
    Loading,
    /// There is nobody to ask.
    #[error("this pipeline has no variant that serves; give it one in spec.variants")]
    NoVariant,
    /// Nobody answered in time.
    #[error("no variant answered before the deadline; ask again, or allow more time")]
    Late,
    /// Another takes this router's place, and knows more.
    #[error("this router is stopping; send them again")]
    Stopping,
    /// No address of a variant answers.
    #[error("variant {variant} does not answer at any of {addresses:?}: {problem}")]
    Unreachable {
        /// The variant.
        variant: Arc<str>,
        /// Where it was asked.
        addresses: Vec<String>,
        /// What the last of them said.
        problem: String,
    },
    /// A variant in another process answered with an error.
    #[error("{message}")]
    Remote {
        /// What kind of error.
        code: Code,
        /// What it said.
        message: String,
    },
    /// A change reached some variants and not others.
    #[error("variant {variant} did not take the change; send it again, which does no harm where it arrived")]
    PartlyPut {
        /// The variant that did not take it.
        variant: Arc<str>,
        /// Why.
        #[source]
        source: Box<ServiceError>,
    },
}

/// What a client can do about a [`ServiceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// Ask differently.
    InvalidArgument,
    /// Ask for something that exists.
    NotFound,
    /// Wait, then ask again.
    ResourceExhausted,
    /// Ask for what this pipeline serves.
    Unimplemented,
    /// Ask again, or allow more time.
    DeadlineExceeded,
    /// Ask again, or ask another server.
    Unavailable,
    /// Report a fault of ours.
    Internal,
}

impl ServiceError {
    /// What a client can do about it.
    pub fn code(&self) -> Code {
        match self {
            Self::Request(error) => match error.kind() {
                RequestErrorKind::InvalidArgument => Code::InvalidArgument,
                RequestErrorKind::NotFound => Code::NotFound,
                RequestErrorKind::ResourceExhausted => Code::ResourceExhausted,
                RequestErrorKind::Unimplemented => Code::Unimplemented,
                RequestErrorKind::Internal => Code::Internal,
            },
            Self::NotDone(NotDone::QueueFull { .. }) => Code::ResourceExhausted,
            Self::NotDone(NotDone::Late) => Code::DeadlineExceeded,
            Self::NotDone(NotDone::Panicked) => Code::Internal,
            Self::Argument { .. } => Code::InvalidArgument,
            Self::NoExperiment => Code::Unimplemented,
            Self::Late => Code::DeadlineExceeded,
            Self::Loading
            | Self::NoVariant
            | Self::Stopping
            | Self::Unreachable { .. }
            | Self::NotRecording { .. } => Code::Unavailable,
            Self::Remote { code, .. } => *code,
            Self::PartlyPut { source, .. } => source.code(),
        }
    }

    /// What a client is told: the error and its causes.
    pub fn message(&self) -> String {
        with_causes(self)
    }
}

impl Code {
    /// The name in JSON errors and metrics; gRPC's own names.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}
