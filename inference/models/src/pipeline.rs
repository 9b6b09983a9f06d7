//! Pipelines: the stages of a request put together.
//!
//! [`Variant`] is one way to answer, loaded from bundles: personalized requests go through
//! [`recommend`], similar items through [`similar`]. Both are plain functions from a request to an answer, without
//! sockets, threads or deadlines, which are up to the caller. [`Variant::recommend_all`] answers many users sooner than one
//! after the other, on the device that the variant was loaded for. [`explain`] says what becomes of an item in an answer, [`choices`] with
//! which chance a variant would show what another has shown, [`change`] what may be put, and [`stacking`] what a scorer reads of trained sources.

pub mod change;
pub mod choices;
mod door;
pub mod explain;
mod on_device;
pub mod recommend;
mod recommend_all;
mod rules;
pub mod similar;
pub mod snapshot;
pub mod stacking;
pub mod variant;

pub use gondola_request::{
    Answer, BoughtRule, Degradation, PurchaseUpdate, RecommendRequest, Recommendation, SimilarRequest,
    SimilarTo, Stage, StageClock, StageTiming, UserUpdate, VariantSummary,
};
pub use snapshot::FeatureSnapshot;
pub use variant::{
    DiversitySettings, LoadError, RequestError, RequestErrorKind, Variant, VariantFolders, VariantSettings,
};
