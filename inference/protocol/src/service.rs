//! The service that a pipeline provides, whether by one variant in this process, or by a router in front of several.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use gondola_request::{Answer, Change, ExplainRequest, Explanations, Question, Rules, VariantSummary};
use schemars::JsonSchema;
use serde::Serialize;
use strum::IntoStaticStr;

/// Answers questions and takes changes. Each has until its deadline.
#[async_trait]
pub trait Recommender: Send + Sync + 'static {
    /// Answers a question.
    async fn answer(&self, inquiry: Inquiry, deadline: Instant) -> Result<Served, ServiceError>;

    /// Says what becomes of items in the answer for a user. `visit` chooses the variant, as it does for an answer.
    async fn explain(
        &self,
        request: ExplainRequest,
        visit: Visit,
        deadline: Instant,
    ) -> Result<Explained, ServiceError>;

    /// Makes changes, each for itself: one that is refused costs no other. The same change twice is the same as once.
    async fn change(&self, changes: Vec<Change>, deadline: Instant) -> Result<ChangeReceipt, ServiceError>;

    /// The rules that the online store holds over those of the manifest; none are the same as empty ones.
    async fn rules(&self, deadline: Instant) -> Result<Rules, ServiceError>;

    /// Describes what is loaded.
    async fn describe(&self, deadline: Instant) -> Result<PipelineDescription, ServiceError>;
}

/// A question, and who comes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Inquiry {
    /// What is asked.
    pub question: Question,
    /// Who comes, as an experiment sees it: a router's concern, of which variants know nothing.
    pub visit: Visit,
}

impl<Q: Into<Question>> From<Q> for Inquiry {
    fn from(question: Q) -> Self {
        Self {
            question: question.into(),
            visit: Visit::default(),
        }
    }
}

/// Who comes, as an experiment sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Visit {
    /// The id of the unit, where it is not the user's.
    pub unit: Option<String>,
    /// The arm that a tester wants to see.
    pub arm: Option<String>,
    /// The client's own id of the request.
    pub request: Option<String>,
}

/// Why a user got a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
pub enum AssignmentReason {
    /// The user's bucket belongs to it.
    Assigned,
    /// A tester requested it.
    Forced,
    /// The request names no unit to split by.
    NoUnit,
    /// The unit is held out of experiments.
    Holdout,
    /// The unit does not take part yet.
    NotInTraffic,
}

impl AssignmentReason {
    /// The name used in answers.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Digests of bundles, by role.
pub type Digests = Arc<BTreeMap<String, String>>;

/// An answer and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The variant that answered.
    pub variant: Arc<str>,
    /// Why the user got this variant; `None` where no router chose.
    pub reason: Option<AssignmentReason>,
    /// The bundles that made it.
    pub bundles: Digests,
    /// The answer itself.
    pub answer: Answer,
}

/// What became of items, and where that comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The variant that answers this user.
    pub variant: Arc<str>,
    /// Why the user gets this variant; `None` where no router chose.
    pub reason: Option<AssignmentReason>,
    /// Its bundles.
    pub bundles: Digests,
    /// What became of each item.
    pub explanations: Explanations,
}

/// What came of some changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeReceipt {
    /// How many the online store has now.
    pub taken: usize,
    /// How many of these it had before.
    pub duplicates: usize,
    /// Those that it doesn't have, in the order of the request.
    pub refused: Vec<RefusedChange>,
}

/// A change that was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedChange {
    /// Its place in the request.
    pub index: usize,
    /// What a client can do about it.
    pub code: Code,
    /// Why, with all causes.
    pub problem: String,
}

/// Describes what is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PipelineDescription {
    /// The pipeline's name.
    pub pipeline: String,
    /// The variant that others fall back to.
    pub control: String,
    /// The variants, in the order of the specification.
    pub variants: Vec<VariantDescription>,
}

/// One loaded variant.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct VariantDescription {
    /// Its name.
    pub name: String,
    /// Its share of the users, relative to the sum of all weights.
    pub weight: u32,
    /// Its bundles, by role.
    pub bundles: BTreeMap<String, BundleDescription>,
    /// A summary of its content; `None` if it can't be reached now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<VariantSummary>,
}

/// One loaded bundle.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BundleDescription {
    /// The reference in the spec.
    pub reference: String,
    /// The version that was loaded.
    pub version: String,
    /// Its digest.
    pub digest: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The pipeline refused the request, or failed.
    #[error("{message}")]
    Refused {
        /// What a client can do about it.
        code: Code,
        /// What it said, with all causes.
        message: String,
    },
    /// The deadline passed, before the work began or before it ended.
    #[error("the deadline passed before the answer was there; ask again, or allow more time")]
    DeadlineExceeded,
    /// The request is invalid for every pipeline.
    #[error("{argument} {problem}")]
    Argument {
        /// Which part of the request.
        argument: &'static str,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// No experiment is running, so outcomes are not recorded.
    #[error("this pipeline has no experiment, so that outcomes are not recorded; give it spec.experiment")]
    NoExperiment,
    /// What users do can't be recorded now.
    #[error("outcomes can't be recorded: {problem}")]
    NotRecording {
        /// The problem, as a sentence.
        problem: String,
    },
    /// Nothing is loaded yet.
    #[error("the pipeline is still loading its bundles; wait until /readyz answers 200")]
    Loading,
    /// No variant can answer.
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
        /// The address of the server.
        addresses: Vec<String>,
        /// What the last of them said.
        problem: String,
    },
    /// There is nowhere to keep a change.
    #[error(
        "this pipeline has no online store, so that a change would be lost with the pod; give it spec.features.online, or publish \
         new bundles"
    )]
    NoOnlineStore,
    /// The online store does not take changes now.
    #[error("the online store did not take the change: {problem}; send it again")]
    OnlineStore {
        /// What went wrong, with all causes.
        problem: String,
    },
}

/// What a client can do about a [`ServiceError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// Ask differently.
    InvalidArgument,
    /// Ask for something that exists.
    NotFound,
    /// Show a credential, or another one.
    Unauthenticated,
    /// Ask for what the credential allows, or get another one.
    PermissionDenied,
    /// Wait, then retry.
    ResourceExhausted,
    /// Ask for what this pipeline serves.
    Unimplemented,
    /// Ask again, or allow more time.
    DeadlineExceeded,
    /// Retry, or try another server.
    Unavailable,
    /// Report a fault of ours.
    Internal,
}

impl ServiceError {
    /// What a client can do about it.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::DeadlineExceeded | Self::Late => Code::DeadlineExceeded,
            Self::Argument { .. } => Code::InvalidArgument,
            Self::NoExperiment | Self::NoOnlineStore => Code::Unimplemented,
            Self::Loading
            | Self::NoVariant
            | Self::Stopping
            | Self::Unreachable { .. }
            | Self::OnlineStore { .. }
            | Self::NotRecording { .. } => Code::Unavailable,
        }
    }
}

impl Code {
    /// The name in JSON errors and metrics; gRPC's own names.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
