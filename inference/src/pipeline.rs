//! Pipelines: the stages of a request put together.
//!
//! [`Variant`] is one way to answer, loaded from bundles: personalised requests go through
//! [`recommend`], similar items through [`similar`]. Both are plain functions from a request to an answer, without
//! sockets, threads or deadlines: who calls them decides about those (see [`crate::server`]).

mod door;
pub mod items;
pub mod recommend;
pub mod request;
pub mod similar;
pub mod timing;
pub mod variant;

pub use request::{
    Answer, Degradation, PurchaseUpdate, RecommendRequest, Recommendation, SimilarRequest, SimilarTo,
    UserUpdate, Visit,
};
pub use timing::{Stage, StageClock, StageTiming};
pub use variant::{
    AlreadyBought, DiversitySettings, LoadError, RequestError, RequestErrorKind, Variant, VariantFolders,
    VariantSettings, VariantSummary,
};
