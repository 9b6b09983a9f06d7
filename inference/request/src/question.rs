//! Questions to a pipeline.

use std::sync::Arc;

use crate::{ItemId, UserId, UserState};

/// A question to a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Recommends items for a user.
    Recommend(RecommendRequest),
    /// Finds items similar to an item or to a text.
    Similar(SimilarRequest),
}

impl Question {
    /// The number of items; the pipeline's own limit if the question has none.
    pub fn k(&self) -> Option<usize> {
        match self {
            Self::Recommend(request) => request.k,
            Self::Similar(request) => request.k,
        }
    }
}

impl From<RecommendRequest> for Question {
    fn from(request: RecommendRequest) -> Self {
        Self::Recommend(request)
    }
}

impl From<SimilarRequest> for Question {
    fn from(request: SimilarRequest) -> Self {
        Self::Similar(request)
    }
}

/// Asks what a user should see.
#[derive(Clone, Debug, PartialEq)]
pub struct RecommendRequest {
    /// For whom. An unknown user is served with the defaults of the workflow.
    pub user: UserId,
    /// How many items; the pipeline's own limit where the request names none.
    pub k: Option<usize>,
}

/// A request together with what an online store holds of its user.
#[derive(Clone, Debug, PartialEq)]
pub struct InformedRequest {
    /// What is asked.
    pub request: RecommendRequest,
    /// What is known beyond the bundle's snapshot, if anything is.
    pub state: Option<Arc<UserState>>,
}

impl From<RecommendRequest> for InformedRequest {
    fn from(request: RecommendRequest) -> Self {
        Self { request, state: None }
    }
}

/// Asks what is like an item.
#[derive(Clone, Debug, PartialEq)]
pub struct SimilarRequest {
    /// Like what.
    pub to: SimilarTo,
    /// How many items; the pipeline's own limit where the request names none.
    pub k: Option<usize>,
}

/// What similar items are similar to.
#[derive(Clone, Debug, PartialEq)]
pub enum SimilarTo {
    /// A known item; it is left out of the answer.
    Item(ItemId),
    /// A text, embedded while the client waits.
    Text(String),
    /// What those buy who buy this item: like it in what happens, not in what it is.
    BoughtWith(ItemId),
}
